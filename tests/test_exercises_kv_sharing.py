"""The exercises of notebook 04 accept their solutions and know typical mistakes."""

from exercise_tests import exercise_tests

from minigemma.config import GLOBAL
from minigemma.exercises.kv_sharing import check_prefill, check_saved, check_sources


def sources(kinds, first, same=True, own=True):
    out = []
    for i, kind in enumerate(kinds):
        before = [j for j in range(i) if (kinds[j] == kind or not same) and (j < first or not own)]
        out.append(i if i < first else before[-1])
    return out


def cache(text, context, layers):
    def row(kind):
        if kind == GLOBAL:
            return context * text.num_global_key_value_heads * text.global_head_dim
        return min(context, text.sliding_window) * text.num_key_value_heads * text.head_dim

    return sum(row(kind) for kind in text.layer_types[:layers])


def left(text, context):
    return cache(text, context, text.first_shared_layer) / cache(text, context, None)


SOLUTIONS = {
    check_sources: sources,
    check_saved: lambda text, context: 1 - left(text, context),
    check_prefill: lambda L, shared, T: (L - shared) * T + shared,
}
MISTAKES = [
    (check_sources, lambda kinds, first: sources(kinds, first, own=False), "have no keys and values"),
    (check_sources, lambda kinds, first: sources(kinds, first, same=False), "same kind"),
    (check_saved, left, "that is left"),
    (check_saved, lambda text, n: 1 / left(text, n), "times smaller"),
    (check_prefill, lambda L, shared, T: L * T, "every position"),
    (check_prefill, lambda L, shared, T: (L - shared) * T, "no logits"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
