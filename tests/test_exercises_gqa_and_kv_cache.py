"""The exercises of notebook 03 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.config import GLOBAL
from minigemma.exercises.gqa_and_kv_cache import (
    check_cache_bytes,
    check_grouped_attention,
    check_keys_from_values,
    check_kv_head,
)
from minigemma.ops import softmax
from minigemma.rope import rotate


def attention(q, k, v, kv_head=lambda h: h // 2, scale=1.0, future=False):
    out = np.empty_like(q)
    for h in range(q.shape[1]):
        scores = q[:, h] @ k[:, kv_head(h)].T * scale
        scores = scores if future else np.where(np.tri(len(q), dtype=bool), scores, -np.inf)
        out[:, h] = softmax(scores) @ v[:, kv_head(h)]
    return out


def cache_bytes(text, context, window=True, sharing=True, each=2):
    total = 0
    for kind in text.layer_types[: text.first_shared_layer if sharing else None]:
        if kind == GLOBAL:
            total += context * 2 * text.num_global_key_value_heads * text.global_head_dim * each
        else:
            rows = min(context, text.sliding_window) if window else context
            total += rows * 2 * text.num_key_value_heads * text.head_dim * each
    return total


SOLUTIONS = {
    check_kv_head: lambda h, H, G: h // (H // G),
    check_grouped_attention: attention,
    check_cache_bytes: cache_bytes,
    check_keys_from_values: lambda values, weight, rotation: rotate(values * weight, rotation),
}
MISTAKES = [
    (check_kv_head, lambda h, H, G: h % G, "take turns"),
    (check_kv_head, lambda h, H, G: h // G, "past the last"),
    (check_grouped_attention, lambda q, k, v: attention(q, k, v, scale=3**-0.5), "does not divide"),
    (check_grouped_attention, lambda q, k, v: attention(q, k, v, future=True), "see the future"),
    (check_grouped_attention, lambda q, k, v: attention(q, k, v, lambda h: h % 2), "take turns"),
    (check_cache_bytes, lambda text, n: cache_bytes(text, n, each=1), "Twice as much"),
    (check_cache_bytes, lambda text, n: cache_bytes(text, n, sharing=False), "31B is right"),
    (check_cache_bytes, lambda text, n: cache_bytes(text, n, window=False), "window only"),
    (check_keys_from_values, lambda values, weight, rotation: values * weight, "not turned"),
    (check_keys_from_values, lambda values, weight, rotation: rotate(values, rotation), "not weighted"),
    (check_keys_from_values, lambda values, weight, rotation: rotate(values, rotation) * weight, "order"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
