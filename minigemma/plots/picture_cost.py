"""What a picture costs at a budget of soft tokens: its size, one token close up, work and cache of the four models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from minigemma.config import PRESETS, Config
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.budgets import size_table
from minigemma.plots.picture import COLUMNS, ROWS, grid_lines, outline, pixels_of, show
from minigemma.vision.image import open_image
from minigemma.vision.numbers import budget_table, encoder_work, picture_cache
from minigemma.vision.resize import BUDGETS, PATCH, POOL

TERA, MIB = 10**12, 2**20


def picture_cost(
    image: Any, size: tuple[int, int], budget: int = 280, token: int = 0, configs: Mapping[str, Config] = PRESETS
) -> Figure:
    """The picture as the encoder gets it, one soft token close up, all budgets, and what it costs each model.

    size: (width, height) in pixels that the budget is worked out for; ``image`` may be a smaller copy of the picture.
    """
    width, height = size
    table = budget_table(width, height)
    (row,) = budget_table(width, height, [budget])
    if not 0 <= token < row.soft_tokens:
        raise InputError(f"there is no soft token {token}; at budget {budget} the picture has {row.soft_tokens}")
    columns, rows = row.width // PATCH, row.height // PATCH
    pixels = pixels_of(image, columns, rows)
    y, x = (POOL * i for i in divmod(token, columns // POOL))  # its first patch
    figure = style.canvas(13.0, 7.0)
    grid = figure.add_gridspec(3, 2, width_ratios=(1.25, 1), height_ratios=(1.6, 1, 1))
    title = f"{width:,} × {height:,} → {row.width:,} × {row.height:,} pixels: {row.patches:,} patches, "
    axes = style.panel(figure, grid[:, 0], f"{title}{row.soft_tokens:,} soft tokens", COLUMNS, ROWS, frame=False)
    show(axes, _screen_size(pixels), columns, rows)
    fine = min(1.0, 36 / max(columns, rows))
    grid_lines(axes, columns, rows, 1, "white" if pixels.mean() < 150 else style.MUTED, 0.5 * fine)
    grid_lines(axes, columns, rows, POOL, style.IMAGE_TOKEN, 1.6 * fine**0.7)
    outline(axes, x, y, POOL)
    _close_up(style.panel(figure, grid[0, 1], f"soft token {token}: 48 × 48 pixels", COLUMNS, ROWS), pixels, x, y)
    size_table(style.panel(figure, grid[1, 1], frame=False), table, budget)
    _costs(style.panel(figure, grid[2, 1], frame=False), row.patches, row.soft_tokens, configs)
    return figure


def _screen_size(pixels: np.ndarray, most: int = 720) -> np.ndarray:
    """The same picture with no more pixels than are shown, which draws several times faster."""
    shrunk = Image.fromarray(pixels)
    shrunk.thumbnail((most, most))
    return np.asarray(shrunk)


def _close_up(axes: Axes, pixels: np.ndarray, x: int, y: int) -> None:
    """One soft token's pixels, unsmoothed, with its nine patches."""
    side = PATCH * POOL
    cut = pixels[y * PATCH : y * PATCH + side, x * PATCH : x * PATCH + side]
    axes.imshow(cut, extent=(x - 0.5, x + POOL - 0.5, y + POOL - 0.5, y - 0.5), interpolation="nearest")
    grid_lines(axes, POOL, POOL, 1, "white" if cut.mean() < 150 else style.MUTED, 1.0, offset=(x, y))
    outline(axes, x, y, POOL)
    axes.set_xticks(range(x, x + POOL))
    axes.set_yticks(range(y, y + POOL))


