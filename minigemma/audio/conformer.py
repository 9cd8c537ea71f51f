"""The Conformer: a transformer layer with a convolution in it, between two half feed-forwards (Gulati et al. 2020).

Everything looks back only: in each layer attention sees 12 tokens, itself included, and the convolution 5.
"""

from __future__ import annotations

import numpy as np

from minigemma.audio.attention import attention, relative_positions
from minigemma.audio.subsampling import subsample
from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig
from minigemma.ops import clipped_linear, linear, rms_norm, sigmoid, silu
from minigemma.trace import Watch, unwatched


def encode(mel: np.ndarray, weights: Weights, config: AudioConfig, watch: Watch = unwatched) -> np.ndarray:
    """Log-mel frames (frames, bins) -> soft tokens (n, output_proj_dims), n = soft_token_count(frames).

    weights: narrowed to ``model.audio_tower.``. Raises InputError for a spectrogram of another shape, or with NaN.
    Source: Gemma4AudioModel.
    """
    mel = watch("mel", np.asarray(mel, np.float32))
    x = subsample(mel, weights.under("subsample_conv_projection."), config, watch.under("subsampling"))  # (T, D)
    positions = relative_positions(config)  # (R, D)
    for i in range(config.num_hidden_layers):
        x = layer(x, positions, weights.under(f"layers.{i}."), config, watch.under(f"layers.{i}"))
    return watch("output_projection", linear(x, weights["output_proj.weight"]) + weights["output_proj.bias"])


def project(soft: np.ndarray, weights: Weights, eps: float = 1e-6, watch: Watch = unwatched) -> np.ndarray:
    """Into the decoder's width: soft tokens (n, output_proj_dims) -> (n, D), a norm without weight and a linear layer.

    weights: narrowed to ``model.embed_audio.``. Google's JAX code projects first and norms after; transformers' order
    is followed here. Source: Gemma4MultimodalEmbedder.
    """
    return watch("soft_tokens", linear(rms_norm(soft, None, eps), weights["embedding_projection.weight"]))


def layer(
    x: np.ndarray, positions: np.ndarray, weights: Weights, config: AudioConfig, watch: Watch = unwatched
) -> np.ndarray:
    """½ feed-forward, attention, convolution, ½ feed-forward, norm: (T, D) -> (T, D). Source: Gemma4AudioLayer.

    What is watched on the way is what each part adds to the stream; ``output`` is the stream after the final norm.
    """
    x = x + watch("feed_forward_start", feed_forward(x, weights.under("feed_forward1."), config))
    h = rms_norm(bounded(x, config), weights["norm_pre_attn.weight"])
    h = attention(h, positions, weights.under("self_attn."), config, watch.under("attention"))
    x = x + watch("attention.output", rms_norm(bounded(h, config), weights["norm_post_attn.weight"]))
    x = x + watch("convolution", light_convolution(x, weights.under("lconv1d."), config))
    x = x + watch("feed_forward_end", feed_forward(x, weights.under("feed_forward2."), config))
    return watch("output", rms_norm(bounded(x, config), weights["norm_out.weight"]))


def bounded(x: np.ndarray, config: AudioConfig) -> np.ndarray:
    """x with values beyond ±gradient_clipping cut off: a guard for half precision, idle in float32."""
    return np.clip(x, -config.gradient_clipping, config.gradient_clipping)


def feed_forward(x: np.ndarray, weights: Weights, config: AudioConfig) -> np.ndarray:
    """norm, widen four times, SiLU, narrow, norm, halve: (T, D) -> (T, D). Source: Gemma4AudioFeedForward."""
    h = rms_norm(bounded(x, config), weights["pre_layer_norm.weight"])
    h = silu(clipped_linear(h, weights.under("ffw_layer_1.")))  # (T, 4D)
    h = bounded(clipped_linear(h, weights.under("ffw_layer_2.")), config)
    return config.residual_weight * rms_norm(h, weights["post_layer_norm.weight"])


def light_convolution(x: np.ndarray, weights: Weights, config: AudioConfig) -> np.ndarray:
    """Each channel mixed over the last five tokens: (T, D) -> (T, D). Source: Gemma4AudioLightConv1d."""
    h = rms_norm(x, weights["pre_layer_norm.weight"], config.rms_norm_eps)
    h, gate = np.split(clipped_linear(h, weights.under("linear_start.")), 2, axis=-1)  # (T, D) each
    h = depthwise(h * sigmoid(gate), weights["depthwise_conv1d.weight"][:, 0])  # gated linear unit, then over time
    h = silu(rms_norm(bounded(h, config), weights["conv_norm.weight"], config.rms_norm_eps))
    return clipped_linear(h, weights.under("linear_end."))


def depthwise(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A causal convolution over time, every channel on its own: x (T, D), kernel (D, taps) -> (T, D).

    The last tap falls on the token itself; before the beginning there is silence, so zeros.
    """
    taps = kernel.shape[1]
    padded = np.pad(x, ((taps - 1, 0), (0, 0)))
    return sum(padded[k : k + len(x)] * kernel[:, k] for k in range(taps))  # type: ignore[return-value]
