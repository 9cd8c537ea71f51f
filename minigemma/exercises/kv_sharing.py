"""Exercises of the notebook on keys and values shared across layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigemma import numbers
from minigemma.config import PRESETS
from minigemma.exercises import Verdict, judge_function
from minigemma.interleaving import schedule

E2B = PRESETS["E2B"].text


def check_sources(function: Callable[[Sequence[str], int], Sequence[int]]) -> Verdict:
    """``function(kinds, first_shared)`` -> the layer whose keys and values each layer reads, for E2B's kinds."""
    kinds, first = E2B.layer_types, E2B.first_shared_layer
    expected = [spec.kv_source for spec in schedule(E2B)]

    def earlier(i: int, same: bool, own: bool) -> int:
        before = [j for j in range(i) if (kinds[j] == kinds[i] or not same) and (j < first or not own)]
        return before[-1] if before else i

    def sources(same: bool = True, own: bool = True) -> list[int]:
        return [i if i < first else earlier(i, same, own) for i in range(len(kinds))]

    mistakes = [
        (sources(own=False), "Your sharing layers read other sharing layers, which have no keys and values."),
        (sources(same=False), "A local layer needs keys of 256 numbers, a global one of 512: look for the same kind."),
        ([earlier(i, True, True) if i else 0 for i in range(len(kinds))], "Layers before first_shared read their own."),
    ]
    good = "Layers 13 and 14 serve all twenty."
    return judge_function(function, (kinds, first), expected, good, mistakes, tolerance=0)


def check_saved(function: Callable[..., float]) -> Verdict:
    """``function(text, context)`` -> the share of the cache that sharing saves, between 0 and 1, for E2B and E4B."""
    names, context = ("E2B", "E4B"), 131_072

    def sizes(name: str) -> tuple[float, float]:
        text = PRESETS[name].text
        with_, without = text, numbers.without_sharing(text)
        return sum(numbers.kv_cache_bytes(with_, context).values()), sum(
            numbers.kv_cache_bytes(without, context).values()
        )

    left = np.array([shared / alone for shared, alone in map(sizes, names)])
    mistakes = [
        (left, "That is the share that is left."),
        (1 / left, "That is how many times smaller the cache is; asked is the share saved."),
    ]
    good = "Four sevenths in E2B, three sevenths in E4B: as many as layers share, since both kinds share alike."
    return judge_function(
        lambda: [function(PRESETS[name].text, context) for name in names], (), 1 - left, good, mistakes
    )


def check_prefill(function: Callable[[int, int, int], int]) -> Verdict:
    """``function(L, shared, T)`` -> how many (layer, position) pairs a prompt of T tokens needs for its last logits."""
    L, shared, T = E2B.num_hidden_layers, E2B.num_kv_shared_layers, 1000
    mistakes = {
        L * T: "That is every layer at every position. Who would read what a sharing layer makes of an early position?",
        (L - shared) * T: "Nearly: at the last position the sharing layers must run, or there are no logits.",
        L * T - shared: "It is the other way round: sharing layers run at one position and skip the others.",
    }
    good = "Less than half of the work, and no number changes."
    return judge_function(function, (L, shared, T), (L - shared) * T + shared, good, mistakes, tolerance=0)
