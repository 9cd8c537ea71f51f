"""The reference: Hugging Face transformers' Gemma 4 with every tensor random, run and recorded under our own names.

Needs torch and transformers; tests that import it are marked ``reference`` and skip without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from small_models import draw, small_config
from transformers import Gemma4Config, Gemma4ForCausalLM, Gemma4ForConditionalGeneration, Gemma4TextConfig
from transformers.models.gemma4 import modeling_gemma4 as modeling

from minigemma.config import Config, TextConfig

torch.set_grad_enabled(False)


# --- building --------------------------------------------------------------------------------------------------------


def text_dict(text: TextConfig) -> dict[str, Any]:
    """A text config as the hub's config.json spells it (``global_head_dim`` and the like as plain keys)."""
    return {
        "vocab_size": text.vocab_size,
        "hidden_size": text.hidden_size,
        "num_hidden_layers": text.num_hidden_layers,
        "layer_types": list(text.layer_types),
        "intermediate_size": text.intermediate_size,
        "use_double_wide_mlp": text.use_double_wide_mlp,
        "num_attention_heads": text.num_attention_heads,
        "num_key_value_heads": text.num_key_value_heads,
        "num_global_key_value_heads": text.num_global_key_value_heads if text.attention_k_eq_v else None,
        "head_dim": text.head_dim,
        "global_head_dim": text.global_head_dim,
        "sliding_window": text.sliding_window,
        "max_position_embeddings": text.max_position_embeddings,
        "hidden_size_per_layer_input": text.hidden_size_per_layer_input,
        "vocab_size_per_layer_input": text.vocab_size_per_layer_input,
        "num_kv_shared_layers": text.num_kv_shared_layers,
        "attention_k_eq_v": text.attention_k_eq_v,
        "use_bidirectional_attention": text.use_bidirectional_attention,
        "enable_moe_block": text.enable_moe_block,
        "num_experts": text.num_experts or None,
        "top_k_experts": text.top_k_experts or None,
        "moe_intermediate_size": text.moe_intermediate_size or None,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": text.rope_theta_local},
            "full_attention": {
                "rope_type": "proportional",
                "rope_theta": text.rope_theta_global,
                "partial_rotary_factor": text.rope_fraction_global,
            },
        },
        "rms_norm_eps": text.rms_norm_eps,
        "final_logit_softcapping": text.final_logit_softcapping,
        "tie_word_embeddings": text.tie_word_embeddings,
        "pad_token_id": text.pad_token_id,
        "eos_token_id": text.eos_token_id,
        "bos_token_id": text.bos_token_id,
    }


def hub_dict(config: Config) -> dict[str, Any]:
    """A whole config as the hub's config.json spells it."""
    vision, audio = config.vision, config.audio
    return {
        "text_config": text_dict(config.text),
        "vision_config": vision and _tower(vision, num_key_value_heads=vision.num_attention_heads),
        "audio_config": audio and _tower(audio),
        "tie_word_embeddings": config.text.tie_word_embeddings,
        "image_token_id": config.image_token_id,
        "audio_token_id": config.audio_token_id,
        "video_token_id": config.video_token_id,
        "boi_token_id": config.boi_token_id,
        "eoi_token_id": config.eoi_token_id,
        "boa_token_id": config.boa_token_id,
        "eoa_token_index": config.eoa_token_id,
    }


def _tower(config: Any, **more: Any) -> dict[str, Any]:
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(config).items()}
    if "rope_theta" in fields:
        fields["rope_parameters"] = {"rope_type": "default", "rope_theta": fields.pop("rope_theta")}
    return fields | more


def random_model(
    shape: str | Config, seed: int = 0, towers: bool = False, causal_lm: bool = False, **overrides: Any
) -> Any:
    """A small reference model, float32, eager attention, eval, every parameter and buffer random.

    shape: "e2b", "e4b", "26b", "31b" (``overrides`` change fields of its text config), or a Config.
    causal_lm: the text-only class, whose checkpoints have no ``language_model.`` in their names.
    The same seed gives a name the same numbers in every class.
    """
    config = shape if isinstance(shape, Config) else small_config(shape, towers, **overrides)
    if causal_lm:
        model = Gemma4ForCausalLM(Gemma4TextConfig(**text_dict(config.text)))
    else:
        model = Gemma4ForConditionalGeneration(Gemma4Config(**hub_dict(config)))
    model.set_attn_implementation("eager")
    model.eval()
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight" or not config.text.tie_word_embeddings:
            tensor.copy_(torch.from_numpy(draw(name, tuple(tensor.shape), seed)))
    model.generation_config.pad_token_id = config.text.pad_token_id
    model.small_config = config
    return model


