"""Exercises of the notebook on soft tokens and their budgets."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.vision.patches import grid
from minigemma.vision.pooling import pool_patches
from minigemma.vision.resize import size_for_budget
from minigemma.vision.video import FRAME_BUDGET, FRAMES

SIZES = ((1080, 1920, 280), (300, 200, 70), (3024, 4032, 1120), (1000, 1000, 560))  # height, width, budget


def check_size(function: Callable[[int, int, int], tuple[int, int]]) -> Verdict:
    """``function(height, width, budget)`` -> (height, width) in pixels after resizing; no side vanishes here."""

    def of(cell=48, area=9 * 256, rounded=math.floor, enlarge=True):
        sizes = []
        for height, width, budget in SIZES:
            scale = math.sqrt(budget * area / (height * width))
            scale = scale if enlarge else min(scale, 1.0)
            sizes.append(tuple(rounded(scale * side / cell) * cell for side in (height, width)))
        return sizes

    mistakes = [
        (of(rounded=round), "You rounded to the nearest multiple of 48: that can go over the budget. Round down."),
        (of(cell=16), "You rounded to whole patches (16 pixels); whole soft tokens are 48 pixels wide."),
        (of(area=256), "You took the budget for patches: each soft token is 9 patches of 256 pixels."),
        (of(enlarge=False), "Small pictures are enlarged too: the scale may be greater than 1."),
        ([size[::-1] for size in of()], "Height comes first, then width."),
        ([(h // 16, w // 16) for h, w in of()], "Those are patches; pixels are asked for."),
        ([(h // 48, w // 48) for h, w in of()], "Those are soft tokens; pixels are asked for."),
    ]
    expected = [size_for_budget(*size) for size in SIZES]
    good = "Both sides divide into cells of 48 pixels, and the budget is never exceeded."
    return judge_function(lambda: [function(*size) for size in SIZES], (), expected, good, mistakes, 0)


def check_pool(function: Callable[[np.ndarray, int, int], np.ndarray]) -> Verdict:
    """``function(x, columns, rows)``: x (rows * columns, D), row by row -> (n, D), pooled over 3 x 3 and scaled."""
    columns, rows, D = 9, 6, 4
    x = np.random.default_rng(2).normal(size=(rows * columns, D)).astype(np.float32)
    expected = pool_patches(x, grid(columns, rows))
    order = pool_patches(x, grid(columns, rows)).reshape(rows // 3, columns // 3, D).swapaxes(0, 1).reshape(-1, D)
    runs = x.reshape(-1, 9, D).mean(axis=1) * math.sqrt(D)
    mistakes = [
        (expected / math.sqrt(D), "The scale is missing: times √D."),
        (expected * 9, "That is the sum; the mean divides it by 9."),
        (expected * math.sqrt(D), "That is times D; the scale is √D."),
        (runs, "You averaged nine patches that follow one another; a cell is 3 columns and 3 rows."),
        (order, "The soft tokens go row by row, not column by column."),
    ]  # fmt: skip
    return judge_function(function, (x, columns, rows), expected, "Nine patches, one vector.", mistakes)


def check_region(function: Callable[[int, int], tuple[int, int, int, int]]) -> Verdict:
    """``function(token, width)`` -> (left, top, right, bottom): the pixels of a soft token; width in pixels."""
    asked = ((0, 480), (9, 480), (10, 480), (57, 480), (100, 1056))

    def of(across, step=48):
        found = []
        for token, width in asked:
            y, x = divmod(token, across(width))
            found.append((step * x, step * y, step * x + step, step * y + step))
        return found

    expected = of(lambda width: width // 48)
    mistakes = [
        (of(lambda width: width // 16), "A row has width / 48 soft tokens; you counted patches."),
        (of(lambda width: width // 48, 16), "Those are the sides of a patch; a soft token is 3 patches wide."),
        ([(t, l, b, r) for l, t, r, b in expected], "x and y are exchanged: tokens go along a row first."),
        ([(l, t, r - 1, b - 1) for l, t, r, b in expected], "Right and bottom are where the next token begins."),
    ]  # fmt: skip
    good = "After the encoder it also knows of all other patches; this is where it stands."
    return judge_function(lambda: [function(*one) for one in asked], (), expected, good, mistakes, 0)


def check_video(function: Callable[[float, float, int, int], int]) -> Verdict:
    """``function(seconds, fps, height, width)`` -> the soft tokens of a video: at most 32 frames, budget 70 each."""
    asked = ((60.0, 24.0, 1080, 1920), (1.0, 24.0, 1080, 1920), (10.0, 30.0, 640, 640))

    def of(frames, tokens):
        return [frames(seconds * fps, seconds) * tokens(height, width) for seconds, fps, height, width in asked]

    def used(height, width, budget=FRAME_BUDGET):
        tall, wide = size_for_budget(height, width, budget)
        return tall * wide // 48**2

    def most(frames, _):
        return min(int(frames), FRAMES)

    mistakes = [
        (of(most, lambda h, w: FRAME_BUDGET), "70 is the budget of a frame; its shape decides how much of it is used."),
        (of(lambda n, _: int(n), used), "At most 32 frames are taken, spread over the video."),
        (of(lambda *_: FRAMES, used), "A video of fewer than 32 frames has no more than it has."),
        (of(lambda _, s: min(int(s), FRAMES), used), "It is not one frame a second: 32 are spread over all frames."),
        (of(most, lambda h, w: used(h, w, 280)), "A frame has a budget of 70, not of 280."),
    ]
    good = "A minute costs no more than two seconds do."
    return judge_function(lambda: [function(*one) for one in asked], (), of(most, used), good, mistakes, 0)
