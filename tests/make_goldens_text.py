"""Remake tests/goldens/text_*.npz from the installed transformers: ``python tests/make_goldens_text.py``.

Only ids and outputs are stored. Weights are drawn again from the tensors' names and shapes (stored) and the seed.
Arrays carry the names of our trace. All layers' outputs, patterns and router probabilities; for the layers in DETAILED
what goes in and out of each module; continuations by the reference's own generate; a prompt with images and sounds.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from reference import random_model, reference_generate, reference_run, tensors
from small_models import SHAPES, draw_ids, media_prompt

GOLDENS = Path(__file__).parent / "goldens"
SEED, LENGTH, NEW_TOKENS = 7, 19, 24  # the longest window is 8
EVERYWHERE = [
    "logits",
    "layers.?.output",
    "layers.??.output",
    "layers.*.attention.pattern",
    "layers.*.moe.router_probabilities",
]
DETAILED = {"e2b": (5, 6, 7, 8), "26b": (3, 4)}  # both KV sources and a layer that reads each; a local and a K=V layer
PARTS = [
    "attention.*",
    "middle",
    "feed_forward.input",
    "feed_forward.output",
    "feed_forward.added",
    "ple.added",
    "moe.*",
]
UNUSED = [
    "*.attention.*_projected",
    "*.attention.*_normed",
    "*.attention.heads",
    "*.attention.added",
    "*.router_scores",
]
SHARED = ["ple.*", "rotation.*", "embedding", "final_norm"]
MEDIA = ["logits", "embedding", "ple.inputs", "layers.0.attention.pattern", "layers.4.attention.pattern"]


def matching(found: dict[str, np.ndarray], patterns: list[str]) -> dict[str, np.ndarray]:
    return {name: array for name, array in found.items() if any(fnmatchcase(name, p) for p in patterns)}


def text_golden(shape: str) -> dict[str, np.ndarray]:
    model, ids = random_model(shape, SEED), draw_ids(LENGTH, SEED)
    found = reference_run(model, ids)
    wanted = EVERYWHERE + [f"layers.{i}.{part}" for i in DETAILED.get(shape, ()) for part in PARTS]
    kept = matching(found, wanted + (SHARED if shape in DETAILED else []))
    kept = {name: array for name, array in kept.items() if name not in matching(found, UNUSED)}
    return described(model) | kept | {"ids": ids, "continuation": np.array(reference_generate(model, ids, NEW_TOKENS))}


def media_golden(shape: str) -> dict[str, np.ndarray]:
    model = random_model(shape, SEED, towers=True)
    ids, images, audio = media_prompt(shape, SEED)
    return described(model) | {"ids": ids} | matching(reference_run(model, ids, images, audio), MEDIA)


def described(model) -> dict[str, np.ndarray]:
    shapes = {name: array.shape for name, array in tensors(model).items()}
    return {"seed": np.array(SEED), "shapes": np.array(json.dumps(shapes, separators=(",", ":")))}


def write(name: str, arrays: dict[str, np.ndarray]) -> None:
    file = GOLDENS / f"{name}.npz"
    np.savez_compressed(file, **arrays)
    print(f"{file.name}: {len(arrays)} arrays, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    GOLDENS.mkdir(exist_ok=True)
    for shape in SHAPES:
        write(f"text_{shape}", text_golden(shape))
    for shape in ("e2b", "26b"):
        write(f"text_{shape}_media", media_golden(shape))
