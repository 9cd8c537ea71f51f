"""The Conformer: a transformer layer with a convolution in it, between two half feed-forwards (Gulati et al. 2020).

Everything looks back only: in each layer attention sees 12 tokens, itself included, and the convolution 5.
T soft tokens, D width, H heads, K head width; B blocks of C queries and S keys, R distances (see ``audio.attention``).

Names a trace records, below the caller's prefix (``audio.0`` for a model's first sound):

    mel (frames, bins)
    subsampling.conv0 (frames / 2, bins / 2, channels), conv1 (T, bins / 4, channels), after norm and ReLU
    subsampling.output (T, D)                the soft tokens before the first layer
    layers.i.input (T, D)                    the residual stream before the layer
    layers.i.feed_forward1.input (T, D), inner (T, 4D), output (T, D), added (T, D); feed_forward2 likewise
    layers.i.attention.input (T, D)          normed
    layers.i.attention.queries, keys, values (T, H, K), scaled
    layers.i.attention.relative_keys (R, H, K)  row r stands for the distance R - 1 - r
    layers.i.attention.content (H, B, C, S)  what each query finds in each key of its block
    layers.i.attention.distance (H, B, C, R), distance_shifted (H, B, C, S)  what it finds in each distance; shifted
    layers.i.attention.pattern (H, T, T)     made only if asked for
    layers.i.attention.heads (T, H, K)       each head's weighted values
    layers.i.attention.output, added (T, D)  after the output projection; after the second norm
    layers.i.convolution.input, gated, mixed, added (T, D)  normed; after the gate; mixed over time; what is added
    layers.i.output (T, D)                   the residual stream after the layer and its final norm
    output_projection (T, output_proj_dims)  as the tower returns it
    soft_tokens (T, D of the decoder)        recorded by ``project``

``added`` is what a part adds to the stream: input + the four of them, normed, is output.
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
    """½ feed-forward, attention, convolution, ½ feed-forward, norm: (T, D) -> (T, D). Source: Gemma4AudioLayer."""
    x = watch("input", x)
    x = x + feed_forward(x, weights.under("feed_forward1."), config, watch.under("feed_forward1"))
    a = watch("attention.input", rms_norm(bounded(x, config), weights["norm_pre_attn.weight"]))
    a = attention(a, positions, weights.under("self_attn."), config, watch.under("attention"))
    x = x + watch("attention.added", rms_norm(bounded(a, config), weights["norm_post_attn.weight"]))
    x = x + light_convolution(x, weights.under("lconv1d."), config, watch.under("convolution"))
    x = x + feed_forward(x, weights.under("feed_forward2."), config, watch.under("feed_forward2"))
    return watch("output", rms_norm(bounded(x, config), weights["norm_out.weight"]))


def bounded(x: np.ndarray, config: AudioConfig) -> np.ndarray:
    """x with values beyond ±gradient_clipping cut off: a guard for half precision, idle in float32."""
    return np.clip(x, -config.gradient_clipping, config.gradient_clipping)


def feed_forward(x: np.ndarray, weights: Weights, config: AudioConfig, watch: Watch = unwatched) -> np.ndarray:
    """norm, widen four times, SiLU, narrow, norm, halve: (T, D) -> (T, D). Source: Gemma4AudioFeedForward."""
    h = watch("input", rms_norm(bounded(x, config), weights["pre_layer_norm.weight"]))
    h = watch("inner", silu(clipped_linear(h, weights.under("ffw_layer_1."))))  # (T, 4D)
    h = watch("output", clipped_linear(h, weights.under("ffw_layer_2.")))
    h = rms_norm(bounded(h, config), weights["post_layer_norm.weight"])
    return watch("added", config.residual_weight * h)


def light_convolution(x: np.ndarray, weights: Weights, config: AudioConfig, watch: Watch = unwatched) -> np.ndarray:
    """Each channel mixed over the last five tokens: (T, D) -> (T, D). Source: Gemma4AudioLightConv1d."""
    h = watch("input", rms_norm(x, weights["pre_layer_norm.weight"], config.rms_norm_eps))
    h, gate = np.split(clipped_linear(h, weights.under("linear_start.")), 2, axis=-1)  # (T, D) each
    h = watch("gated", h * sigmoid(gate))  # gated linear unit (Dauphin et al. 2017)
    h = watch("mixed", depthwise(h, weights["depthwise_conv1d.weight"][:, 0]))  # over time
    h = silu(rms_norm(bounded(h, config), weights["conv_norm.weight"], config.rms_norm_eps))
    return watch("added", clipped_linear(h, weights.under("linear_end.")))


def depthwise(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A causal convolution over time, every channel on its own: x (T, D), kernel (D, taps) -> (T, D).

    The last tap falls on the token itself; before the beginning there is silence, so zeros.
    """
    taps = kernel.shape[1]
    padded = np.pad(x, ((taps - 1, 0), (0, 0)))
    return sum(padded[k : k + len(x)] * kernel[:, k] for k in range(taps))  # type: ignore[return-value]
