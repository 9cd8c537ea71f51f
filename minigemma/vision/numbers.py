"""The numbers behind the pictures of the vision part: sizes under every budget, angles, likeness, who looks at what.

Small pure functions, so that a notebook can call them, print them and assert on them. Positions (N, 2) are the places
(x, y) of a picture's N patches; n soft tokens; H heads of width K.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigemma.config import GLOBAL, Config, VisionConfig
from minigemma.errors import InputError
from minigemma.numbers import BFLOAT16, kv_cache_bytes
from minigemma.rope import rotation_frequencies
from minigemma.vision.resize import BUDGETS, PATCH, POOL, size_for_budget


class Resized(NamedTuple):
    """What becomes of a picture under a budget of soft tokens."""

    budget: int
    width: int  # pixels
    height: int
    patches: int
    soft_tokens: int


def budget_table(width: int, height: int, budgets: Sequence[int] = BUDGETS) -> list[Resized]:
    """A picture of width x height pixels under every budget, one row each.

    >>> budget_table(300, 200)[0]
    Resized(budget=70, width=480, height=288, patches=540, soft_tokens=60)
    """
    rows = []
    for budget in budgets:
        new_height, new_width = size_for_budget(height, width, budget)
        patches = new_height * new_width // PATCH**2
        rows.append(Resized(budget, new_width, new_height, patches, patches // POOL**2))
    return rows


def soft_tokens_by_shape(ratios: np.ndarray, budget: int = 280) -> np.ndarray:
    """Soft tokens of pictures ``ratios`` times wider than tall, (R,) -> (R,) int: the size in pixels hardly matters."""
    side = 10_000  # pixels along the longer side
    sizes = [(round(side / max(r, 1)), round(side * min(r, 1))) for r in map(float, ratios)]  # (height, width)
    return np.array([budget_table(w, h, [budget])[0].soft_tokens for h, w in sizes])


class Work(NamedTuple):
    """Multiplications and additions of the image encoder for one picture."""

    linear: int  # matrices: grows with the patches
    attention: int  # every patch with every patch: grows with their square


def encoder_work(patches: int, config: VisionConfig) -> Work:
    """What the vision tower computes for a picture of so many patches.

    2 operations a weight and patch (q, k, v, o, three of the feed-forward, the patch embedding), and 4 a pair of
    patches and coordinate of the heads: scores, weighted values. Norms and softmax are left out: they are few.
    """
    heads = config.num_attention_heads * config.head_dim
    layer = 4 * config.hidden_size * heads + 3 * config.hidden_size * config.intermediate_size
    weights = config.num_hidden_layers * layer + 3 * config.patch_size**2 * config.hidden_size
    return Work(2 * patches * weights, 4 * patches**2 * heads * config.num_hidden_layers)


class Kept(NamedTuple):
    """Bytes of the KV cache that a picture's soft tokens take."""

    at_first: float  # all layers, while the picture is in every window
    for_good: float  # global layers alone: as long as the conversation lasts


def picture_cache(soft_tokens: int, config: Config, bytes_per_number: float = BFLOAT16) -> Kept:
    """What a picture adds to the decoder's cache; a local layer keeps at most its window."""
    layers = kv_cache_bytes(config.text, soft_tokens, bytes_per_number)
    return Kept(sum(layers.values()), layers[GLOBAL])


def rotation_angles(positions: np.ndarray, config: VisionConfig) -> np.ndarray:
    """By how much 2-D RoPE turns each pair of a head, in radians: positions (N, 2) -> (2, N, K/4), x then y.

    Pair j of the first half of a head is (j, j + K/4) and turns with x; the second half does the same with y.
    """
    frequencies = rotation_frequencies(config.head_dim // 2, config.rope_theta)  # (K/4,)
    return positions.T[:, :, None].astype(np.float32) * frequencies


def rotation_likeness(positions: np.ndarray, row: int, config: VisionConfig) -> np.ndarray:
    """How well one patch would match its own content elsewhere, by rotation alone: (N, 2) for the x and the y half.

    The mean cosine of the angles between them, which is the score of content spread evenly over all pairs; 1 at no
    distance. The score of the whole head is the mean of both halves.
    """
    angles = rotation_angles(positions, config)  # (2, N, K/4)
    return np.cos(angles - angles[:, row, None]).mean(axis=-1).T


def cosines(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Likeness of every vector to every other one, from -1 to 1: (A, D), (B, D) -> (A, B). Null vectors give 0."""
    a, b = (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (vectors, others))
    return a @ b.T


def token_corners(positions: np.ndarray, pool: int = POOL) -> np.ndarray:
    """The first patch of each soft token as (x, y): (n, 2). Token i averages the pool x pool patches from there.

    >>> from minigemma.vision.patches import grid
    >>> token_corners(grid(6, 6)).tolist()
    [[0, 0], [3, 0], [0, 3], [3, 3]]
    """
    columns, rows = positions.max(axis=0) // pool + 1
    y, x = np.divmod(np.arange(columns * rows), columns)
    return np.stack([x, y], axis=1) * pool


def image_runs(is_image: np.ndarray) -> list[slice]:
    """Where each image stands in a prompt: is_image (T,) bool -> one slice an unbroken run of placeholders.

    >>> image_runs(np.array([False, True, True, False, True]))
    [slice(1, 3, None), slice(4, 5, None)]
    """
    edges = np.flatnonzero(np.diff(np.asarray(is_image, bool), prepend=False, append=False))
    return [slice(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def attention_to(run: slice, patterns: Sequence[np.ndarray]) -> np.ndarray:
    """How much every token looks at each soft token of an image: patterns of layers (H, T, S) -> (T, n).

    Averaged over the heads of all layers given (``trace["layers.i.attention.pattern"]``); run: see ``image_runs``.
    """
    if not len(patterns):
        raise InputError("no pattern was given; trace one, e.g. with Trace('layers.*.attention.pattern')")
    return np.mean([pattern[:, :, run].mean(axis=0) for pattern in patterns], axis=0)


def pattern_bytes(patches: int, config: VisionConfig, bytes_per_number: int = 4) -> int:
    """Bytes of one layer's whole attention pattern (H, N, N), which only a trace makes."""
    return config.num_attention_heads * patches**2 * bytes_per_number
