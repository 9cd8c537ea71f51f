"""The exercises of notebook 02 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.local_and_global import check_image_mask, check_mask, check_pairs, check_reach


def places(T):
    return np.arange(T)[:, None], np.arange(T)


def mask(T, W):
    query, key = places(T)
    return (key <= query) & (query - key < W)


def same(image):
    return (image[:, None] == image) & (image >= 0)


def image_mask(image, W):
    query, key = places(len(image))
    return (query - key < W) & ((key <= query) | same(image))


SOLUTIONS = {
    check_mask: mask,
    check_pairs: lambda T, W: W * (W + 1) // 2 + (T - W) * W,
    check_reach: lambda L, W: 1 + L * (W - 1),
    check_image_mask: image_mask,
}
MISTAKES = [
    (check_mask, lambda T, W: (places(T)[1] <= places(T)[0]) & (places(T)[0] - places(T)[1] <= W), "itself is one of"),
    (check_mask, lambda T, W: abs(places(T)[0] - places(T)[1]) < W, "see the future"),
    (check_mask, lambda T, W: mask(T, T), "window is missing"),
    (check_mask, lambda T, W: mask(T, W).T, "other way round"),
    (check_pairs, lambda T, W: T * W, "first W - 1 tokens"),
    (check_pairs, lambda T, W: T * (T + 1) // 2, "global layer"),
    (check_reach, lambda L, W: L * W, "W - 1 tokens, not W"),
    (check_reach, lambda L, W: W**L, "not by a product"),
    (check_image_mask, lambda image, W: mask(len(image), W), "is missing"),
    (check_image_mask, lambda image, W: image_mask(np.where(image >= 0, 0, -1), W), "two images see each other"),
    (check_image_mask, lambda image, W: mask(len(image), W) | same(image), "bounds the past"),
]  # fmt: skip

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
