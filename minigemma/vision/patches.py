"""From pixels to patches: 16 x 16 squares read row by row, each with its place (x, y) in the grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigemma.vision.resize import PATCH, resize


def prepare(image: Any, soft_tokens: int = 280) -> tuple[np.ndarray, np.ndarray]:
    """Any picture as what the vision encoder reads: patches (N, 768) float32 in [0, 1] and positions (N, 2) int (x, y).

    image: path, bytes, open file, Pillow image or array (see ``open_image``).
    soft_tokens: the budget, 70, 140, 280, 560 or 1120; the picture is scaled to nearly fill it and becomes N / 9 soft
    tokens, at most that many. Unlike the reference's batches nothing is padded. Source: Gemma4ImageProcessorPil.
    """
    pixels = resize(image, soft_tokens)  # (H, W, 3)
    patches = patchify(pixels)  # (N, 768)
    # divided in float64, then rounded once: the reference's bits
    return (patches * (1 / 255)).astype(np.float32), grid(pixels.shape[1] // PATCH, pixels.shape[0] // PATCH)


def patchify(image: np.ndarray, patch: int = PATCH) -> np.ndarray:
    """Cut (H, W, C) into (N, patch * patch * C); inside a patch the order is row, column, channel."""
    height, width, channels = image.shape
    rows, columns = height // patch, width // patch
    squares = image.reshape(rows, patch, columns, patch, channels).swapaxes(1, 2)  # (rows, columns, patch, patch, C)
    return squares.reshape(rows * columns, patch * patch * channels)


def unpatchify(patches: np.ndarray, positions: np.ndarray, patch: int = PATCH) -> np.ndarray:
    """The picture back from its patches (N, patch * patch * C) at positions (N, 2): (H, W, C), for plots."""
    columns, rows = positions.max(axis=0) + 1
    image = np.zeros((rows, columns, patch, patch, patches.shape[1] // patch**2), patches.dtype)
    image[positions[:, 1], positions[:, 0]] = patches.reshape(-1, *image.shape[2:])
    return image.swapaxes(1, 2).reshape(rows * patch, columns * patch, -1)


def grid(columns: int, rows: int) -> np.ndarray:
    """Positions (columns * rows, 2) as (x, y), row by row: (0, 0), (1, 0), ..."""
    y, x = np.divmod(np.arange(columns * rows), columns)
    return np.stack([x, y], axis=1)
