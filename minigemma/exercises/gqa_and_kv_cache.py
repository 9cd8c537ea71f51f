"""Exercises of the notebook on grouped queries, K=V and the KV cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma import naive, numbers
from minigemma.config import PRESETS
from minigemma.exercises import Verdict, judge_function
from minigemma.rope import rotate, rotation_frequencies, rotation_table

K = 1024


def check_kv_head(function: Callable[[int, int, int], int]) -> Verdict:
    """``function(h, H, G)`` -> the KV head that query head h of H reads, of G."""
    heads, groups = 16, 2
    expected = np.arange(heads) // (heads // groups)
    mistakes = [
        (np.arange(heads) % groups, "Neighbours share a KV head; yours take turns (that is h % G)."),
        (np.arange(heads) // groups, "h // G goes past the last KV head: divide by how many query heads share one."),
    ]
    good = "H / G neighbours read the same KV head."
    return judge_function(lambda: [function(h, heads, groups) for h in range(heads)], (), expected, good, mistakes)


def check_grouped_attention(function: Callable[..., np.ndarray]) -> Verdict:
    """``function(q, k, v)`` -> (T, H, K) from q (T, H, K), k, v (T, G, K): causal, no window, no 1/sqrt(K)."""
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(5, 4, 3)).astype(np.float32)
    keys, values = rng.normal(size=(2, 5, 2, 3)).astype(np.float32)
    causal = numbers.visible(5)
    expected = naive.attend(queries, keys, values, causal)
    taking_turns = naive.attend(queries, keys[:, [0, 1, 0, 1]], values[:, [0, 1, 0, 1]], causal)
    mistakes = [
        (naive.attend(queries / np.sqrt(3), keys, values, causal), "Gemma 4 does not divide by sqrt(K)."),
        (
            naive.attend(queries, keys, values, np.ones((5, 5), bool)),
            "Your tokens see the future: mask before softmax.",
        ),
        (taking_turns, "Your heads take turns: heads 0 and 1 read KV head 0, heads 2 and 3 read KV head 1."),
    ]
    good = "That is all of grouped-query attention."
    return judge_function(function, (queries, keys, values), expected, good, mistakes)


def check_cache_bytes(function: Callable[..., int]) -> Verdict:
    """``function(text, context)`` -> bytes of a bfloat16 cache; text is a model's ``config.text``."""
    names, context = ("31B", "E2B"), 32 * K
    expected = [sum(numbers.kv_cache_bytes(PRESETS[name].text, context).values()) for name in names]

    def wrong(change: Callable) -> list[float]:
        return [float(change(PRESETS[name].text)) for name in names]

    mistakes = [
        (np.array(expected) / 2, "Twice as much: keys *and* values, or two bytes a number?"),
        (np.array(expected) * 2, "Half as much: a bfloat16 number takes two bytes."),
        (
            wrong(lambda text: sum(numbers.kv_cache_bytes(numbers.without_sharing(text), context).values())),
            "31B is right. In E2B the last 20 layers keep nothing: they read the cache of an earlier layer.",
        ),
        (
            wrong(
                lambda text: sum(
                    context * numbers.kv_row_bytes(*numbers.kv_heads(text, kind))
                    for kind in text.layer_types[: text.first_shared_layer]
                )
            ),
            "A local layer keeps its window only, not the whole context.",
        ),
    ]
    good = f"31B keeps {expected[0] / expected[1]:.0f} times as much as E2B."
    return judge_function(
        lambda: [function(PRESETS[name].text, context) for name in names], (), expected, good, mistakes
    )


def check_keys_from_values(function: Callable[..., np.ndarray]) -> Verdict:
    """``function(values, weight, rotation)`` -> keys, where K=V: values (T, G, K), weight (K,) of the key norm."""
    rng = np.random.default_rng(1)
    values, weight = rng.normal(size=(6, 1, 16)).astype(np.float32), rng.uniform(0.5, 2, 16).astype(np.float32)
    rotation = rotation_table(np.arange(6), rotation_frequencies(16, 1e6, 0.25))
    mistakes = [
        (values * weight, "Weighted, but not turned: keys are rotated to their position."),
        (rotate(values, rotation), "Turned, but not weighted: the key norm has a weight, the value norm has none."),
        (rotate(values, rotation) * weight, "The order matters: first the weight, then the rotation."),
    ]
    good = "So a cache could keep V alone and make K from it at every use."
    expected = rotate(values * weight, rotation)
    return judge_function(function, (values, weight, rotation), expected, good, mistakes)
