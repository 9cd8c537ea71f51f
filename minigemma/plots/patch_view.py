"""One patch followed: the picture, where a head looks from there, and what the rotation alone would make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from minigemma.config import VisionConfig
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.picture import COLUMNS, ROWS, Patch, on_grid, outline, overlay, patch_row, pixels_of, show, sides
from minigemma.vision.numbers import rotation_likeness
from minigemma.vision.patches import grid

NOWHERE = (-1, -1)  # the position of padding


def patch_view(
    image: Any,
    positions: np.ndarray,
    attention: np.ndarray,
    patch: Patch,
    config: VisionConfig,
    name: str = "attention",
    note: str = "",
) -> Figure:
    """A patch in its picture; its attention (N,) to all patches; its likeness to all of them by 2-D RoPE alone.

    attention: one row of a pattern, told as multiples of an even look. The third panel knows the places only: the mean
    cosine of the angles between two patches (``vision.numbers.rotation_likeness``), 1 at no distance.
    """
    row = patch_row(positions, patch)
    if attention.shape != (len(positions),):
        raise InputError(f"attention {attention.shape} was given for {len(positions)} patches; one row is expected")
    (columns, rows), (x, y) = sides(positions), positions[row]
    figure = style.canvas(13.0, float(np.clip(3.9 * rows / columns, 1.6, 5.2)) + 1.3)
    titles = (f"patch ({x}, {y})", name, "2-D RoPE: the place alone")
    panels = [style.panel(figure, (1, 3, i + 1), title, COLUMNS, ROWS, frame=False) for i, title in enumerate(titles)]
    show(panels[0], pixels_of(image, columns, rows), columns, rows)
    even = attention * len(positions)
    norm = style.scaled(even, "sqrt", max(float(np.percentile(even, 99.5)), 1.0))
    grey = pixels_of(image, columns, rows, grey=True)
    looked = overlay(panels[1], grey, on_grid(even, positions), norm, columns, rows)
    show(panels[2], np.full((1, 1, 3), 255, np.uint8), columns, rows)
    likeness = on_grid(rotation_likeness(positions, row, config).mean(axis=1), positions)
    alike = style.heatmap(panels[2], likeness, style.centred(np.ones(1)), style.SIGNED, aspect="equal")
    for axes in panels:
        outline(axes, x, y, 1)
    style.colour_bar(figure, looked, panels[1], "attention ÷ even attention", extend="max", shrink=0.9)
    style.colour_bar(figure, alike, panels[2], "mean cosine", shrink=0.9)
    if note:
        style.note(figure, note)
    return figure


def patch_padding(grids: Sequence[tuple[int, int]] = ((3, 3), (4, 2), (2, 2)), shown: int = 2) -> Figure:
    """How pictures of several sizes share a batch: lists of patches of one length, and who may look at whom in one.

    grids: (columns, rows) of patches of every picture. Left: the positions in each list, padding as -1, -1; right: the
    mask of picture ``shown``. Not one pixel is padded.
    """
    if not 0 <= shown < len(grids):
        raise InputError(f"shown is {shown}; there are {len(grids)} pictures")
    longest = max(columns * rows for columns, rows in grids)
    places = np.full((len(grids), longest, 2), NOWHERE)
    for i, (columns, rows) in enumerate(grids):
        places[i, : columns * rows] = grid(columns, rows)
    real = places[..., 0] >= 0  # (pictures, N)
    figure = style.canvas(12.5, 4.2)
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1))  # type: ignore[misc]  # two of them, so an array
    axes = style.panel(left, 111, "lists of patches: their positions (x, y)", "row of the list", "picture", frame=False)
    _cells(axes, real, style.IMAGE_TOKEN)
    for (i, j), inside in np.ndenumerate(real):
        x, y = places[i, j]
        axes.text(j, i, f"{x}, {y}", ha="center", va="center", fontsize=11, color=style.INK if inside else style.MUTED)
    axes.set_yticks(range(len(grids)), [f"{i}: {columns} × {rows}" for i, (columns, rows) in enumerate(grids)])
    title = f"picture {shown}: who may look at whom"
    axes = style.panel(right, 111, title, "key (row of the list)", "query (row of the list)", frame=False)
    _cells(axes, np.broadcast_to(real[shown], (longest, longest)), style.ACTIVATIONS)
    legend = style.patches(a_patch=style.IMAGE_TOKEN, padding=style.FAINT, seen=style.ACTIVATIONS)
    figure.legend(handles=legend, loc="outside lower left", ncols=3, frameon=False, fontsize=style.SMALL)
    return figure


def _cells(axes: Axes, on: np.ndarray, colour: str) -> None:
    """Yes and no as cells with white lines between them."""
    rows, columns = on.shape
    style.heatmap(axes, on, style.scaled(on, top=1.0), ListedColormap([style.FAINT, colour]), aspect="equal")
    axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color="white", lw=1.5)
    axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color="white", lw=1.5)
    style.whole_ticks(axes.xaxis)
    style.whole_ticks(axes.yaxis)
