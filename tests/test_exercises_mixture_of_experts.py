"""The exercises of notebook 06 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.mixture_of_experts import check_active, check_distinct, check_router


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def kept(scores, k):
    return np.where(scores >= np.sort(scores, axis=-1)[:, [-k]], softmax(scores), 0)


def to_one(weights):
    return weights / weights.sum(axis=-1, keepdims=True)


def one(text):
    return 3 * text.hidden_size * text.moe_intermediate_size


def other_order(scores, k, scale):
    return softmax(np.where(kept(scores, k) > 0, scores, -np.inf)) * scale


SOLUTIONS = {
    check_router: lambda scores, k, scale: to_one(kept(scores, k)) * scale,
    check_active: lambda text: one(text) * text.top_k_experts * text.num_hidden_layers,
    check_distinct: lambda n, E, k: E * (1 - (1 - k / E) ** n),
}
MISTAKES = [
    (check_router, lambda scores, k, scale: to_one(kept(scores, k)), "expert's scale at the end"),
    (check_router, lambda scores, k, scale: kept(scores, k) * scale, "divide by their sum"),
    (check_router, lambda scores, k, scale: to_one(kept(scores, k) * scale), "scale comes last"),
    (check_router, lambda scores, k, scale: softmax(scores) * scale, "only the k largest"),
    (check_active, lambda text: one(text) * text.top_k_experts, "one layer"),
    (check_active, lambda text: one(text) * text.num_experts * text.num_hidden_layers, "all experts"),
    (check_active, lambda text: one(text) // 3 * 2 * text.top_k_experts * text.num_hidden_layers, "three matrices"),
    (check_distinct, lambda n, E, k: min(n * k, E), "again for every token"),
    (check_distinct, lambda n, E, k: E * (1 - (1 - 1 / E) ** (n * k)), "k experts differ"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)


def test_softmax_after_the_choice_is_the_same_router():
    assert check_router(other_order).right
