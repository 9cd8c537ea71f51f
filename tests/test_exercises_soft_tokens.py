"""The exercises of notebook 10 accept their solutions and know typical mistakes."""

import math

import numpy as np
from exercise_tests import exercise_tests

from minigemma.exercises.soft_tokens import check_pool, check_region, check_size, check_video


def size(height, width, budget, cell=48, tokens=9, rounded=math.floor):
    scale = math.sqrt(budget * tokens * 256 / (height * width))
    return tuple(rounded(scale * side / cell) * cell for side in (height, width))


def pooled(x, columns, rows, scale=True):
    D = x.shape[1]
    mean = x.reshape(rows // 3, 3, columns // 3, 3, D).mean(axis=(1, 3)).reshape(-1, D)
    return mean * math.sqrt(D) if scale else mean


def region(token, width, across=48):
    y, x = divmod(token, width // across)
    return 48 * x, 48 * y, 48 * x + 48, 48 * y + 48


def video(seconds, fps, height, width, most=32, each=None):
    tall, wide = size(height, width, 70)
    return min(int(seconds * fps), most) * (each or tall * wide // 48**2)


SOLUTIONS = {check_size: size, check_pool: pooled, check_region: region, check_video: video}
MISTAKES = [
    (check_size, lambda *args: size(*args, rounded=round), "Round down"),
    (check_size, lambda *args: size(*args, cell=16), "whole patches"),
    (check_size, lambda *args: size(*args, tokens=1), "9 patches"),
    (check_size, lambda *args: size(*args)[::-1], "Height comes first"),
    (check_pool, lambda *args: pooled(*args, scale=False), "√D"),
    (check_pool, lambda x, *_: x.reshape(-1, 9, x.shape[1]).mean(axis=1) * 2, "follow one another"),
    (check_pool, lambda *args: 9 * pooled(*args), "That is the sum"),
    (check_region, lambda *args: region(*args, across=16), "counted patches"),
    (check_region, lambda *args: np.array(region(*args))[[1, 0, 3, 2]], "exchanged"),
    (check_video, lambda *args: video(*args, each=70), "budget of a frame"),
    (check_video, lambda *args: video(*args, most=10**9), "At most 32"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)
