"""The exercises of notebook 05 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.rope import check_frequencies, check_rotate, check_score, check_unfinished, turned


def frequencies(K, theta, p, denominator=None, keep_first=True):
    pairs = np.arange(K // 2)
    turning = pairs < int(p * K / 2)
    speed = theta ** (-2 * pairs / (denominator or K))
    return np.where(turning == keep_first, speed, 0)


def rotated(x, angles, sign=1, neighbours=False):
    a, b = (x[:, 0::2], x[:, 1::2]) if neighbours else np.split(x, 2, axis=-1)
    cos, sin = np.cos(angles), sign * np.sin(angles)
    parts = [a * cos - b * sin, b * cos + a * sin]
    return np.stack(parts, axis=-1).reshape(x.shape) if neighbours else np.concatenate(parts, axis=-1)


def unfinished(speed, context, turn=2 * np.pi, still=False):
    return int(np.count_nonzero(((speed > 0) | still) & (speed * context < turn)))


SOLUTIONS = {
    check_frequencies: frequencies,
    check_rotate: rotated,
    check_unfinished: unfinished,
    check_score: lambda q, k, distance, speed: q @ turned(k, -distance, speed),
}
MISTAKES = [
    (check_frequencies, lambda K, theta, p: frequencies(K, theta, p, denominator=K * p), "squeezed"),
    (check_frequencies, lambda K, theta, p: frequencies(K, theta, 1.0), "Every pair turns"),
    (check_frequencies, lambda K, theta, p: frequencies(K, theta, p, keep_first=False), "other way round"),
    (check_rotate, lambda x, angles: rotated(x, angles, neighbours=True), "neighbours"),
    (check_rotate, lambda x, angles: rotated(x, angles, sign=-1), "other way"),
    (check_unfinished, lambda speed, context: unfinished(speed, context, still=True), "never turns"),
    (check_unfinished, lambda speed, context: unfinished(speed, context, turn=1), "2π"),
    (check_score, lambda q, k, distance, speed: q @ k, "missing"),
    (check_score, lambda q, k, distance, speed: q @ turned(k, distance, speed), "before its key"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
