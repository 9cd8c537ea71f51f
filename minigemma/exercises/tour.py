"""Exercises of the tour of the whole model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.ops import soft_cap

V, D = 7, 4


def check_embedding(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Verdict:
    """``function(ids, table)`` -> the vectors (T, D) that enter layer 0; ids (T,), table (V, D)."""
    ids, table = np.array([2, 5, 2]), np.random.default_rng(0).normal(size=(V, D))
    right = table[ids] * np.sqrt(D)
    mistakes = [
        (table[ids], "The rows are multiplied by √D."),
        (table[ids] * D, "The factor is √D, not D."),
        (table[ids] / np.sqrt(D), "Multiply by √D, do not divide."),
        (table[ids] * np.sqrt(V), "D is the width of a row, not the number of rows."),
    ]
    return judge_function(function, (ids, table), right, "One row for each id.", mistakes)


def check_head(function: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> Verdict:
    """``function(x, table, cap)`` -> logits (T, V) of normed vectors x (T, D)."""
    rng = np.random.default_rng(1)
    x, table, cap = 4 * rng.normal(size=(3, D)), 3 * rng.normal(size=(V, D)), 30.0
    plain = x @ table.T
    mistakes = [
        (plain, "The cap is missing: cap · tanh(logits / cap)."),
        (np.tanh(plain / cap), "tanh goes from -1 to 1: multiply by the cap again."),
        (cap * np.tanh(plain), "Divide by the cap before tanh."),
        (np.clip(plain, -cap, cap), "The cap is soft: tanh, not clip."),
    ]
    good = "A score for each token of the vocabulary, at every position."
    return judge_function(function, (x, table, cap), soft_cap(plain.copy(), cap), good, mistakes)


def check_parameters(function: Callable[[int, int, int, int], int]) -> Verdict:
    """``function(vocabulary, width, layers, small)`` -> parameters of both embedding tables of E2B."""
    vocabulary, width, layers, small = 262_144, 1536, 35, 256
    mistakes = {
        vocabulary * width: "That is the first table only. The second has a small vector for every token and layer.",
        vocabulary * (width + small): "The second table has a small vector for every layer.",
        vocabulary * layers * small: "That is the second table only.",
        2 * vocabulary * width + vocabulary * layers * small: "The head is the first table read backwards: count once.",
    }
    right = vocabulary * (width + layers * small)
    good = "More than half of the parameters in E2B's file are looked up, never multiplied with."
    return judge_function(function, (vocabulary, width, layers, small), right, good, mistakes, tolerance=0)
