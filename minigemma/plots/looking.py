"""Patches that look at patches, and how alike they are.

``image`` is anything ``vision.prepare`` takes; ``positions`` (N, 2) are the places (x, y) of its patches; a patch is
named by its row in the list of patches or by its place. What is drawn from random weights means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.picture import (
    Patch,
    named,
    on_grid,
    outline,
    overlay,
    patch_row,
    pixels_of,
    show,
    sides,
    ticks,
    tiles,
)
from minigemma.vision.numbers import cosines


def patch_attention(
    image: Any, positions: np.ndarray, rows: np.ndarray, patch: Patch, heads: Sequence[int] | None = None
) -> Figure:
    """Where one patch looks: the picture with the patch, the mean of all heads, and single heads over the picture.

    rows: the patch's row of the attention pattern for every head (H, N), or the whole pattern (H, N, N).
    Weights are told as multiples of an even look at all N patches.
    """
    row = patch_row(positions, patch)
    rows = rows[:, row] if rows.ndim == 3 else np.atleast_2d(rows)
    if rows.shape[1] != len(positions):
        raise InputError(f"attention to {rows.shape[1]} patches was given with positions of {len(positions)}")
    heads = list(range(min(len(rows), 6))) if heads is None else list(heads)
    even = rows * len(positions)  # 1: an even look
    maps = [("mean of all heads", even.mean(axis=0)), *((f"head {h}", even[h]) for h in heads)]
    columns, height = sides(positions)
    figure, panels = tiles(len(maps) + 1, columns, height)
    x, y = positions[row]
    show(named(panels[0], f"patch ({x}, {y})"), pixels_of(image, columns, height), columns, height)
    top = float(np.percentile(np.concatenate([values for _, values in maps]), 99.5))
    norm = style.scaled(even, "sqrt", max(top, 1.0))
    grey = pixels_of(image, columns, height, grey=True)
    for axes, (name, values) in zip(panels[1:], maps, strict=False):
        drawn = overlay(named(axes, name), grey, on_grid(values, positions), norm, columns, height)
    for axes in panels[: len(maps) + 1]:
        outline(axes, x, y, 1)
    style.colour_bar(figure, drawn, panels, "attention ÷ even attention", extend="max")
    return figure


def patch_similarity(features: np.ndarray, positions: np.ndarray, patch: Patch, image: Any) -> Figure:
    """How alike one patch's vector is to all others', as a cosine: features (N, D), e.g. ``layers.i.output``."""
    if len(features) != len(positions):
        raise InputError(f"{len(features)} features were given with positions of {len(positions)} patches")
    row = patch_row(positions, patch)
    columns, rows = sides(positions)
    figure, panels = tiles(2, columns, rows)
    x, y = positions[row]
    show(named(panels[0], f"patch ({x}, {y})"), pixels_of(image, columns, rows), columns, rows)
    values = on_grid(cosines(features[row, None], features)[0], positions)
    axes = named(panels[1], "cosine with that patch")
    drawn = style.heatmap(axes, values, style.centred(np.ones(1)), style.SIGNED, aspect="equal")
    ticks(axes, columns, rows)
    for axes in panels:
        outline(axes, x, y, 1)
    style.colour_bar(figure, drawn, panels, "cosine")
    return figure
