"""Exercises of the notebook from Gemma 3 to Gemma 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.gemma3.presets import PRESETS
from minigemma.heads import habit_masks

IDS = (2, 8, 5, 9, 8, 5, 9, 8)


def check_folded_scale(function: Callable[[np.ndarray, int], np.ndarray]) -> Verdict:
    """``function(stored, K)``: the q_norm weight that a decoder without a scale needs; stored (K,) is Gemma 3's w."""
    stored = np.random.default_rng(0).normal(0, 0.5, 64)
    factor = 1 + stored
    mistakes = [
        (factor, "Those are the factors of the norm; the scale 1/√K is not in them yet."),
        (stored / 8, "Gemma 3 stores w and multiplies by 1 + w: the one is missing."),
        (1 + stored / 8, "First add the one, then divide: the whole factor is scaled."),
        (factor * 8, "That multiplies by √K; scores are divided by it."),
        (factor / 64, "That divides by K; scores are divided by its square root."),
        (factor / 8**0.5, "Only the queries carry the scale, so they carry all of it: √K, not its root."),
    ]
    good = "So the scale costs nothing and needs no line of code: it is in the weights."
    return judge_function(function, (stored, 64), factor / 8, good, mistakes)


def check_induction(function: Callable[[Sequence[int]], np.ndarray]) -> Verdict:
    """``function(ids)`` -> (T, T) bool: the keys at which a pure induction head looks."""
    masks = habit_masks(IDS)
    ids = np.array(IDS)
    same = (ids[:, None] == ids) & np.tri(len(ids), k=-1, dtype=bool)
    mistakes = [
        (masks["same token"], "Those are the earlier places themselves; the head looks at what came after them."),
        (masks["previous token"], "That is the previous-token head."),
        (np.roll(same, -1, axis=1), "You went one place back instead of one ahead."),
        (masks["induction"].T, "Rows are queries, columns are keys: yours is the other way round."),
    ]
    return judge_function(function, (list(IDS),), masks["induction"], "A look-up and a step ahead.", mistakes)


def check_cache_growth(function: Callable[..., int]) -> Verdict:
    """``function(global_layers, kv_heads, width)`` -> bytes that a further token adds once the windows are full."""
    text = PRESETS["27B"].text
    arguments = (10, text.num_key_value_heads, text.head_dim)
    expected = 10 * 2 * 16 * 128 * 2
    mistakes = {
        expected // 2: "Both are kept, a key and a value; and a bfloat16 number has two bytes.",
        expected // 4: "Both are kept, a key and a value, and a bfloat16 number has two bytes.",
        expected * 2: "A bfloat16 number has two bytes, not four.",
    }
    good = "Gemma 3 27B: 81,920 bytes a token. Gemma 4 26B-A4B: 5 layers of 2 heads of 512, a quarter of that."
    return judge_function(function, arguments, expected, good, mistakes, tolerance=0)
