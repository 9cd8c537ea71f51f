"""Every tensor of a checkpoint by name and shape, worked out from the config; so, how many parameters each part has."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .config import GLOBAL, AudioConfig, Config, TextConfig, VisionConfig

TEXT, VISION, AUDIO = "model.language_model.", "model.vision_tower.", "model.audio_tower."
_BOUNDS = ("input_min", "input_max", "output_min", "output_max")

Named = Iterator[tuple[str, tuple[int, ...]]]  # (name, shape) pairs


def tensor_shapes(config: Config, dead_kv: bool = False) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the hub's file, buffers included (layer scalars, clip bounds, std_*).

    dead_kv: with the keys and values of layers that share those of others, which the released E2B and E4B files carry
    and nobody uses. The tied head has no tensor.
    """
    shapes = dict(_below(TEXT, _text(config.text, dead_kv)))
    if config.vision is not None:
        shapes |= _below(VISION, _vision(config.vision))
        shapes["model.embed_vision.embedding_projection.weight"] = (config.text.hidden_size, config.vision.hidden_size)
    if config.audio is not None:
        shapes |= _below(AUDIO, _audio(config.audio))
        shapes["model.embed_audio.embedding_projection.weight"] = (
            config.text.hidden_size,
            config.audio.output_proj_dims,
        )
    return shapes


def unused_tensors(config: Config) -> dict[str, tuple[int, ...]]:
    """What a file may also hold: dead keys and values, and a copy of the embedding table as the head it is tied to."""
    living = tensor_shapes(config)
    unused = {name: shape for name, shape in tensor_shapes(config, dead_kv=True).items() if name not in living}
    return {**unused, "lm_head.weight": (config.text.vocab_size, config.text.hidden_size)}


_PARTS = {  # the first word that stands in a name says which part it belongs to
    "vision_tower": "vision tower",
    "audio_tower": "audio tower",
    "embed_vision": "projectors",
    "embed_audio": "projectors",
    "per_layer": "per-layer embeddings",
    "embed_tokens": "embedding",
    "norm": "norms and scalars",
    "layer_scalar": "norms and scalars",
    "self_attn": "attention",
    "mlp": "feed-forward",
    "router": "router",
    "experts": "experts",
}


def parameter_count(config: Config, dead_kv: bool = False) -> dict[str, int]:
    """Parameters (and buffers) by part; ``sum(parameter_count(config).values())`` is the whole model."""
    counts = dict.fromkeys(_PARTS.values(), 0)
    for name, shape in tensor_shapes(config, dead_kv).items():
        part = next(part for word, part in _PARTS.items() if word in name)
        counts[part] += math.prod(shape)
    return {part: count for part, count in counts.items() if count}


def parameters_in_use(config: Config) -> int:
    """Parameters that the decoder reads for one token of text: its chosen experts, and not the per-layer table.

    A row of that table is looked up as a row of the embedding is; the embedding counts whole, for it is the head too.
    """
    text = config.text
    share = text.top_k_experts / text.num_experts if text.enable_moe_block else 1.0
    count = 0
    for name, shape in tensor_shapes(config).items():
        if name.startswith(TEXT) and "embed_tokens_per_layer" not in name:
            size = math.prod(shape)
            count += round(size * share) if ".experts." in name else size
    return count


def _below(prefix: str, tensors: Named) -> Named:
    return ((prefix + name, shape) for name, shape in tensors)


def _text(text: TextConfig, dead_kv: bool) -> Named:
    D, P, L = text.hidden_size, text.hidden_size_per_layer_input, text.num_hidden_layers
    yield "embed_tokens.weight", (text.vocab_size, D)
    if P:
        yield "embed_tokens_per_layer.weight", (text.vocab_size_per_layer_input, L * P)
        yield "per_layer_model_projection.weight", (L * P, D)
        yield "per_layer_projection_norm.weight", (P,)
    for layer in range(L):
        yield from _below(f"layers.{layer}.", _text_layer(text, layer, dead_kv))
    yield "norm.weight", (D,)


def _text_layer(text: TextConfig, layer: int, dead_kv: bool) -> Named:
    D, P, E = text.hidden_size, text.hidden_size_per_layer_input, text.num_experts
    shares = layer >= text.first_shared_layer
    if text.layer_scalar:
        yield "layer_scalar", (1,)
    for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
        yield f"{norm}_layernorm.weight", (D,)
    yield from _below("self_attn.", _attention(text, text.layer_types[layer] == GLOBAL, not shares or dead_kv))
    F = text.intermediate_size * (2 if shares and text.use_double_wide_mlp else 1)
    yield from _below("mlp.", _gated("", D, F))
    if P:
        yield "per_layer_input_gate.weight", (P, D)
        yield "per_layer_projection.weight", (D, P)
        yield "post_per_layer_input_norm.weight", (D,)
    if text.enable_moe_block:
        for norm in ("post_feedforward_layernorm_1", "pre_feedforward_layernorm_2", "post_feedforward_layernorm_2"):
            yield f"{norm}.weight", (D,)
        yield "router.scale", (D,)
        yield "router.per_expert_scale", (E,)
        yield "router.proj.weight", (E, D)
        yield "experts.gate_up_proj", (E, 2 * text.moe_intermediate_size, D)
        yield "experts.down_proj", (E, D, text.moe_intermediate_size)