def _costs(axes: Axes, patches: int, soft_tokens: int, configs: Mapping[str, Config]) -> None:
    """A line a model: operations of the encoder, bytes of the KV cache."""
    axes.set_axis_off()
    lines = []
    for name, config in configs.items():
        if config.vision is not None:
            kept = picture_cache(soft_tokens, config)
            work = sum(encoder_work(patches, config.vision)) / TERA
            lines.append([name, f"{work:,.2f}", f"{kept.at_first / MIB:,.1f}", f"{kept.for_good / MIB:,.1f}"])
    names = ["model", "encoder\n10¹² operations", "KV cache\nMiB, at first", "MiB in\nglobal layers"]
    fill: Any = (0, 0, 1, 1)
    made = axes.table(lines, colLabels=names, colWidths=[0.22, 0.28, 0.26, 0.24], bbox=fill, cellLoc="right")
    made.auto_set_font_size(False)
    made.set_fontsize(style.SMALL)
    for (line, _), cell in made.get_celld().items():
        cell.set_edgecolor(style.FAINT)
        cell.set_height(cell.get_height() * (1.7 if not line else 1))


def budget_detail(image: Any, box: tuple[float, float, float, float], budgets: Sequence[int] = BUDGETS) -> Figure:
    """One region of a picture as it is after resizing to each budget, pixel for pixel, with the soft tokens' edges.

    box: (left, top, right, bottom) of the region, from 0 to 1.
    """
    given = open_image(image)
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InputError(f"a region (left, top, right, bottom) from 0 to 1 was expected, {box} was given")
    wide = 9.5
    tall = wide * (bottom - top) / (right - left) * given.height / given.width  # inches of a region
    figure = style.canvas(wide, len(budgets) * (tall + 0.45))
    for i, row in enumerate(budget_table(given.width, given.height, budgets)):
        columns, rows = row.width // PATCH, row.height // PATCH
        title = f"budget {row.budget:,}: picture × {row.width / given.width:.2f}"
        axes = style.panel(figure, (len(budgets), 1, i + 1), title, frame=False)
        extent = (0, columns / POOL, rows / POOL, 0)  # in soft tokens
        axes.imshow(pixels_of(given, columns, rows), extent=extent, interpolation="nearest", aspect="auto")
        grid_lines(axes, columns // POOL, rows // POOL, 1, style.IMAGE_TOKEN, 1.0, origin=0)
        axes.set_xlim(left * columns / POOL, right * columns / POOL)
        axes.set_ylim(bottom * rows / POOL, top * rows / POOL)
        axes.set_axis_off()
    return figure


def budget_work(configs: Mapping[str, Config] = PRESETS, budgets: Sequence[int] = BUDGETS) -> Figure:
    """Operations of the image encoder for a square picture at every budget: matrices, and patches with patches.

    One panel a tower; models with the same tower share it.
    """
    towers: dict[Any, list[str]] = {}
    for name, config in configs.items():
        if config.vision is not None:
            towers.setdefault(config.vision, []).append(name)
    patches = [row.patches for row in budget_table(1000, 1000, budgets)]
    figure = style.canvas(5.4 * len(towers), 4.2)
    for i, (vision, names) in enumerate(towers.items()):
        work = [encoder_work(n, vision) for n in patches]
        linear, attention = (np.array(part) / TERA for part in zip(*work, strict=True))
        axes = style.panel(figure, (1, len(towers), i + 1), ", ".join(names), "budget", "10¹² operations a picture")
        places = np.arange(len(budgets))
        axes.bar(places, linear, color=style.WEIGHTS, width=0.7)
        axes.bar(places, attention, bottom=linear, color=style.IMAGE_TOKEN, width=0.7)
        for place, whole, part in zip(places, linear + attention, attention, strict=True):
            axes.text(
                float(place),
                float(whole),
                f"{whole:.2g}\n{part / whole:.0%}",
                ha="center",
                va="bottom",
                fontsize=style.SMALL,
            )
        axes.set_xticks(places, [f"{b:,}" for b in budgets])
        axes.set_ylim(0, 1.2 * (linear + attention).max())
    handles = style.patches(**{"matrices": style.WEIGHTS, "attention (share given)": style.IMAGE_TOKEN})
    style.headline(figure, "The image encoder's work for a square picture", handles)
    return figure
