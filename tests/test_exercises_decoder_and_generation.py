"""The exercises of notebook 08 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.decoder_and_generation import check_layer, check_positions, check_read_out, check_top_p
from minigemma.ops import rms_norm, softmax


def layer(x, attention, feed_forward, norms, scalar):
    x = x + norms["post_attention"](attention(norms["input"](x)))
    x = x + norms["post_feedforward"](feed_forward(norms["pre_feedforward"](x)))
    return x * scalar


def pre_norm_only(x, attention, feed_forward, norms, scalar):
    x = x + attention(norms["input"](x))
    x = x + feed_forward(norms["pre_feedforward"](x))
    return x * scalar


def norm_of_the_sum(x, attention, feed_forward, norms, scalar):
    x = norms["post_attention"](x + attention(norms["input"](x)))
    x = norms["post_feedforward"](x + feed_forward(norms["pre_feedforward"](x)))
    return x * scalar


def scaled_branches(x, attention, feed_forward, norms, scalar):
    x = x + scalar * norms["post_attention"](attention(norms["input"](x)))
    return x + scalar * norms["post_feedforward"](feed_forward(norms["pre_feedforward"](x)))


def read_out(x, weight, table, cap, norm=True, capped=True):
    logits = (rms_norm(x, weight) if norm else x) @ table.T
    return softmax(cap * np.tanh(logits / cap) if capped else logits)


def top_p(probabilities, p, more=1, renormalise=True):
    order = np.argsort(-probabilities)
    kept = order[: np.searchsorted(np.cumsum(probabilities[order]), p) + more]
    out = np.zeros_like(probabilities)
    out[kept] = probabilities[kept]
    return out / out.sum() if renormalise else out


def positions(P, N):
    return P + N - 1, sum(P + i for i in range(N))


SOLUTIONS = {check_layer: layer, check_read_out: read_out, check_top_p: top_p, check_positions: positions}
MISTAKES = [
    (check_layer, pre_norm_only, "normed once more"),
    (check_layer, norm_of_the_sum, "of the branch alone"),
    (check_layer, scaled_branches, "not the branches"),
    (check_layer, lambda *given: layer(*given[:-1], 1.0), "scalar is missing"),
    (check_read_out, lambda *given: read_out(*given, norm=False), "norm is missing"),
    (check_read_out, lambda *given: read_out(*given, capped=False), "soft cap is missing"),
    (check_top_p, lambda probabilities, p: top_p(probabilities, p, more=0), "One too few"),
    (check_top_p, lambda probabilities, p: top_p(probabilities, p, more=2), "One too many"),
    (check_top_p, lambda probabilities, p: top_p(probabilities, p, renormalise=False), "sum to 1"),
    (check_positions, lambda P, N: (P + N, positions(P, N)[1]), "never read"),
    (check_positions, lambda P, N: (P + N - 1, N * P), "gets longer"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