def save(model: Any, directory: Path | str) -> Path:
    """Write a checkpoint in hub format: config.json and model.safetensors, float32."""
    model.save_pretrained(directory)
    return Path(directory)


def tensors(model: Any) -> dict[str, np.ndarray]:
    """The checkpoint's tensors with the multimodal repositories' names, without the tied head."""
    rename = isinstance(model, Gemma4ForCausalLM)
    tied = model.config.get_text_config().tie_word_embeddings
    return {
        name.replace("model.", "model.language_model.", 1) if rename else name: tensor.numpy().copy()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }


def twin(model: Any) -> Any:
    """Our model with the same weights, handed over in memory."""
    from minigemma.checkpoint import Weights
    from minigemma.model import Gemma4

    return Gemma4(model.small_config, Weights.of(tensors(model)).under("model."))


# --- running ---------------------------------------------------------------------------------------------------------


def reference_inputs(
    model: Any,
    ids: Sequence[int] | np.ndarray,
    images: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    audio: Sequence[np.ndarray] = (),
) -> dict[str, torch.Tensor]:
    """What the reference's processor would hand over: padded batches of images and sounds, token kinds."""
    ids = torch.from_numpy(np.asarray(ids, np.int64))[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if isinstance(model, Gemma4ForCausalLM):
        return inputs
    config = model.config
    kinds = (ids == config.image_token_id) + 2 * (ids == config.video_token_id) + 3 * (ids == config.audio_token_id)
    inputs["mm_token_type_ids"] = kinds
    if images:
        most = max(len(patches) for patches, _ in images)
        inputs["pixel_values"] = torch.stack([_padded(patches, most, 0.0) for patches, _ in images])
        inputs["image_position_ids"] = torch.stack([_padded(positions, most, -1) for _, positions in images])
    if audio:
        most = max(map(len, audio))
        inputs["input_features"] = torch.stack([_padded(mel, most, 0.0) for mel in audio])
        inputs["input_features_mask"] = torch.stack([torch.arange(most) < len(mel) for mel in audio])
    return inputs


def _padded(rows: np.ndarray, length: int, fill: float) -> torch.Tensor:
    full = np.full((length, *rows.shape[1:]), fill, rows.dtype)
    full[: len(rows)] = rows
    return torch.from_numpy(full)


def reference_run(
    model: Any,
    ids: Sequence[int] | np.ndarray,
    images: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    audio: Sequence[np.ndarray] = (),
) -> dict[str, np.ndarray]:
    """One forward pass without a cache: every step that can be seen from outside, under our trace's name for it.

    No batch axis; patterns (H, T, S); ``layers.i.output`` is the stream after the layer scalar.
    Also ``rotation.<kind>.cos`` and ``.sin`` (T, K/2).
    """
    text = model.model if isinstance(model, Gemma4ForCausalLM) else model.model.language_model
    found: dict[str, np.ndarray] = {}
    hooks = []

    def after(module, name, of=lambda inputs, output: output):
        def keep(_, inputs, output):
            found[name] = of(inputs, output).numpy()[0].copy()

        hooks.append(module.register_forward_hook(keep))

    def before(module, name):
        after(module, name, lambda inputs, _: inputs[0])

    per_layer = []
    for i, layer in enumerate(text.layers):
        _watch_layer(f"layers.{i}", layer, after, before, hooks, found)
        hooks.append(layer.register_forward_pre_hook(lambda _, args: per_layer.append(args[1])))
    before(text.layers[0], "embedding")
    after(text.norm, "final_norm")
    if text.hidden_size_per_layer_input:
        split = (len(text.layers), text.hidden_size_per_layer_input)
        after(text.embed_tokens_per_layer, "ple.token_part", lambda _, out: out.reshape(1, -1, *split))
        after(text.per_layer_projection_norm, "ple.context_part")

    def rotation(_, args, output):
        kind = args[2]
        for part, table in zip(("cos", "sin"), output, strict=True):
            found[f"rotation.{kind}.{part}"] = table[0, :, : table.shape[-1] // 2].numpy().copy()

    hooks.append(text.rotary_emb.register_forward_hook(rotation))

    def attention(module, query, key, value, *args, **kwargs):
        heads, pattern = plain(module, query, key, value, *args, **kwargs)
        if isinstance(module, modeling.Gemma4TextAttention):
            name = f"layers.{module.layer_idx}.attention"
            found[f"{name}.queries"] = query[0].transpose(0, 1).numpy().copy()
            if not module.is_kv_shared_layer:
                found[f"{name}.keys"] = key[0].transpose(0, 1).numpy().copy()
                found[f"{name}.values"] = value[0].transpose(0, 1).numpy().copy()
            found[f"{name}.heads"] = heads[0].numpy().copy()
            found[f"{name}.pattern"] = pattern[0].numpy().copy()
        return heads, pattern

    plain = modeling.eager_attention_forward
    try:
        with mock.patch.object(modeling, "eager_attention_forward", attention):
            output = model(**reference_inputs(model, ids, images, audio), use_cache=False, output_attentions=True)
    finally:
        for hook in hooks:
            hook.remove()
    if text.hidden_size_per_layer_input:
        found["ple.inputs"] = torch.stack([part[0] for part in per_layer], dim=1).numpy()
    return found | {"logits": output.logits[0].numpy().copy()}


def _watch_layer(name, layer, after, before, hooks, found) -> None:
    attn = layer.self_attn
    width = attn.head_dim
    headed = lambda _, out: out.reshape(1, out.shape[1], -1, width)  # noqa: E731
    before(layer, f"{name}.input")
    after(layer, f"{name}.output")
    after(layer.input_layernorm, f"{name}.attention.input")
    after(attn.q_proj, f"{name}.attention.queries_projected", headed)
    after(attn.q_norm, f"{name}.attention.queries_normed")
    if not attn.is_kv_shared_layer:
        after(attn.k_proj, f"{name}.attention.keys_projected", headed)
        after(attn.k_proj if attn.v_proj is None else attn.v_proj, f"{name}.attention.values_projected", headed)
        after(attn.k_norm, f"{name}.attention.keys_normed")
    after(attn.o_proj, f"{name}.attention.output")
    after(layer.post_attention_layernorm, f"{name}.attention.added")
    before(layer.pre_feedforward_layernorm, f"{name}.middle")
    after(layer.pre_feedforward_layernorm, f"{name}.feed_forward.input")
    after(layer.mlp.act_fn, f"{name}.feed_forward.gate")
    before(layer.mlp.down_proj, f"{name}.feed_forward.inner")
    after(layer.mlp, f"{name}.feed_forward.output")
    after(layer.post_feedforward_layernorm, f"{name}.feed_forward.added")
    if layer.hidden_size_per_layer_input:
        after(layer.act_fn, f"{name}.ple.gate")
        after(layer.post_per_layer_input_norm, f"{name}.ple.added")
    if layer.enable_moe_block:
        batched = lambda _, out: out[None]  # noqa: E731  # the router sees tokens without a batch axis
        after(layer.router.proj, f"{name}.moe.router_scores", batched)
        after(layer.post_feedforward_layernorm_1, f"{name}.moe.dense")
        after(layer.post_feedforward_layernorm_2, f"{name}.moe.experts")
        for i, part in enumerate(("router_probabilities", "expert_weight", "expert_index")):
            after(layer.router, f"{name}.moe.{part}", lambda _, out, i=i: out[i][None])
        after(layer.pre_feedforward_layernorm_2, f"{name}.moe.expert_input", batched)
        after(layer.experts, f"{name}.moe.expert_output", batched)


def reference_generate(model: Any, ids: Sequence[int] | np.ndarray, new_tokens: int, **media: Any) -> list[int]:
    """Greedy continuation by the reference's own generate, with its cache, never stopping early."""
    inputs = reference_inputs(model, ids, **media)
    output = model.generate(
        **inputs, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False, eos_token_id=None
    )
    return output[0, len(ids) :].tolist()
