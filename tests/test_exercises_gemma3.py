"""The exercises of notebook 16 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.gemma3 import check_cache_growth, check_folded_scale, check_induction


def induction(ids):
    ids = np.array(ids)
    query, key = np.arange(len(ids))[:, None], np.arange(len(ids))
    before = np.roll(ids, 1)
    return (before == ids[:, None]) & (key < query) & (key > 1)


def same(ids):
    ids = np.array(ids)
    return (ids[:, None] == ids) & np.tri(len(ids), k=-1, dtype=bool)


SOLUTIONS = {
    check_folded_scale: lambda stored, K: (1 + stored) / np.sqrt(K),
    check_induction: induction,
    check_cache_growth: lambda layers, heads, width: layers * 2 * heads * width * 2,
}
MISTAKES = [
    (check_folded_scale, lambda stored, K: 1 + stored, "not in them yet"),
    (check_folded_scale, lambda stored, K: stored / np.sqrt(K), "the one is missing"),
    (check_folded_scale, lambda stored, K: 1 + stored / np.sqrt(K), "First add"),
    (check_folded_scale, lambda stored, K: (1 + stored) / K, "divides by K"),
    (check_induction, same, "what came after"),
    (check_induction, lambda ids: induction(ids).T, "other way round"),
    (check_induction, lambda ids: np.roll(same(ids), -1, axis=1), "one ahead"),
    (check_cache_growth, lambda layers, heads, width: layers * heads * width * 2, "Both are kept"),
    (check_cache_growth, lambda layers, heads, width: layers * heads * width * 8, "not four"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
