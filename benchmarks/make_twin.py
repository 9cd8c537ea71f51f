"""Make a full-size twin of a released checkpoint: its names, shapes, dtype, shards and config, with random values.

    python benchmarks/make_twin.py E2B DIRECTORY            # 10.2 GB; E4B 16, 26B-A4B 51.6, 31B 62.5 GB
    python benchmarks/make_twin.py E2B DIRECTORY --scale small   # the same shape of model, a few megabytes
    python benchmarks/make_twin.py 31B DIRECTORY --layers 6      # five local layers and a global one, 9.8 GB

The dead keys and values that the E2B and E4B files carry are there too. The values are tame enough for activations to
stay finite, and mean nothing: a twin is for measuring time and memory.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minigemma.bfloat16 import narrow
from minigemma.config import GLOBAL, PRESETS, AudioConfig, Config, VisionConfig
from minigemma.hub_config import to_hub, write_json
from minigemma.memory import show_size
from minigemma.parameters import tensor_shapes
from minigemma.safetensors_file import write_safetensors

BLOCK = 4_000_037  # random values drawn once and used again and again; a prime, so that no two rows of a matrix agree
PIECE = 4_000_000  # values written at a time, at most a block
MOST_PER_FILE = 50 * 10**9  # bytes: where the released checkpoints are split
NOISE = {"return_dict": True, "chunk_size_feed_forward": 0, "id2label": {"0": "LABEL_0"}, "problem_type": None}


def small(config: Config) -> Config:
    """The same layers of every kind, far narrower: the first few with keys of their own and the last few without."""
    text = config.text
    every = text.layer_types.index(GLOBAL) + 1
    moe = dict(num_experts=16, top_k_experts=4, moe_intermediate_size=16) if text.enable_moe_block else {}
    text = replace(
        text, vocab_size=512, vocab_size_per_layer_input=512, hidden_size=64, num_hidden_layers=2 * every,
        layer_types=text.layer_types[: 2 * every], intermediate_size=96, num_attention_heads=4, num_key_value_heads=2,
        num_global_key_value_heads=1 if text.attention_k_eq_v else 2, head_dim=16, global_head_dim=32,
        sliding_window=16, max_position_embeddings=1024,
        hidden_size_per_layer_input=text.hidden_size_per_layer_input and 16,
        num_kv_shared_layers=text.num_kv_shared_layers and every, **moe,
    )  # fmt: skip
    vision: VisionConfig | None = config.vision and replace(
        config.vision, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, head_dim=12, intermediate_size=64,
        position_embedding_size=512,
    )  # fmt: skip
    audio: AudioConfig | None = config.audio and replace(
        config.audio, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, output_proj_dims=64
    )
    tokens = dict(image_token_id=500, boi_token_id=501, eoi_token_id=502, audio_token_id=503, boa_token_id=504)
    return replace(config, text=text, vision=vision, audio=audio, eoa_token_id=505, video_token_id=506, **tokens)


class Values:
    """Random values of a plausible size for every tensor, by name, in pieces ready to be written."""

    def __init__(self, config: Config, dtype: str, seed: int = 0):
        self.config, self.dtype = config, dtype
        self.random = np.random.default_rng(seed)
        self.normal = self.random.standard_normal(BLOCK, np.float32)
        self.blocks: dict[float, np.ndarray] = {}  # by standard deviation, as stored

    def pieces(self, name: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """The stored values of one tensor."""
        centre, spread = self.size_of(name, shape)
        size = math.prod(shape)
        if centre:  # norms, scalars, bounds: one small tensor at a time, each with values of its own
            yield self.stored(np.float32(centre) + np.float32(spread) * self.random.standard_normal(size, np.float32))
            return
        if spread not in self.blocks:
            self.blocks[spread] = self.stored(self.normal * np.float32(spread))
        block = self.blocks[spread]
        for start in range(0, size, PIECE):
            count = min(PIECE, size - start)
            offset = int(self.random.integers(BLOCK))
            yield block[offset : offset + count]
            yield block[: max(0, offset + count - BLOCK)]

    def stored(self, values: np.ndarray) -> np.ndarray:
        return narrow(values) if self.dtype == "BF16" else values

    def size_of(self, name: str, shape: tuple[int, ...]) -> tuple[float, float]:
        """Mean and standard deviation, after what is known of the released weights."""
        tower = "tower" in name
        if name.endswith(("input_min", "output_min")):
            return -30.0, 1.0
        if name.endswith(("input_max", "output_max")):
            return 30.0, 1.0
        if name.endswith("q_norm.weight"):
            return (0.406 if tower else 1.0), 0.01
        if name.endswith("k_norm.weight"):  # 1/√K is folded into these
            return (1.234 if tower else 0.125 if shape == (self.config.text.head_dim,) else 0.0625), 0.001
        if name.endswith("layer_scalar"):
            return 0.6, 0.1
        if name.endswith("per_dim_scale"):
            return -3.34, 0.3
        if name.endswith(("std_bias", "output_proj.bias")):
            return 0.01, 0.5
        if len(shape) == 1:  # all other vectors are norm weights or scales
            return 1.0, 0.1
        if "embed_tokens" in name or name.endswith("position_embedding_table"):
            return 0.0, 2.0**-5
        fan_in = shape[-1] if "experts" in name else math.prod(shape[1:])
        return 0.0, 2.0 ** round(-0.5 * math.log2(fan_in))  # a few powers of two: one block each


def split(shapes: dict[str, tuple[int, ...]], item: int, most: int) -> list[dict[str, tuple[int, ...]]]:
    """Tensors into files of at most so many bytes, in order."""
    files: list[dict[str, tuple[int, ...]]] = [{}]
    room = most
    for name, shape in shapes.items():
        nbytes = math.prod(shape) * item
        if nbytes > room and files[-1]:
            files.append({})
            room = most
        files[-1][name] = shape
        room -= nbytes
    return files


def make_twin(
    config: Config, directory: Path, dtype: str = "BF16", most: int = MOST_PER_FILE, quiet: bool = False
) -> int:
    """Write the checkpoint; the number of bytes of its tensors. config.json comes last: no config, no checkpoint."""
    shapes = tensor_shapes(config, dead_kv=True)
    item = 2 if dtype == "BF16" else 4
    total = item * sum(map(math.prod, shapes.values()))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").unlink(missing_ok=True)
    free = shutil.disk_usage(directory).free
    if total + 10**8 > free:
        sys.exit(
            f"{directory} needs {show_size(total + 10**8)} and its disk has {show_size(free)} free; nothing was written"
        )

    values, files = Values(config, dtype), split(shapes, item, most)
    names = ["model.safetensors"]
    if len(files) > 1:
        names = [f"model-{i:05d}-of-{len(files):05d}.safetensors" for i in range(1, len(files) + 1)]
    with tqdm(total=total, unit="B", unit_scale=True, disable=quiet) as bar:
        for file, tensors in zip(names, files, strict=True):
            write_safetensors(directory / file, tensors, partial(_watched, values, tensors, bar), dtype)
    if len(files) > 1:
        where = {name: file for file, tensors in zip(names, files, strict=True) for name in tensors}
        write_json(directory / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})
    _write_configs(config, directory, dtype)
    return total


def _watched(values: Values, tensors: dict[str, tuple[int, ...]], bar: tqdm, name: str) -> Iterator[np.ndarray]:
    for piece in values.pieces(name, tensors[name]):
        yield piece
        bar.update(piece.nbytes)


def _write_configs(config: Config, directory: Path, dtype: str) -> None:
    images = {"max_soft_tokens": config.default_soft_tokens, "patch_size": 16, "pooling_kernel_size": 3}
    write_json(
        directory / "processor_config.json",
        {"image_processor": images, "image_seq_length": 280, "audio_seq_length": 750},
    )
    stops = {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": [1, 106, 50]}
    write_json(
        directory / "generation_config.json",
        {**stops, "do_sample": True, "temperature": 1.0, "top_k": 64, "top_p": 0.95},
    )
    content = to_hub(config) | {"transformers_version": "5.5.0.dev0", **NOISE}
    content["dtype"] = content["text_config"]["dtype"] = "bfloat16" if dtype == "BF16" else "float32"
    content["text_config"] |= NOISE
    write_json(directory / "config.json", content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=list(PRESETS))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--scale", choices=["full", "small"], default="full")
    parser.add_argument("--layers", type=int, help="the first so many layers alone, at full width (26B-A4B and 31B)")
    given = parser.parse_args()
    config = PRESETS[given.variant] if given.scale == "full" else small(PRESETS[given.variant])
    if given.layers:
        if config.text.num_kv_shared_layers:
            parser.error(f"--layers: the last layers of {given.variant} share keys and values; it cannot be cut")
        kinds = config.text.layer_types[: given.layers]
        config = replace(config, text=replace(config.text, num_hidden_layers=len(kinds), layer_types=kinds))
    total = make_twin(config, given.directory, given.dtype.upper())
    print(f"{given.directory}: {len(tensor_shapes(config, dead_kv=True))} tensors, {total:,} bytes")


if __name__ == "__main__":
    main()
