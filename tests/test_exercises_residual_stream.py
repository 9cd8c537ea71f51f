"""The exercises of notebook 01 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.residual_stream import check_bound, check_fading, check_rms_norm, check_sublayer


def normed(x, weight, eps, mean=0.0, inside=True, axis=-1, plus=0.0):
    square = np.mean((x - mean) ** 2, axis=axis, keepdims=True)
    return (x - mean) / (np.sqrt(square + eps) if inside else np.sqrt(square) + eps) * (plus + weight)


def bound(q, k, power=1.0):
    return len(q) ** power * np.abs(q * k).max()


SOLUTIONS = {
    check_rms_norm: normed,
    check_sublayer: lambda x, compute, before, after, norm: x + norm(compute(norm(x, before)), after),
    check_bound: bound,
    check_fading: lambda scalars: [np.prod(scalars[i:]) for i in range(len(scalars))],
}
MISTAKES = [
    (check_rms_norm, lambda x, w, eps: normed(x, w, eps, plus=1.0), "Gemma 1 to 3"),
    (check_rms_norm, lambda x, w, eps: normed(x, w, eps, inside=False), "inside the root"),
    (check_rms_norm, lambda x, w, eps: normed(x, w, 0.0), "eps is missing"),
    (check_rms_norm, lambda x, w, eps: normed(x, w, eps, mean=x.mean(axis=-1, keepdims=True)), "LayerNorm"),
    (check_rms_norm, lambda x, w, eps: normed(x, w, eps, axis=None), "size of its own"),
    (check_sublayer, lambda x, compute, before, after, norm: x + compute(norm(x, before)), "second norm"),
    (check_sublayer, lambda x, compute, before, after, norm: norm(x + compute(norm(x, before)), after), "not the sum"),
    (
        check_sublayer,
        lambda x, compute, before, after, norm: norm(compute(norm(x, before)), after),
        "stream is missing",
    ),
    (check_bound, lambda q, k: len(q), "weights of 1"),
    (check_bound, lambda q, k: bound(q, k, 0.5), "√K · √K"),
    (check_bound, lambda q, k: len(q) * q.max() * k.max(), "same coordinate"),
    (check_fading, lambda scalars: [np.prod(scalars[i + 1 :]) for i in range(len(scalars))], "own scalar"),
    (check_fading, np.cumprod, "from the first layer"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
