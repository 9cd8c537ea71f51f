"""From patches to soft tokens: every 3 x 3 patches become one vector, which is then moved into the decoder's width."""

from __future__ import annotations

import math

import numpy as np

from minigemma.errors import InputError
from minigemma.ops import linear, rms_norm
from minigemma.trace import Watch, unwatched


def cells(positions: np.ndarray, pool: int = 3) -> np.ndarray:
    """Which soft token each patch falls into: positions (N, 2) as (x, y) -> (N,) numbers, row by row over the cells.

    >>> from minigemma.vision.patches import grid
    >>> cells(grid(6, 3)).reshape(3, 6)
    array([[0, 0, 0, 1, 1, 1],
           [0, 0, 0, 1, 1, 1],
           [0, 0, 0, 1, 1, 1]])
    """
    columns, rows = (int(side) for side in positions.max(axis=0) + 1)
    if columns % pool or rows % pool:
        raise InputError(f"a grid of {columns} x {rows} patches does not divide into cells of {pool} x {pool}")
    x, y = positions.T // pool
    return x + columns // pool * y


def pool_patches(x: np.ndarray, positions: np.ndarray, pool: int = 3) -> np.ndarray:
    """Average the patches of each cell and scale by √D: x (N, D) at positions (N, 2) -> (N / pool², D).

    The place decides, not the order of the rows. Source: Gemma4VisionPooler.
    """
    cell = cells(positions, pool)
    order = np.argsort(cell, kind="stable")
    _, starts = np.unique(cell[order], return_index=True)
    sums = np.add.reduceat(x[order], starts)  # (n, D): patches of one cell stand together now
    return sums * np.float32(math.sqrt(x.shape[1]) / pool**2)


def standardise(soft: np.ndarray, bias: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """``(soft - bias) * scale``, the large tower's last step; bias reaches 53,760, so float32 matters. All (..., D)."""
    return (soft - bias) * scale


def project(soft: np.ndarray, weights, eps: float = 1e-6, watch: Watch = unwatched) -> np.ndarray:
    """Soft tokens into the decoder: a scale-free norm, then a linear map. soft (n, D_vision) -> (n, D).

    weights: ``embedding_projection.weight`` (D, D_vision). Records ``soft_tokens``. Source: Gemma4MultimodalEmbedder.
    """
    return watch("soft_tokens", linear(rms_norm(soft, eps=eps), weights["embedding_projection.weight"]))
