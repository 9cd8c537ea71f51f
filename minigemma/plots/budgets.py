"""How a picture becomes patches and soft tokens: the grid on the photo, every budget, a calculator.

``image`` is anything ``vision.prepare`` takes. Axes over a picture count patches: a soft token is a square of 3 x 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.plots import style
from minigemma.plots.picture import COLUMNS, ROWS, figure_for, grid_lines, outline, show
from minigemma.vision.image import open_image
from minigemma.vision.numbers import Resized, budget_table, soft_tokens_by_shape
from minigemma.vision.patches import grid
from minigemma.vision.resize import BUDGETS, PATCH, POOL, resize

PALE = "#FCEFD2"  # the tint of an image token, behind text


def patch_grid(image: Any, budget: int = 280) -> Figure:
    """The picture as the encoder gets it: resized for the budget, cut into patches (thin) and soft tokens (thick)."""
    pixels = resize(image, budget)
    rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
    tokens = rows * columns // POOL**2
    figure = figure_for(columns, rows, 8.0)
    title = f"{columns} × {rows} = {rows * columns:,} patches → {tokens} of {budget} soft tokens"
    axes = style.panel(figure, 111, title, COLUMNS, ROWS, frame=False)
    show(axes, pixels, columns, rows)
    fine = min(1.0, 40 / max(columns, rows))  # thinner lines where there are many
    thin = "white" if pixels.mean() < 150 else style.MUTED  # seen on dark pictures, and on pale ones
    grid_lines(axes, columns, rows, 1, thin, 0.6 * fine)
    grid_lines(axes, columns, rows, POOL, style.IMAGE_TOKEN, 2.0 * fine**0.7)
    given = open_image(image)
    style.note(
        figure,
        f"{given.width} × {given.height} pixels given, {pixels.shape[1]} × {pixels.shape[0]} after resizing.\n"
        f"A patch is {PATCH} × {PATCH} pixels, a soft token {POOL} × {POOL} patches.",
    )
    return figure


def budgets(image: Any, choices: Sequence[int] = BUDGETS) -> Figure:
    """One picture at every budget of soft tokens, and how much of each budget its shape can use."""
    image = open_image(image)
    table = budget_table(image.width, image.height, choices)
    across = min(3, len(table) + 1)
    down = -(-(len(table) + 1) // across)
    tall = 3.4 * float(np.clip(image.height / image.width, 0.5, 1.0))  # inches of a picture
    figure = style.canvas(4.0 * across, down * (tall + 1.0))
    for i, row in enumerate(table):
        columns, rows = row.width // PATCH, row.height // PATCH
        title = f"budget {row.budget}: {row.soft_tokens} tokens\n{row.width} × {row.height} pixels"
        axes = style.panel(figure, (down, across, i + 1), title, COLUMNS, ROWS, frame=False)
        show(axes, resize(image, row.budget), columns, rows)
        grid_lines(axes, columns, rows, POOL, style.IMAGE_TOKEN, 0.8)
    _used(style.panel(figure, (down, across, len(table) + 1), "tokens used", "soft tokens", "budget"), table)
    return figure


def _used(axes: Axes, table: Sequence[Resized]) -> None:
    """Bars of the soft tokens used, over pale ones for the budgets."""
    places, used = np.arange(len(table)), [row.soft_tokens for row in table]
    axes.barh(places, [row.budget for row in table], color=style.FAINT, height=0.7)
    axes.barh(places, used, color=style.IMAGE_TOKEN, height=0.7)
    for place, row in enumerate(table):
        share = f" {row.soft_tokens / row.budget:.0%}"
        axes.text(row.budget, place, share, va="center", fontsize=style.SMALL, color=style.INK)
    axes.set_yticks(places, [str(row.budget) for row in table])
    axes.set_xlim(0, max(row.budget for row in table) * 1.22)
    axes.invert_yaxis()


def budget_calculator(width: int, height: int, budget: int = 280) -> Figure:
    """What becomes of width × height pixels: the new size, patches and soft tokens, beside the other budgets.

    Under the table: how many tokens of the budget pictures of every shape can use, this one marked.
    """
    (row,) = budget_table(width, height, [budget])
    figure = style.canvas(11.0, 5.0)
    title = f"{width} × {height} → {row.width} × {row.height} pixels\n"
    title += f"{row.patches:,} patches, {row.soft_tokens} soft tokens"
    left, right = figure.subfigures(1, 2, wspace=0.04)  # type: ignore[misc]  # two of them, so an array
    _sizes(style.panel(left, 111, title, "width (pixels)", "height (pixels)"), width, height, row)
    size_table(style.panel(right, (2, 1, 1), frame=False), budget_table(width, height), budget)
    title = f"budget {budget:,}: every shape"
    _shapes(style.panel(right, (2, 1, 2), title, "width ÷ height", "soft tokens"), width / height, row)
    scale = f"width × {row.width / width:.2g}, height × {row.height / height:.2g}"
    style.note(figure, f"Dashed: the picture given. Orange: resized ({scale}), one cell a soft token.")
    return figure


def _sizes(axes: Axes, width: int, height: int, row: Resized) -> None:
    """The picture given and the one made of it, to one scale, upper left corners together."""
    axes.add_patch(Rectangle((0, 0), row.width, row.height, facecolor=PALE, edgecolor="none"))
    wide, tall = float(max(width, row.width)), float(max(height, row.height))
    line = float(np.clip(20 * PATCH * POOL / max(wide, tall), 0.15, 0.9))  # points: a tenth of a cell, about
    grid_lines(axes, row.width, row.height, PATCH * POOL, style.IMAGE_TOKEN, line, origin=0)
    axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor=style.LOCAL_COLOUR, ls="--", lw=2))
    wide, tall = max(wide, tall / 2), max(tall, wide / 2)  # thin pictures get room for their labels
    axes.set_xlim(-0.03 * wide, 1.03 * wide)
    axes.set_ylim(1.03 * tall, -0.03 * tall)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(style.MaxNLocator(5, integer=True))


def size_table(axes: Axes, table: Sequence[Resized], budget: int) -> None:
    """What becomes of a picture under every budget, the chosen one marked."""
    axes.set_axis_off()
    lines = [[f"{r.budget:,}", f"{r.width:,} × {r.height:,}", f"{r.patches:,}", f"{r.soft_tokens:,}"] for r in table]
    names, widths = ["budget", "pixels", "patches", "tokens"], [0.2, 0.37, 0.23, 0.2]
    fill: Any = (0, 0, 1, 1)  # the whole panel; older matplotlibs unpack it, so no Bbox
    made = axes.table(lines, colLabels=names, colWidths=widths, bbox=fill, cellLoc="right")
    made.auto_set_font_size(False)
    made.set_fontsize(style.TEXT)
    for (line, _), cell in made.get_celld().items():
        cell.set_edgecolor(style.FAINT)
        if line and table[line - 1].budget == budget:
            cell.set_facecolor(PALE)


def _shapes(axes: Axes, ratio: float, row: Resized) -> None:
    """Tokens against shape: a comb, because both sides are rounded down to whole cells."""
    reach = max(10.0, ratio, 1 / ratio)
    ratios = np.geomspace(1 / reach, reach, 401)
    used = soft_tokens_by_shape(ratios, row.budget)
    axes.axhline(row.budget, color=style.MUTED, lw=1, ls="--")
    axes.plot(ratios, used, color=style.IMAGE_TOKEN, lw=1.3)
    axes.plot(ratio, row.soft_tokens, "o", color=style.LOCAL_COLOUR, markersize=9)
    axes.set_xscale("log")
    axes.set_ylim(0.9 * min(used.min(), row.soft_tokens), row.budget * 1.03)
    style.whole_ticks(axes.yaxis)
    every = (0.1, 0.25, 0.5, 1, 2, 4, 10) if reach < 20 else (0.001, 0.01, 0.1, 1, 10, 100, 1000)
    ticks = [t for t in every if 1 / reach <= t <= reach]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()


def patch_numbers(shapes: Sequence[tuple[int, int]] = ((3, 3), (4, 2)), chosen: int = 4) -> Figure:
    """Why a patch's number does not say where it is: the same number in grids of different (columns, rows)."""
    figure = style.canvas(3.2 * len(shapes), 3.4)
    for i, (columns, rows) in enumerate(shapes):
        title = f"{columns} × {rows} patches"
        axes = style.panel(figure, (1, len(shapes), i + 1), title, COLUMNS, ROWS, frame=False)
        show(axes, np.full((rows, columns, 3), 245, np.uint8), columns, rows)
        grid_lines(axes, columns, rows, 1, style.MUTED, 1.0)
        for number, (x, y) in enumerate(grid(columns, rows)):
            axes.text(x, y, str(number), ha="center", va="center", fontsize=16, color=style.INK)
            if number == chosen:
                outline(axes, x, y, 1, fill=True)
    return figure
