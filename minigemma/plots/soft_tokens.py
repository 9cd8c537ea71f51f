"""Which part of a picture each soft token is, and which text tokens look at it.

``image`` is anything ``vision.prepare`` takes; ``positions`` (N, 2) are the places (x, y) of its patches. Axes over the
picture count patches, so a soft token is a square of 3 x 3. What is drawn from random weights means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.picture import (
    COLUMNS,
    ROWS,
    figure_for,
    grid_lines,
    named,
    on_grid,
    outline,
    overlay,
    pixels_of,
    show,
    sides,
    tiles,
)
from minigemma.vision.numbers import token_corners
from minigemma.vision.pooling import cells
from minigemma.vision.resize import POOL


def soft_token_grid(
    image: Any, positions: np.ndarray, values: np.ndarray | None = None, token: int | None = None, label: str = "value"
) -> Figure:
    """Which part of the picture each soft token is: numbered cells, or one value a token (its norm, say) as a map.

    values (n,), told as ``label`` on the colour bar. token: outlined, with the patches it averages.
    """
    columns, rows = sides(positions)
    corners = token_corners(positions)  # (n, 2)
    n = len(corners)
    if values is not None and len(values) != n:
        raise InputError(f"{len(values)} values were given for {n} soft tokens")
    figure = figure_for(columns, rows, 9.0)
    axes = style.panel(figure, 111, f"{n} soft tokens, {columns // POOL} in a row", COLUMNS, ROWS, frame=False)
    if values is None:
        show(axes, pixels_of(image, columns, rows), columns, rows)
        grid_lines(axes, columns, rows, POOL, style.IMAGE_TOKEN, 1.0)
        _number(figure, axes, corners, columns)
    else:
        norm = style.Normalize(float(np.min(values)), float(np.max(values)))
        grey = pixels_of(image, columns, rows, grey=True)
        spread = on_grid(np.asarray(values)[cells(positions)], positions)
        drawn = overlay(axes, grey, spread, norm, columns, rows, least=0.45)
        style.colour_bar(figure, drawn, axes, label, shrink=0.8)
        grid_lines(axes, columns, rows, POOL, "white", 1.0)
    if token is not None:
        x, y = corners[_soft_token(token, n)]
        grid_lines(axes, POOL, POOL, 1, "white", 0.8, offset=(x, y))
        outline(axes, x, y, POOL)
    return figure


def _number(figure: Figure, axes: Axes, corners: np.ndarray, columns: int) -> None:
    """The number of each soft token in its cell, or of the first in every row where cells are small."""
    n, across = len(corners), columns // POOL
    roomy = figure.get_figwidth() * 0.9 * POOL / columns > 0.1 + 0.1 * len(str(n))  # inches: a cell, digits at 11 pt
    for i in range(0, n, 1 if roomy else across):
        x, y = corners[i] + ((POOL - 1) / 2 if roomy else (-0.3, (POOL - 1) / 2))
        box = {"facecolor": "black", "alpha": 0.45, "pad": 1.0, "edgecolor": "none"}
        side = "center" if roomy else "left"
        axes.text(x, y, str(i), fontsize=style.SMALL, color="white", bbox=box, ha=side, va="center")
    if not roomy:
        style.note(figure, "The first token of every row is numbered.")


def _soft_token(token: int, n: int) -> int:
    if not 0 <= token < n:
        raise InputError(f"there is no soft token {token}; the picture has {n}")
    return token


def soft_token_attention(
    image: Any,
    positions: np.ndarray,
    weights: np.ndarray,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Which parts of the picture text tokens look at: one map a text token.

    weights (Q, n) or (n,): attention of Q text tokens to the image's n soft tokens (``vision.numbers.attention_to``).
    labels: the Q tokens.
    """
    weights = _weights(weights, positions, labels)
    columns, rows = sides(positions)
    figure, panels = tiles(len(weights), columns, rows)
    norm = style.scaled(weights, "sqrt", float(np.percentile(weights, 99.5)) or None)
    grey, cell = pixels_of(image, columns, rows, grey=True), cells(positions)
    for i, axes in enumerate(panels[: len(weights)]):
        name = style.printable(labels[i]) if labels is not None else f"token {i}"
        named(axes, f"“{name}”: {weights[i].sum():.0%} on the image")
        drawn = overlay(axes, grey, on_grid(weights[i][cell], positions), norm, columns, rows)
    style.colour_bar(figure, drawn, panels, "attention weight", extend="max")
    return figure


def soft_token_readers(
    image: Any,
    positions: np.ndarray,
    weights: np.ndarray,
    token: int,
    labels: Sequence[str] | None = None,
    *,
    most: int = 24,
) -> Figure:
    """Which text tokens look at one soft token: its square of the picture, and a bar a text token.

    weights (Q, n): attention of Q text tokens to the image's n soft tokens (``vision.numbers.attention_to``);
    labels: the Q tokens. Of more than ``most``, those that look at it most are shown, in order of the text.
    """
    weights = _weights(weights, positions, labels)
    columns, rows = sides(positions)
    x, y = token_corners(positions)[_soft_token(token, weights.shape[1])]
    shown = np.sort(np.argsort(-weights[:, token], kind="stable")[:most])
    tall = max(3.2, 1.3 + 0.26 * len(shown))
    figure = style.canvas(11.0, tall)
    title = f"soft token {token}: patches ({x}, {y}) to ({x + POOL - 1}, {y + POOL - 1})"
    axes = style.panel(figure, (1, 2, 1), title, COLUMNS, ROWS, frame=False)
    show(axes, pixels_of(image, columns, rows), columns, rows)
    outline(axes, x, y, POOL)
    axes = style.panel(figure, (1, 2, 2), "who looks at it", "attention weight", "text token")
    axes.barh(np.arange(len(shown)), weights[shown, token], color=style.TEXT_TOKEN, height=0.75)
    names = [style.printable(labels[i]) if labels is not None else f"token {i}" for i in shown]
    axes.set_yticks(np.arange(len(shown)), names, fontsize=style.SMALL, parse_math=False)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(style.MaxNLocator(5))
    axes.axvline(1 / weights.shape[1] * float(np.median(weights.sum(axis=1))), color=style.MUTED, ls="--", lw=1.2)
    hidden = f" The {len(shown)} of {len(weights)} that look at it most are shown." * (len(shown) < len(weights))
    style.note(figure, f"Dashed: what an even look at the image would give it (median of the text tokens).{hidden}")
    return figure


def _weights(weights: np.ndarray, positions: np.ndarray, labels: Sequence[str] | None) -> np.ndarray:
    """(Q, n), checked against the picture and the labels."""
    weights, n = np.atleast_2d(weights), len(positions) // POOL**2
    if weights.shape[1] != n:
        raise InputError(f"attention to {weights.shape[1]} soft tokens was given, the picture has {n}")
    if labels is not None and len(labels) != len(weights):
        raise InputError(f"{len(labels)} labels were given for the attention of {len(weights)} tokens")
    return weights