def _attention(text: TextConfig, is_global: bool, own_kv: bool) -> Named:
    D, H = text.hidden_size, text.num_attention_heads
    G = text.num_global_key_value_heads if is_global else text.num_key_value_heads
    K = text.global_head_dim if is_global else text.head_dim
    yield "q_proj.weight", (H * K, D)
    yield "q_norm.weight", (K,)
    yield "o_proj.weight", (D, H * K)
    if own_kv:
        yield "k_proj.weight", (G * K, D)
        yield "k_norm.weight", (K,)
        if not (is_global and text.attention_k_eq_v):
            yield "v_proj.weight", (G * K, D)


def _gated(suffix: str, D: int, F: int) -> Named:
    yield f"gate_proj{suffix}.weight", (F, D)
    yield f"up_proj{suffix}.weight", (F, D)
    yield f"down_proj{suffix}.weight", (D, F)


def _clippable(tensors: Named, clipped: bool) -> Named:
    """Beside ``x.linear.weight``, where bounds are in use, four scalars ``x.input_min`` …"""
    for name, shape in tensors:
        yield name, shape
        if clipped and name.endswith(".linear.weight"):
            yield from ((name.removesuffix("linear.weight") + bound, ()) for bound in _BOUNDS)


def _vision(vision: VisionConfig) -> Named:
    D, heads = vision.hidden_size, vision.num_attention_heads * vision.head_dim
    yield "patch_embedder.input_proj.weight", (D, 3 * vision.patch_size**2)
    yield "patch_embedder.position_embedding_table", (2, vision.position_embedding_size, D)
    for layer in range(vision.num_hidden_layers):
        here = f"encoder.layers.{layer}."
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield f"{here}{norm}_layernorm.weight", (D,)
        yield f"{here}self_attn.q_norm.weight", (vision.head_dim,)
        yield f"{here}self_attn.k_norm.weight", (vision.head_dim,)
        linears: list[tuple[str, tuple[int, ...]]] = [(f"self_attn.{x}_proj.linear.weight", (heads, D)) for x in "qkv"]
        linears += [("self_attn.o_proj.linear.weight", (D, heads))]
        linears += _below("mlp.", _gated(".linear", D, vision.intermediate_size))
        yield from _below(here, _clippable(iter(linears), vision.use_clipped_linears))
    if vision.standardize:
        yield "std_bias", (D,)
        yield "std_scale", (D,)


def _audio(audio: AudioConfig) -> Named:
    D, channels = audio.hidden_size, audio.subsampling_conv_channels
    for i, (before, after) in enumerate(((1, channels[0]), channels)):
        yield f"subsample_conv_projection.layer{i}.conv.weight", (after, before, 3, 3)
        yield f"subsample_conv_projection.layer{i}.norm.weight", (after,)
    # the reference's formula: the 128 mel bins, halved twice, are as many as channels[0] / 4
    yield "subsample_conv_projection.input_proj_linear.weight", (D, channels[0] // 4 * channels[1])
    for layer in range(audio.num_hidden_layers):
        yield from _below(f"layers.{layer}.", _clippable(_conformer(audio), audio.use_clipped_linears))
    yield "output_proj.weight", (audio.output_proj_dims, D)
    yield "output_proj.bias", (audio.output_proj_dims,)


def _conformer(audio: AudioConfig) -> Named:
    D = audio.hidden_size
    for half in ("feed_forward1", "feed_forward2"):
        yield f"{half}.ffw_layer_1.linear.weight", (4 * D, D)
        yield f"{half}.ffw_layer_2.linear.weight", (D, 4 * D)
        yield f"{half}.pre_layer_norm.weight", (D,)
        yield f"{half}.post_layer_norm.weight", (D,)
    for linear in ("q_proj", "k_proj", "v_proj", "post"):
        yield f"self_attn.{linear}.linear.weight", (D, D)
    yield "self_attn.relative_k_proj.weight", (D, D)
    yield "self_attn.per_dim_scale", (D // audio.num_attention_heads,)
    yield "lconv1d.linear_start.linear.weight", (2 * D, D)
    yield "lconv1d.linear_end.linear.weight", (D, D)
    yield "lconv1d.depthwise_conv1d.weight", (D, 1, audio.conv_kernel_size)
    yield "lconv1d.pre_layer_norm.weight", (D,)
    yield "lconv1d.conv_norm.weight", (D,)
    for norm in ("norm_pre_attn", "norm_post_attn", "norm_out"):
        yield f"{norm}.weight", (D,)
