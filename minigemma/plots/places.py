"""How the vision encoder knows where a patch is: two learned tables of places, and a rotation by x and by y."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minigemma.config import VisionConfig
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.picture import COLUMNS, ROWS, Patch, outline, patch_row
from minigemma.vision.numbers import cosines, rotation_angles, rotation_likeness
from minigemma.vision.patches import grid


def position_tables(table: np.ndarray, places: int = 64, features: int = 64) -> Figure:
    """The two learned tables that say where a patch is: their rows, and how alike the rows of two places are.

    table (2, P, D): ``position_embedding_table``, x first. Shows the first ``places`` rows and ``features`` columns;
    the likeness is the cosine over all D.
    """
    if table.ndim != 3 or len(table) != 2:
        raise InputError(f"a table (2, places, D) was expected, {table.shape} was given")
    table = table[:, :places]
    figure = style.canvas(10.0, 7.6)
    norm = style.centred(table[:, :, :features], float(np.percentile(np.abs(table), 99)) or None)
    left, right = [], []
    for i, axis in enumerate("xy"):
        left.append(style.panel(figure, (2, 2, 2 * i + 1), f"table of {axis}", "feature", f"{axis} (patches)"))
        values = style.heatmap(left[-1], table[i, :, :features], norm, style.SIGNED)
        title = f"likeness of two places in {axis}"
        right.append(style.panel(figure, (2, 2, 2 * i + 2), title, f"{axis} (patches)", f"{axis} (patches)"))
        alike = cosines(table[i], table[i])
        likeness = style.heatmap(right[-1], alike, style.centred(np.ones(1)), style.SIGNED, aspect="equal")
    style.colour_bar(figure, values, left, "value", extend="both")
    style.colour_bar(figure, likeness, right, "cosine")
    return figure


def rope2d_angles(config: VisionConfig, width: int, height: int, pairs: Sequence[int] | None = None) -> Figure:
    """The angle by which a patch's place turns a pair of coordinates: x turns the first half of a head, y the second.

    width, height: patches. pairs: which of the K/4 pairs of a half are shown, from fast (0) to slow.
    """
    quarter = config.head_dim // 4
    pairs = np.linspace(0, quarter * 3 // 4, 4).astype(int).tolist() if pairs is None else list(pairs)
    if not pairs or not all(0 <= pair < quarter for pair in pairs):
        raise InputError(f"pairs is {pairs}; a half of this head has pairs 0 to {quarter - 1}")
    angles = rotation_angles(grid(width, height), config)  # (2, N, K/4)
    frequencies = rotation_angles(np.ones((1, 2), int), config)[0, 0]  # radians a patch
    wide = 12.5
    figure = style.canvas(wide, max(4.4, 2 * (wide - 1.5) / len(pairs) * height / width + 1.6))
    panels = []
    for half, name in enumerate("xy"):
        for column, pair in enumerate(pairs):
            coordinate = pair + half * 2 * quarter
            title = f"pair ({coordinate}, {coordinate + quarter})"
            title += f"\na turn in {2 * np.pi / frequencies[pair]:.3g} patches of {name}"
            position = (2, len(pairs), half * len(pairs) + column + 1)
            panels.append(style.panel(figure, position, title, COLUMNS, ROWS, frame=False))
            degrees = np.degrees(angles[half, :, pair]).reshape(height, width) % 360
            image = style.heatmap(panels[-1], degrees, style.scaled(degrees, top=360.0), style.CYCLIC, aspect="equal")
    style.headline(figure, "2-D RoPE: x turns the pairs of a head's first half, y those of the second")
    bar = style.colour_bar(figure, image, panels, "angle (degrees)")
    bar.set_ticks([0, 90, 180, 270, 360])
    return figure


def rope2d_similarity(config: VisionConfig, width: int, height: int, patch: Patch | None = None) -> Figure:
    """How much a patch matches a copy of itself elsewhere, through the rotation alone: x half, y half, both.

    1 at no offset; the mean cosine of the pairs' angles (``vision.numbers.rotation_likeness``).
    """
    positions = grid(width, height)
    row = patch_row(positions, (width // 2, height // 2) if patch is None else patch)
    halves = rotation_likeness(positions, row, config)  # (N, 2)
    x, y = positions[row]
    figure = style.canvas(12.5, max(3.0, 3.6 * height / width + 1.3))
    panels = []
    maps = (("x half", halves[:, 0]), ("y half", halves[:, 1]), ("whole head", halves.mean(axis=1)))
    for i, (name, values) in enumerate(maps):
        panels.append(style.panel(figure, (1, 3, i + 1), name, COLUMNS, ROWS, frame=False))
        values = values.reshape(height, width)
        image = style.heatmap(panels[-1], values, style.centred(np.ones(1)), style.SIGNED, aspect="equal")
        outline(panels[-1], x, y, 1)
    style.headline(figure, f"2-D RoPE: how patch ({x}, {y}) would match its own content elsewhere")
    style.colour_bar(figure, image, panels, "mean cosine", shrink=0.9)
    return figure
