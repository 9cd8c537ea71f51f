"""Drawing over a picture whose axes count patches: the photo itself, grids, outlines, maps laid over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.vision.image import open_image
from minigemma.vision.resize import PATCH

COLUMNS, ROWS = "x (patches)", "y (patches)"  # axis labels
Patch = int | tuple[int, int]  # a row of the list of patches, or a place (x, y)


def patch_row(positions: np.ndarray, patch: Patch) -> int:
    """The row of a patch named by its row or by its place (x, y)."""
    if isinstance(patch, tuple):
        found = np.flatnonzero((positions == patch).all(axis=1))
        if not len(found):
            raise InputError(f"no patch at {patch}; the grid is {tuple(positions.max(axis=0) + 1)}")
        return int(found[0])
    if not 0 <= patch < len(positions):
        raise InputError(f"there is no patch {patch}; the picture has {len(positions)}")
    return int(patch)


def sides(positions: np.ndarray) -> tuple[int, int]:
    """(columns, rows) of the grid that positions (N, 2) fill."""
    columns, rows = positions.max(axis=0) + 1
    return int(columns), int(rows)


def on_grid(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(N,) values of patches as a picture (rows, columns); NaN where there is no patch."""
    columns, rows = sides(positions)
    picture = np.full((rows, columns), np.nan)
    picture[positions[:, 1], positions[:, 0]] = values
    return picture


def pixels_of(image: Any, columns: int, rows: int, grey: bool = False) -> np.ndarray:
    """The picture at the size of its patches, (H, W, 3); dark and grey where a map lies over it."""
    from PIL import Image

    image = open_image(image)
    if image.size != (columns * PATCH, rows * PATCH):
        image = image.resize((columns * PATCH, rows * PATCH), Image.Resampling.BICUBIC)
    return np.asarray(image.convert("L").point(lambda v: v * 0.7).convert("RGB") if grey else image)


def show(axes: Axes, pixels: np.ndarray, columns: int, rows: int) -> None:
    """Draw a picture in patch units: patch (x, y) is centred there."""
    axes.imshow(pixels, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="antialiased")
    ticks(axes, columns, rows)


def overlay(
    axes: Axes, grey: np.ndarray, values: np.ndarray, norm: Any, columns: int, rows: int, least: float = 0.1
) -> Any:
    """A map (rows, columns) over the grey picture, from ``least`` opaque to 0.85 where it is largest.

    Returns what the colour bar needs.
    """
    show(axes, grey, columns, rows)
    alpha = np.clip(least + (0.85 - least) * np.ma.filled(norm(np.nan_to_num(values)), 0.0), least, 0.85)
    return style.heatmap(axes, values, norm, aspect="equal", alpha=alpha)


def ticks(axes: Axes, columns: int, rows: int) -> None:
    """A few whole numbers, multiples of a soft token where there is room."""
    for set_ticks, count in ((axes.set_xticks, columns), (axes.set_yticks, rows)):
        step = next(s for s in (1, 3, 6, 12, 24, 48, 96, 192, 384, 768, 1536) if count / s <= 8)
        set_ticks(np.arange(0, count, step))


def named(axes: Axes, title: str) -> Axes:
    """Give a panel its title; a $ in a token stays a $."""
    axes.set_title(title, fontsize=style.TITLE, loc="left", color=style.INK, parse_math=False)
    return axes


def grid_lines(
    axes: Axes,
    columns: int,
    rows: int,
    step: int,
    colour: str,
    width: float,
    origin: float = -0.5,
    offset: tuple[float, float] = (0, 0),
) -> None:
    """A grid of lines every ``step`` over columns × rows."""
    x, y = (origin + o for o in offset)
    down = [[(x + i, y), (x + i, y + rows)] for i in range(0, columns + 1, step)]
    across = [[(x, y + i), (x + columns, y + i)] for i in range(0, rows + 1, step)]
    axes.add_collection(LineCollection(down + across, colors=colour, linewidths=width))


def outline(axes: Axes, x: int, y: int, size: int, fill: bool = False) -> None:
    """A square of ``size`` patches whose first patch is (x, y): orange with a dark rim, visible on anything."""
    for colour, width in ((style.INK, 4.0), (style.IMAGE_TOKEN, 2.2)):
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), size, size, fill=False, edgecolor=colour, lw=width, zorder=5))
    if fill:
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), size, size, color=style.IMAGE_TOKEN, alpha=0.35))


def figure_for(columns: int, rows: int, width: float, tallest: float = 6.2) -> Figure:
    """A canvas for one picture of this shape: ``width`` inches, less where it would be taller than a slide takes."""
    height = float(np.clip(width * rows / columns, 2.0, tallest))
    return style.canvas(float(np.clip(height * columns / rows + 1.0, 6.4, width)), height + 1.1)


def tiles(count: int, columns: int, rows: int) -> tuple[Figure, list[Axes]]:
    """A canvas with ``count`` panels for pictures of this shape, at most four in a row."""
    across = min(count, 4 if columns <= 1.6 * rows else 3)
    down = -(-count // across)
    each = 12.5 / max(across, 2)
    tall = float(np.clip((each - 0.8) * rows / columns, 1.0, 5.0))  # inches of a picture, beside its labels
    figure = style.canvas(each * across + 1, down * (tall + 1.0))
    return figure, [style.panel(figure, (down, across, i + 1), "", COLUMNS, ROWS, frame=False) for i in range(count)]
