"""Exercises of the notebook on the mixture of experts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma import numbers
from minigemma.config import PRESETS, TextConfig
from minigemma.exercises import Verdict, judge_function
from minigemma.ops import softmax


def check_router(function: Callable[[np.ndarray, int, np.ndarray], np.ndarray]) -> Verdict:
    """``function(scores, k, scale)`` -> weights (T, E), zero where not chosen; scores (T, E), scale (E,)."""
    rng = np.random.default_rng(0)
    scores, scale, k = rng.normal(0, 1.5, (5, 8)), rng.uniform(0.5, 2, 8), 3
    everywhere = softmax(scores)
    kept = np.where(np.argsort(np.argsort(-scores)) < k, everywhere, 0)
    weights = kept / kept.sum(axis=-1, keepdims=True)
    early = kept * scale
    mistakes = [
        (weights, "Nearly: each weight is multiplied by its expert's scale at the end."),
        (kept * scale, "The k that are kept must sum to one before the scale: divide by their sum."),
        (kept, "Keep k, then divide by their sum, then multiply by each expert's scale."),
        (early / early.sum(axis=-1, keepdims=True), "The scale comes last: you renormalised after it, not before."),
        (everywhere * scale, "All experts have a weight in yours: only the k largest stay."),
        (everywhere, "That is the softmax alone: keep the k largest of it."),
    ]
    good = "Softmax, keep, renormalise, scale."
    return judge_function(function, (scores, k, scale), weights * scale, good, mistakes)


def check_active(function: Callable[[TextConfig], int]) -> Verdict:
    """``function(text)`` -> parameters of the experts that one token uses, all layers; text is a ``config.text``."""
    text = PRESETS["26B-A4B"].text
    one = numbers.expert_parameters(text)
    expected = one * text.top_k_experts * text.num_hidden_layers
    mistakes = {
        one * text.top_k_experts: "That is one layer: every layer has experts of its own.",
        one * text.num_experts * text.num_hidden_layers: "Those are all experts; a token uses k of them in a layer.",
        expected // 3 * 2: "An expert has three matrices: gate, up and down.",
        expected // 3: "An expert has three matrices: gate, up and down.",
        one * (text.num_experts - text.top_k_experts) * text.num_hidden_layers: "Those are the ones that rest.",
    }
    good = f"{expected / 1e9:.2f} billion; attention, dense feed-forward and embedding come on top."
    return judge_function(function, (text,), expected, good, mistakes, tolerance=0)


def check_distinct(function: Callable[[int, int, int], float]) -> Verdict:
    """``function(n, E, k)`` -> expected number of different experts that n tokens wake, if all are as likely."""
    n, E, k = 8, 128, 8
    mistakes = {
        min(n * k, E): "That counts an expert again for every token that chose it.",
        E * (1 - (1 - 1 / E) ** (n * k)): "Close: but a token's k experts differ, so it misses one with 1 - k/E.",
        E * (1 - k / E) ** n: "Those are the experts that nobody chose.",
        1 - (1 - k / E) ** n: "That is the chance that one expert is woken: there are E of them.",
    }
    good = "Eight tokens already read 52 of 128."
    expected = float(numbers.expected_experts(n, E, k))
    return judge_function(function, (n, E, k), expected, good, mistakes)
