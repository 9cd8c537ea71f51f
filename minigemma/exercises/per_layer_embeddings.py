"""Exercises of the notebook on per-layer embeddings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.ops import gelu

L, P, D = 5, 4, 6


def check_bytes(function: Callable[[int, int], int]) -> Verdict:
    """``function(layers, width)`` -> bytes of bfloat16 that one token reads from the table."""
    layers, width = 35, 256
    mistakes = {
        layers * width: "A bfloat16 number takes two bytes.",
        2 * width: "That is one layer's vector; the row holds one for every layer.",
        4 * layers * width: "That is float32; the file holds bfloat16, two bytes a number.",
    }
    good = "17,920 bytes for E2B, of a table of more than four gigabytes."
    return judge_function(function, (layers, width), 2 * layers * width, good, mistakes, tolerance=0)


def check_vector(function: Callable[[np.ndarray, int, int], np.ndarray]) -> Verdict:
    """``function(row, layer, layers)`` -> the layer's vector (P,) of a table row (L * P,)."""
    row = np.arange(L * P, dtype=np.float32)
    folded, layer = row.reshape(L, P), 3
    mistakes = [
        (row.reshape(P, L)[:, layer], "The row runs layer by layer, all P numbers of a layer together."),
        (row[layer::L], "The row runs layer by layer, all P numbers of a layer together."),
        (folded[layer - 1], "Layers are counted from 0."),
    ]
    return judge_function(function, (row, layer, L), folded[layer], "Layer-major: a row folds into (L, P).", mistakes)


def check_mix(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Verdict:
    """``function(row, context)`` -> the mixed vector (P,): row (P,) of the table, context (P,) projected and normed."""
    rng = np.random.default_rng(3)
    row, context = rng.normal(size=(2, P))
    scaled = row * np.sqrt(P)
    mistakes = [
        ((row + context) / np.sqrt(2), "The table's part is scaled by √P first, as embeddings are."),
        (scaled + context, "Two parts of size one make one of size √2: divide by it."),
        ((scaled + context) / 2, "Divide by √2, not by 2: that keeps the size, not the mean."),
    ]
    return judge_function(function, (row, context), (scaled + context) / np.sqrt(2), "", mistakes)


def check_gate(function: Callable[..., np.ndarray]) -> Verdict:
    """``function(x, vector, gate, project, gelu)`` -> what a layer adds before its norm: (D,)."""
    rng = np.random.default_rng(4)
    x, vector = rng.normal(size=D), rng.normal(size=P)
    gate, project = rng.normal(size=(P, D)), rng.normal(size=(D, P))
    mistakes = [
        (project @ (gate @ x * vector), "The gate passes through GELU before it meets the vector."),
        (project @ gelu(gate @ x * vector), "GELU comes first, then the product with the vector."),
        (project @ gelu(gate @ x), "The layer's vector is missing: the gate only says how much of it."),
    ]
    expected = project @ (gelu(gate @ x) * vector)
    good = "The stream decides how much of each number of the token's vector is let in."
    return judge_function(function, (x, vector, gate, project, gelu), expected, good, mistakes)
