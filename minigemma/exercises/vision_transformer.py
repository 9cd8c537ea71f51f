"""Exercises of the notebook on the vision transformer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.ops import clipped_linear
from minigemma.rope import rotate, rotation_frequencies, rotation_table
from minigemma.vision.patches import grid, patchify


def check_patchify(function: Callable[[np.ndarray, int], np.ndarray]) -> Verdict:
    """``function(image, patch)``: (H, W, C) -> (N, patch * patch * C); row by row, inside row, column, channel."""
    image, patch = np.arange(4 * 6 * 3).reshape(4, 6, 3), 2
    right = patchify(image, patch)  # (6, 12)
    squares = image.reshape(2, patch, 3, patch, 3).swapaxes(1, 2)  # (rows, columns, patch, patch, C)
    mistakes = [
        (image.reshape(6, 12), "A plain reshape cuts the picture into strips: swap the two middle axes first."),
        (squares.transpose(0, 1, 4, 2, 3).reshape(6, 12), "The channel comes first in yours; it should run fastest."),
        (squares.swapaxes(0, 1).reshape(6, 12), "Your patches go column by column; they should go row by row."),
        (squares.swapaxes(2, 3).reshape(6, 12), "Inside a patch you go column by column; it should be row by row."),
    ]  # fmt: skip
    return judge_function(function, (image, patch), right, "No pixel is lost, and none is used twice.", mistakes)


def check_positions(function: Callable[[int, int, int], np.ndarray]) -> Verdict:
    """``function(columns, rows, length)`` -> (length, 2) as (x, y), row by row; -1, -1 where the list is padded."""
    columns, rows, length = 4, 2, 11
    tail = np.full((length - columns * rows, 2), -1)
    right = np.concatenate([grid(columns, rows), tail])
    mistakes = [
        (right[:, ::-1], "You have (y, x); x, the column, comes first."),
        (np.concatenate([grid(rows, columns)[:, ::-1], tail]), "Your list goes column by column; it goes row by row."),
        (grid(columns, rows), "The list is not padded to its length."),
        (np.maximum(right, 0), "Padding at (0, 0) is taken for the first patch: mark it with -1."),
    ]
    good = "The length of the list says nothing about the picture; the positions do."
    return judge_function(function, (columns, rows, length), right, good, mistakes)


def check_rotate_2d(function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Verdict:
    """``function(x, positions, frequencies)``: heads x (N, K) at (N, 2), K/4 frequencies -> (N, K)."""
    rng = np.random.default_rng(0)
    positions, x = grid(3, 2), rng.normal(size=(6, 8)).astype(np.float32)
    frequencies = rotation_frequencies(4, 100.0)  # (2,)

    def halves(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        parts = zip(np.split(x, 2, axis=-1), (first, second), strict=True)
        return np.concatenate([turned(part, at, frequencies) for part, at in parts], axis=-1)

    a, b = positions.T
    both = np.concatenate([a[:, None] * frequencies, b[:, None] * frequencies], axis=1)  # one half-split over all of K
    whole = rotate(x[:, None], (np.cos(both), np.sin(both)))[:, 0]
    mistakes = [
        (halves(b, a), "You turned the first half by y; it turns by x, the second by y."),
        (halves(a, a), "Both halves turn by x in yours; the second turns by y."),
        (whole, "You paired (i, i + K/2) over the whole head. Cut it in two first: inside a half, (i, i + K/4)."),
        (halves(-a, -b), "That turns the other way: a cos - b sin, b cos + a sin."),
    ]
    good = "Two little RoPEs side by side, one for each direction."
    return judge_function(function, (x, positions, frequencies), halves(a, b), good, mistakes)


def check_clipped(function: Callable[..., np.ndarray]) -> Verdict:
    """``function(x, W, in_min, in_max, out_min, out_max)``: x (N, D), W (out, D) -> (N, out), clamped twice."""
    rng = np.random.default_rng(1)
    x, W = (3 * rng.normal(size=(5, 4))).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    bounds = {"input_min": -2.0, "input_max": 2.5, "output_min": -1.5, "output_max": 3.0}
    lo, hi, out_lo, out_hi = bounds.values()
    right = clipped_linear(x, {"linear.weight": W, **{name: np.array(b, np.float32) for name, b in bounds.items()}})
    mistakes = [
        (x @ W.T, "Nothing is clamped."),
        (np.clip(x, lo, hi) @ W.T, "The output is not clamped."),
        (np.clip(x @ W.T, out_lo, out_hi), "The input is not clamped."),
    ]
    return judge_function(function, (x, W, lo, hi, out_lo, out_hi), right, "Clamp, multiply, clamp.", mistakes)


def turned(x: np.ndarray, position: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Ordinary RoPE: vectors x (N, K) at places (N,), pairs (i, i + K/2) turned by K/2 frequencies -> (N, K)."""
    return rotate(x[:, None], rotation_table(position, frequencies))[:, 0]
