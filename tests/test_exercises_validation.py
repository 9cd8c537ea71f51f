"""The exercises of notebook 14 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.validation import check_bisect, check_relative, check_step, check_worst_row

norm = np.linalg.norm


def bisect(differs, count):
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if differs(middle) else (middle + 1, high)
    return low


def one_by_one(differs, count):
    return next(i for i in range(count) if differs(i))


def step(x, bits=7):
    return 2.0 ** (np.floor(np.log2(x)) - bits)


SOLUTIONS = {
    check_relative: lambda a, b: norm(a - b) / norm(b),
    check_worst_row: lambda a, b: max(norm(x - y) / norm(y) for x, y in zip(a, b, strict=True)),
    check_bisect: bisect,
    check_step: step,
}
MISTAKES = [
    (check_relative, lambda a, b: norm(a - b) / norm(a), "not by ours"),
    (check_relative, lambda a, b: np.abs((a - b) / b).max(), "near 0"),
    (check_relative, lambda a, b: norm(a - b), "divide it"),
    (check_worst_row, lambda a, b: norm(a - b) / norm(b), "drowns"),
    (check_worst_row, lambda a, b: (norm(a - b, axis=1) / norm(b, axis=1)).mean(), "hides"),
    (check_bisect, one_by_one, "64 times"),
    (check_bisect, lambda differs, count: one_by_one(differs, count) - 1, "last stage that agrees"),
    (check_step, lambda x: step(x, 8), "7 bits"),
    (check_step, lambda x: step(x, 23), "float32"),
    (check_step, lambda x: x / 128, "same from one power"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
