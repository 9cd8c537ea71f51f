"""What the reference makes on its way, under the names of our trace: hooks on the modules of transformers' Gemma 4.

The reference pads images and sounds to the longest of their kind; each is cut out of its batch again, without padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from minigemma.audio import soft_token_count

Keep = Callable[[str, np.ndarray], None]  # called with the name and the value of every tensor as it is made


def watch(model: Any, images: Sequence[tuple[np.ndarray, np.ndarray]], audio: Sequence[np.ndarray], keep: Keep) -> None:
    """Have ``keep`` called during a forward pass of a Gemma4ForConditionalGeneration or Gemma4ForCausalLM.

    images and audio are those of that pass: their lengths say which rows of a batch are real.
    """
    parts = model.model
    text = getattr(parts, "language_model", parts)
    if parts is text:
        _after(text.embed_tokens, lambda output: keep("embedding", _one(output)))
    else:
        if images:
            _watch_vision(parts, [len(patches) for patches, _ in images], keep)
        if audio:
            _watch_audio(parts, [soft_token_count(len(mel)) for mel in audio], keep)
        arrived = lambda _, args, kwargs: keep("embedding", _one(kwargs["inputs_embeds"]))  # noqa: E731
        text.register_forward_pre_hook(arrived, with_kwargs=True)
    if text.hidden_size_per_layer_input:
        _watch_per_layer_inputs(text, keep)
    for i, layer in enumerate(text.layers):
        _watch_layer(f"layers.{i}", layer, keep)
    _after(text.norm, lambda output: keep("final_norm", _one(output)))


def _after(module: Any, then: Callable[[Any], None]) -> None:
    module.register_forward_hook(lambda _, args, output: then(output))


def _one(batch: torch.Tensor) -> np.ndarray:
    return batch[0].numpy()


def _watch_layer(name: str, layer: Any, keep: Keep) -> None:
    def kept(module: Any, part: str, of: Callable[[Any], torch.Tensor] = lambda output: output[0]) -> None:
        _after(module, lambda output: keep(f"{name}.{part}", of(output).numpy()))

    kept(layer.self_attn, "attention.pattern", lambda output: output[1][0])
    kept(layer.self_attn, "attention.output", lambda output: output[0][0])
    kept(layer.mlp, "feed_forward.output")
    if layer.enable_moe_block:
        kept(layer.router, "moe.router_probabilities")
        kept(layer.router, "moe.expert_index", lambda output: output[2])
        kept(layer.post_feedforward_layernorm_2, "moe.experts")
    if layer.hidden_size_per_layer_input:
        kept(layer.post_per_layer_input_norm, "ple.added")
    kept(layer, "output")


def _watch_per_layer_inputs(text: Any, keep: Keep) -> None:
    project = text.project_per_layer_inputs

    def keep_projected(*args: torch.Tensor) -> torch.Tensor:
        inputs = project(*args)
        keep("ple.inputs", _one(inputs))
        return inputs

    text.project_per_layer_inputs = keep_projected


def _watch_vision(parts: Any, patches: Sequence[int], keep: Keep) -> None:
    for i, layer in enumerate(parts.vision_tower.encoder.layers):
        _each(layer.self_attn, "images", f"layers.{i}.attention.output", patches, keep)
        _each(layer.mlp, "images", f"layers.{i}.feed_forward.output", patches, keep)
        _each(layer, "images", f"layers.{i}.output", patches, keep)
    pooled = parts.vision_tower.config.pooling_kernel_size**2
    soft = [count // pooled for count in patches]

    def keep_soft(output: torch.Tensor) -> None:  # without padding already, one image after another
        for i, rows in enumerate(torch.split(output.flatten(0, -2), soft)):
            keep(f"images.{i}.soft_tokens", rows.numpy())

    _after(parts.embed_vision, keep_soft)


def _watch_audio(parts: Any, tokens: Sequence[int], keep: Keep) -> None:
    tower = parts.audio_tower
    _each(tower.subsample_conv_projection, "audio", "subsampling.output", tokens, keep)
    for i, layer in enumerate(tower.layers):
        _each(layer.feed_forward1.ffw_layer_2, "audio", f"layers.{i}.feed_forward1.output", tokens, keep)
        _each(layer.self_attn, "audio", f"layers.{i}.attention.output", tokens, keep)
        _each(layer.lconv1d.linear_end, "audio", f"layers.{i}.convolution.added", tokens, keep)
        _each(layer.feed_forward2.ffw_layer_2, "audio", f"layers.{i}.feed_forward2.output", tokens, keep)
        _each(layer, "audio", f"layers.{i}.output", tokens, keep)
    _each(parts.embed_audio, "audio", "soft_tokens", tokens, keep)


def _each(module: Any, kind: str, part: str, rows: Sequence[int], keep: Keep) -> None:
    """Keep the real rows of every image or sound in a batch that leaves a module."""

    def split(output: Any) -> None:
        batch = output[0] if isinstance(output, tuple) else output
        for i, count in enumerate(rows):
            keep(f"{kind}.{i}.{part}", batch[i, :count].numpy())

    _after(module, split)
