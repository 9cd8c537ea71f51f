"""The exercises of notebook 12 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.conformer import check_convolution, check_keys, check_layer, check_reach


def convolution(x, kernel, front=4):
    padded = np.pad(x, ((front, 4 - front), (0, 0)))
    return sum(padded[j : j + len(x)] * kernel[:, j] for j in range(5))


def layer(x, ff1, attention, conv, ff2, norm, half=0.5, swap=False):
    x = x + half * ff1(x)
    for part in (conv, attention) if swap else (attention, conv):
        x = x + part(x)
    return norm(x + half * ff2(x))


SOLUTIONS = {
    check_keys: lambda t: (max(0, t - 11), t),
    check_reach: lambda layers: layers * 15 * 0.04,
    check_convolution: convolution,
    check_layer: layer,
}
MISTAKES = [
    (check_keys, lambda t: (max(0, t - 12), t), "13 keys"),
    (check_keys, lambda t: (t // 12 * 12, t), "block before"),
    (check_keys, lambda t: (t - 11, t), "before token 0"),
    (check_reach, lambda layers: layers * 16 * 0.04, "no step back"),
    (check_reach, lambda layers: layers * 11 * 0.04, "convolution"),
    (check_reach, lambda layers: layers * 15, "tokens"),
    (check_convolution, lambda x, kernel: convolution(x, kernel, front=2), "centred"),
    (check_convolution, lambda x, kernel: convolution(x, kernel, front=0), "ahead"),
    (check_convolution, lambda x, kernel: convolution(x, kernel[:, ::-1]), "turned around"),
    (check_layer, lambda *parts: layer(*parts, half=1), "half"),
    (check_layer, lambda *parts: layer(*parts, swap=True), "before the convolution"),
    (check_layer, lambda *parts: layer(*parts[:-1], lambda h: h), "norm at the end"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
