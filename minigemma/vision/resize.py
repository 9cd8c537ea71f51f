"""Adaptive resizing: the size that keeps a picture's shape, fills a budget of soft tokens and divides into cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigemma.errors import InputError
from minigemma.vision.image import open_image

BUDGETS = (70, 140, 280, 560, 1120)  # soft tokens an image may become
PATCH, POOL = 16, 3  # pixels along a patch, patches along a soft token


def target_size(height: int, width: int, max_patches: int, patch: int = PATCH, pool: int = POOL) -> tuple[int, int]:
    """The largest (height, width) in pixels of (nearly) the same shape with at most ``max_patches`` patches.

    Both sides are multiples of ``patch * pool`` (48): scale so that the area is the whole budget, enlarging small
    pictures too, and round down. A side that would vanish becomes one cell, and the other as many cells as the picture
    is times longer than wide. InputError if nothing fits. Source: get_aspect_ratio_preserving_size in the reference.
    """
    cell = patch * pool  # pixels along a soft token
    scale = math.sqrt(max_patches * patch**2 / (height * width))
    rows, columns = math.floor(scale * height / cell), math.floor(scale * width / cell)
    longest = max_patches // pool**2  # cells in a picture one cell thin
    if not rows and not columns:
        raise InputError(f"a budget of {max_patches} patches of {patch} pixels holds no cell of {cell} x {cell} pixels")
    if not rows:
        rows, columns = 1, min(width // height, longest)
    elif not columns:
        rows, columns = min(height // width, longest), 1
    return rows * cell, columns * cell


def size_for_budget(height: int, width: int, soft_tokens: int = 280) -> tuple[int, int]:
    """``target_size`` for one of Gemma 4's budgets: (height, width) in pixels, at most ``soft_tokens`` * 9 patches."""
    if soft_tokens not in BUDGETS:
        raise InputError(f"a budget of {soft_tokens!r} soft tokens was asked for; the model knows {BUDGETS}")
    return target_size(height, width, soft_tokens * POOL**2)


def resize(image: Any, soft_tokens: int = 280) -> np.ndarray:
    """Any picture (see ``open_image``) -> (H, W, 3) uint8 at the size for the budget.

    Pillow's bicubic filter, which averages when it shrinks and rounds to bytes: the reference's PIL processor, bit for
    bit. A picture that has the size already is left alone.
    """
    from PIL import Image

    image = open_image(image)
    height, width = size_for_budget(image.height, image.width, soft_tokens)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)
