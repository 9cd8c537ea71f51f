"""The rules of Gemma 4 that ports get wrong, each with its line in this package and the mistake made in its place.

Only data, and once: ``minigemma.whatif`` breaks them, the explorer and notebooks 14 and 15 show what happens. Many of
these have been reported of public implementations, often because an older model, a framework or a paper does so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigemma.attention import make_keys_values, make_queries
from minigemma.audio.mel import log_mel
from minigemma.config import Config
from minigemma.decoder import Context, layer, mixture
from minigemma.interleaving import schedule, visible_keys
from minigemma.model import Gemma4, _place
from minigemma.moe import route
from minigemma.ops import clipped_linear, gelu, rms_norm
from minigemma.ple import per_layer_inputs
from minigemma.rope import rotate, rotation_frequencies
from minigemma.vision.encoder import embed
from minigemma.vision.pooling import pool_patches

Needs = Callable[[Config], Any]


def anyone(config: Config) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """One rule, and the mistake: ``right`` stands once in the source of ``function``, ``wrong`` is put in its place."""

    name: str
    rule: str  # what is right, as the end of "it is a rule that ..."
    mistake: str  # what is done instead
    function: Callable
    right: str
    wrong: str
    needs: Needs = anyone  # which models have the rule
    part: str = "text"  # or "picture", "sound": what must be in the prompt to notice


def _senses(config: Config) -> Any:
    return config.vision or config.audio


def _clipped(config: Config) -> Any:
    return config.audio or (config.vision and config.vision.use_clipped_linears)


_ALL = [
    # --- the stream
    Rule(
        "embedding", "word embeddings are multiplied by √D", "they enter as they are stored",
        Gemma4._embed, "x = x * np.float32(math.sqrt(self.config.text.hidden_size))", "pass",
    ),
    Rule(
        "norm", "a norm's factor is its weight", "it is 1 + weight, as in Gemma 1 to 3",
        rms_norm, "normed *= weight", "normed *= 1 + weight",
    ),
    Rule(
        "sandwich", "a branch is normed again before it is added", "attention is added as it comes out",
        layer, 'rms_norm(a, weights["post_attention_layernorm.weight"], eps)', "a",
    ),
    Rule(
        "scalar", "a layer's end multiplies the whole stream by its scalar", "the scalar is forgotten",
        layer, 'watch("before_scalar", x) * weights["layer_scalar"]', 'watch("before_scalar", x)',
        lambda config: config.text.layer_scalar,
    ),
    Rule(
        "gelu", "GELU is its tanh form", "the exact form with erf is used",
        gelu, "np.tanh(inner, out=inner)",
        "import scipy.special; inner[...] = scipy.special.erf(x / np.float32(2**0.5))",
    ),
    Rule(
        "softcap", "logits are squeezed into ±30", "they go out as they are",
        Gemma4.logits, "soft_cap(logits, self.config.text.final_logit_softcapping, out=logits)", "pass",
        lambda config: config.text.final_logit_softcapping,
    ),
    # --- attention
    Rule(
        "scale", "scores are not divided by √K", "they are, as in every other transformer",
        make_queries, "queries *= spec.attention_scale", "queries *= spec.head_dim**-0.5",
        lambda config: config.text.attention_scale == 1,
    ),
    Rule(
        "value norm", "values are normed, without a weight", "values stay as they are projected",
        make_keys_values, "values = rms_norm(values, None, eps) if spec.value_norm else values", "pass",
        lambda config: config.text.value_norm,
    ),
    Rule(
        "k=v", "with K=V, values are the raw key projection", "values are the keys after their norm",
        make_keys_values, "values = projected if", "values = rms_norm(projected, weights['k_norm.weight'], eps) if",
        lambda config: config.text.attention_k_eq_v,
    ),
    Rule(
        "window", "a local layer's window counts the token itself", "it ends one token too early",
        visible_keys, "positions - window + 1", "positions - window + 2",
    ),
    Rule(
        "sharing", "a layer that shares reads the last layer of its kind that has keys", "it reads the first one",
        schedule, "owner = {kind: max(", "owner = {kind: min(",
        lambda config: config.text.num_kv_shared_layers,
    ),
    # --- rotation
    Rule(
        "pairs", "a pair is coordinates (i, i + K/2)", "neighbours (2i, 2i + 1) are paired",
        rotate, "a, b = x[..., :half], x[..., half:]", "a, b = x[..., ::2], x[..., 1::2]",
    ),
    Rule(
        "exponent", "p-RoPE's exponent has the whole width K below", "the width of the part that turns",
        rotation_frequencies, "dtype=np.float32) / head_dim)", "dtype=np.float32) / (head_dim * fraction))",
        lambda config: 0 < config.text.rope_fraction_global < 1,
    ),
    Rule(
        "fraction", "a quarter of the pairs turns in global layers", "all of them turn",
        rotation_frequencies, "int(fraction * pairs)", "pairs",
        lambda config: config.text.rope_fraction_global < 1,
    ),
    Rule(
        "theta", "global layers have a theta of their own", "they take the local one",
        schedule, "config.rope_theta_local if kind == LOCAL else config.rope_theta_global", "config.rope_theta_local",
    ),
    # --- per-layer embeddings and experts
    Rule(
        "ple scale", "the two parts of a per-layer embedding are divided by √2", "they are only added",
        per_layer_inputs, "inputs *= 2**-0.5", "pass",
        lambda config: config.text.hidden_size_per_layer_input,
    ),
    Rule(
        "renormalise", "the chosen experts' probabilities are made to sum to 1", "they are taken as they are",
        route, "weight /= weight.sum(axis=-1, keepdims=True)", "pass",
        lambda config: config.text.enable_moe_block,
    ),
    Rule(
        "router input", "the router reads the stream itself", "it reads what the dense feed-forward reads",
        mixture, 'route(x, weights.under("router.")',
        'route(rms_norm(x, weights["pre_feedforward_layernorm.weight"], eps), weights.under("router.")',
        lambda config: config.text.enable_moe_block,
    ),
    # --- soft tokens, pictures, sound
    Rule(
        "pad row", "where a soft token stands, the pad row of the per-layer table is read", "the placeholder's row is",
        Gemma4._embed, "plain_ids = np.where(is_image | is_audio, self.config.text.pad_token_id, ids)",
        "plain_ids = ids",
        lambda config: config.text.hidden_size_per_layer_input and _senses(config), "picture",
    ),
    Rule(
        "soft tokens", "soft tokens are not multiplied by √D", "they are, like words",
        _place, "x[where] = np.concatenate(soft)", "x[where] = np.concatenate(soft) * np.float32(x.shape[-1] ** 0.5)",
        _senses, "picture",
    ),
    Rule(
        "image mask", "local layers see an image whole", "they see its past only",
        Context.__init__, "block_end if spec.is_local else None", "None",
        lambda config: config.vision and config.text.use_bidirectional_attention == "vision", "picture",
    ),
    Rule(
        "pixels", "pixels go from [0, 1] to [-1, 1]", "they stay in [0, 1]",
        embed, "pixels = 2 * (patches - np.float32(0.5))", "pixels = patches",
        lambda config: config.vision, "picture",
    ),
    Rule(
        "patch order", "a patch is read row, column, channel", "channel, row, column, as convolutions have it",
        embed, "linear(pixels, ", "linear(pixels.reshape(len(pixels), -1, 3).swapaxes(1, 2).reshape(pixels.shape), ",
        lambda config: config.vision, "picture",
    ),
    Rule(
        "x and y", "the first position table is for x", "it is looked up by y",
        embed, "tables[0, positions[:, 0]] + tables[1, positions[:, 1]]",
        "tables[0, positions[:, 1]] + tables[1, positions[:, 0]]",
        lambda config: config.vision, "picture",
    ),
    Rule(
        "pooled", "pooled patches are multiplied by √D", "they are only averaged",
        pool_patches, "math.sqrt(x.shape[1]) / pool**2", "1 / pool**2",
        lambda config: config.vision, "picture",
    ),
    Rule(
        "clipping", "the encoders' linear layers clamp input and output", "they do not",
        clipped_linear, 'if "input_min" not in weights:', "if True:",
        _clipped, "picture",
    ),
    Rule(
        "floor", "the mel floor is added before the logarithm", "it is a lower bound: max(mel, 0.001)",
        log_mel, "np.log(magnitudes @ mel_filter_bank() + FLOOR)",
        "np.log(np.maximum(magnitudes @ mel_filter_bank(), FLOOR))",
        lambda config: config.audio, "sound",
    ),
    Rule(
        "magnitude", "the mel-spectrogram gathers magnitudes", "it gathers powers, their squares",
        log_mel, "np.abs(np.fft.rfft(frames(waveform) * hann(), n=FFT))",
        "np.abs(np.fft.rfft(frames(waveform) * hann(), n=FFT)) ** 2",
        lambda config: config.audio, "sound",
    ),
]  # fmt: skip
RULES = {rule.name: rule for rule in _ALL}
