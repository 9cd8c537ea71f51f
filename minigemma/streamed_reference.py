"""Hugging Face transformers' Gemma 4 in float32 without its weights: a module's are read when it runs, then dropped.

The reference's own code runs from end to end, but never holds more than one module, so a model of any size can be
compared with ours on a small machine. Tables are not read whole either: an embedding gets the rows of the prompt, the
head goes through the vocabulary in tiles. Needs torch and transformers (the ``reference`` extra).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigemma.errors import CheckpointError, InputError, MinigemmaError
from minigemma.safetensors_file import SafetensorsFile

try:
    import torch
    from torch.overrides import TorchFunctionMode
    from transformers import AutoConfig, Gemma4ForCausalLM, Gemma4ForConditionalGeneration
    from transformers.models.gemma4.modeling_gemma4 import Gemma4TextScaledWordEmbedding

    from minigemma.reference_trace import Keep, watch
except ImportError as error:
    raise MinigemmaError(
        f"the reference is not installed ({error}); get it with: pip install 'minigemma[reference]'"
    ) from None

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
TILE = 16_384  # rows of the embedding table that the head widens at a time


class _Files:
    """The checkpoint's tensors by name, widened to float32 when asked for; the files stay memory-mapped."""

    def __init__(self, directory: Path):
        index = directory / "model.safetensors.index.json"
        names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else None
        paths = [directory / name for name in names or ["model.safetensors"]]
        # the library's reader for torch makes maps that the system counts as memory, and refuses 50 GB of them
        self._where = {name: file for file in map(SafetensorsFile, paths) for name in file.entries}

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def __call__(self, name: str, rows: Any = ...) -> torch.Tensor:
        if name not in self._where:
            raise CheckpointError(f"the reference needs {name}, which the checkpoint does not have")
        file = self._where[name]
        stored = np.array(file.flat(name).reshape(file.entries[name].shape)[rows])  # as it lies in the file
        return torch.from_numpy(stored).view(DTYPES[file.entries[name].dtype]).float()


class _EmptyOnMeta(TorchFunctionMode):
    """What ``torch.empty`` makes (every large weight) has a shape but no memory; what is computed is computed."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class _TiledHead(torch.nn.Module):
    """The output layer, some thousand rows of the vocabulary at a time."""

    def __init__(self, files: _Files, name: str, vocabulary: int):
        super().__init__()
        self.files, self.name, self.vocabulary = files, name, vocabulary

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [slice(start, start + TILE) for start in range(0, self.vocabulary, TILE)]
        return torch.cat([torch.nn.functional.linear(x, self.files(self.name, tile)) for tile in rows], dim=-1)


class StreamedReference:
    """The reference for a checkpoint directory; ``run`` is one forward pass."""

    def __init__(self, directory: Path):
        config = AutoConfig.from_pretrained(directory)
        if config.model_type not in ("gemma4", "gemma4_text"):
            raise InputError(f"{directory} is a {config.model_type} checkpoint; only Gemma 4 can be compared")
        for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
            if part is not None:
                part.dtype = torch.float32  # else constants such as sqrt(D) would be rounded to the file's bfloat16
        kind = Gemma4ForCausalLM if config.model_type == "gemma4_text" else Gemma4ForConditionalGeneration
        with _EmptyOnMeta():
            self.model = kind(config)
        self.model.set_attn_implementation("eager")
        self.model.set_experts_implementation("eager")
        self.model.eval()
        self.files = _Files(directory)
        self.text = self.model.model if kind is Gemma4ForCausalLM else self.model.model.language_model
        prefix = "model." if kind is Gemma4ForCausalLM else "model.language_model."
        own = "lm_head.weight"
        head = own if own in self.files and not config.tie_word_embeddings else prefix + "embed_tokens.weight"
        self.model.lm_head = _TiledHead(self.files, head, self.text.config.vocab_size)
        for name, module in self.model.named_modules():
            self._stream(name, module)

    def _stream(self, name: str, module: torch.nn.Module) -> None:
        """Read the tensors that belong to this very module just before it runs; forget them just after."""
        stored = {**module._parameters, **module._buffers}
        computed = module._non_persistent_buffers_set  # rotation frequencies and the like: in no file
        empty = {key: tensor.to("meta") for key, tensor in stored.items() if tensor is not None and key not in computed}
        is_table = isinstance(module, Gemma4TextScaledWordEmbedding)

        def put(key, value):
            setattr(module, key, torch.nn.Parameter(value, False) if key in module._parameters else value)

        def read(module, args):
            if is_table:  # the prompt's rows only, and ids that count in them
                ids, where = torch.unique(args[0], return_inverse=True)
                put("weight", self.files(f"{name}.weight", ids.numpy()))
                return (where,)
            for key, shape in empty.items():
                put(key, self.files(f"{name}.{key}").reshape(shape.shape))
            return None

        def forget(module, args, output):
            for key, nothing in empty.items():
                put(key, nothing)
            if is_table:  # the reference looks at one row more, which it then does not use
                put("weight", torch.zeros(1, empty["weight"].shape[1]).expand(empty["weight"].shape))

        if empty:
            module.register_forward_pre_hook(read)
            module.register_forward_hook(forget)
            forget(module, None, None)

    def run(
        self,
        ids: np.ndarray,
        images: Sequence[tuple[np.ndarray, np.ndarray]],
        audio: Sequence[np.ndarray],
        keep: Keep,
    ) -> None:
        """One forward pass over ids (T,), images and sounds; ``keep`` gets each tensor under our trace's name."""
        watch(self.model, images, audio, keep)
        with torch.no_grad():
            output = self.model(**self._inputs(ids, images, audio), use_cache=False)
        keep("logits", output.logits[0].numpy())

    def _inputs(self, ids, images, audio) -> dict[str, torch.Tensor]:
        """What the reference's processor would hand over: padded batches of images and sounds, kinds of token."""
        ids = torch.from_numpy(np.asarray(ids, np.int64))[None]
        inputs = {"input_ids": ids}
        if isinstance(self.model, Gemma4ForCausalLM):
            return inputs
        config = self.model.config
        inputs["mm_token_type_ids"] = (ids == config.image_token_id) + 3 * (ids == config.audio_token_id)
        if images:
            inputs["pixel_values"] = _batch([patches for patches, _ in images], 0.0)
            inputs["image_position_ids"] = _batch([positions for _, positions in images], -1)
        if audio:
            inputs["input_features"] = _batch(audio, 0.0)
            inputs["input_features_mask"] = _batch([np.ones(len(mel), bool) for mel in audio], False)
        return inputs


def _batch(rows: Sequence[np.ndarray], fill: float) -> torch.Tensor:
    """Arrays of different lengths as one batch, the shorter ones filled up."""
    full = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), fill, rows[0].dtype)
    for padded, real in zip(full, rows, strict=True):
        padded[: len(real)] = real
    return torch.from_numpy(full)
