"""The exercises of notebook 09 accept their solutions and know typical mistakes."""

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.vision_transformer import check_clipped, check_patchify, check_positions, check_rotate_2d


def cut(image, patch, order=(0, 2, 1, 3, 4)):
    H, W, C = image.shape
    squares = image.reshape(H // patch, patch, W // patch, patch, C)  # rows, y, columns, x, C
    return squares.transpose(order).reshape(-1, patch * patch * C)


def places(columns, rows, length, fill=-1):
    out = np.full((length, 2), fill)
    for i in range(columns * rows):
        out[i] = i % columns, i // columns
    return out


def half(x, angles):
    a, b = np.split(x, 2, axis=-1)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def rotated(x, positions, frequencies, first=0, second=1, sign=1):
    left, right = np.split(x, 2, axis=-1)
    angles = sign * positions[:, :, None] * frequencies  # (N, 2, K/4)
    return np.concatenate([half(left, angles[:, first]), half(right, angles[:, second])], axis=-1)


def clipped(x, W, in_min, in_max, out_min, out_max):
    return np.clip(np.clip(x, in_min, in_max) @ W.T, out_min, out_max)


SOLUTIONS = {
    check_patchify: cut,
    check_positions: places,
    check_rotate_2d: rotated,
    check_clipped: clipped,
}
MISTAKES = [
    (check_patchify, lambda image, patch: image.reshape(-1, patch * patch * 3), "strips"),
    (check_patchify, lambda image, patch: cut(image, patch, (0, 2, 4, 1, 3)), "channel comes first"),
    (check_patchify, lambda image, patch: cut(image, patch, (2, 0, 1, 3, 4)), "column by column"),
    (check_patchify, lambda image, patch: cut(image, patch, (0, 2, 3, 1, 4)), "Inside a patch"),
    (check_positions, lambda *size: places(*size)[:, ::-1], "comes first"),
    (check_positions, lambda columns, rows, n: places(rows, columns, n)[:, ::-1], "column by column"),
    (check_positions, lambda columns, rows, n: places(columns, rows, columns * rows), "not padded"),
    (check_positions, lambda *size: places(*size, fill=0), "first patch"),
    (check_rotate_2d, lambda *a: rotated(*a, first=1, second=0), "first half by y"),
    (check_rotate_2d, lambda *a: rotated(*a, second=0), "Both halves"),
    (check_rotate_2d, lambda x, p, f: half(x, (p[:, :, None] * f).reshape(len(x), -1)), "whole head"),
    (check_rotate_2d, lambda *a: rotated(*a, sign=-1), "other way"),
    (check_clipped, lambda x, W, *_: x @ W.T, "Nothing"),
    (check_clipped, lambda x, W, lo, hi, *_: np.clip(x, lo, hi) @ W.T, "output is not"),
    (check_clipped, lambda x, W, a, b, lo, hi: np.clip(x @ W.T, lo, hi), "input is not"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
