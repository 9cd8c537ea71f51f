"""Attention patterns: one head with its tokens, one query's row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.errors import InputError
from minigemma.plots import style


def attention_head(
    pattern: np.ndarray,
    tokens: Sequence[str] | None = None,
    *,
    keys: Sequence[str] | None = None,
    query: int | None = None,
    hide_first: bool = False,
    scale: str = "linear",
    title: str = "One attention head",
    kind: str | None = None,
) -> Figure:
    """One head: queries down, keys across, tokens on both axes.

    pattern (T, S); tokens: T labels; keys: S labels, when the keys are not the same tokens (else the last T of them).
    query: a row to outline. hide_first: blank the first key and rescale. scale: "linear", "sqrt", "log", or "row-max":
    each query's weights as shares of its largest.
    kind: the layer's kind, which colours the frame. Cells that a query cannot see (weight exactly 0) are pale grey.
    """
    pattern = check_pattern(pattern, 2)
    T, S = pattern.shape
    rows = check_labels(tokens, T, "query")
    columns = check_labels(keys, S, "key") if keys is not None else rows if S == T else None
    tall, wide = style.cell_inches(T, 6.0), style.cell_inches(S, 6.4, 2.6)
    figure = style.canvas(max(style.WIDTH, wide + 2.4), tall + 2.0)
    axes = style.panel(figure, 111, title, "key: the token looked at", "query: the token looking", frame=False)

    shown = seen(pattern, hide_first, scale)
    image = shaded(axes, shown, style.scaled(shown, scale), style.MAGNITUDE, query, kind)
    style.colour_bar(figure, image, axes, style.weight_name(scale))
    notices = {style.token_ticks(axes, columns, "x", wide), style.token_ticks(axes, rows, "y", tall)}
    if hide_first:
        notices.add("The first key is hidden.")
    for text in sorted(notices - {""}):
        style.note(figure, text)
    return figure


def attention_row(
    pattern: np.ndarray,
    tokens: Sequence[str] | None = None,
    query: int = -1,
    *,
    most: int = 24,
    title: str | None = None,
) -> Figure:
    """What one query looks at, with exact numbers: a bar for each key it sees.

    pattern (T, S) of one head, tokens: S labels. Of more than ``most`` keys the heaviest are kept, in order.
    """
    pattern = check_pattern(pattern, 2)
    T, S = pattern.shape
    labels, query = check_labels(tokens, S, "key") or [""] * S, query % T
    keys = np.flatnonzero(pattern[query])
    kept = np.sort(keys[np.argsort(-pattern[query, keys], kind="stable")[:most]])
    weights = pattern[query, kept]
    text = title or f"What token {S - T + query}, “{style.printable(labels[S - T + query])}”, looks at"
    figure, axes = style.single(text, "attention weight", "key", height=1.6 + 0.24 * len(kept))
    axes.barh(range(len(kept)), weights, color=style.ACTIVATIONS)
    names = [f"{k}  {style.printable(labels[k])}" for k in kept]
    axes.set_yticks(range(len(kept)), names, fontsize=style.SMALL, parse_math=False)
    axes.set_ylim(len(kept) - 0.4, -0.6)
    axes.set_xlim(0, max(weights, default=1) * 1.18)
    for row, weight in enumerate(weights):
        number = f" {weight:.3f}" if weight >= 0.0005 else " < 0.001"
        axes.text(weight, row, number, va="center", fontsize=style.SMALL)
    if len(kept) < len(keys):
        style.note(figure, f"{len(kept)} of {len(keys)} keys; the others share {1 - weights.sum():.3f} of the weight.")
    return figure


def row_bars(axes: Axes, weights: np.ndarray, hide_first: bool = False, named: int = 5) -> None:
    """One query's weights (S,) as upright bars over the keys, the heaviest ``named`` with their numbers."""
    weights = np.where(np.arange(len(weights)) >= hide_first, weights, 0)
    heaviest = np.argsort(-weights, kind="stable")[:named]
    axes.bar(range(len(weights)), weights, color=style.ACTIVATIONS, width=0.8 if len(weights) < 100 else 1.0)
    top = max(weights.max(), 1e-9)
    last = -1.0
    for key in sorted(heaviest[weights[heaviest] >= 0.0005]):
        at = max(key, last + 0.085 * len(weights))  # numbers of neighbours move aside
        axes.text(at, weights[key] + 0.04 * top, f"{weights[key]:.3f}", ha="center", fontsize=style.SMALL)
        last = at
    axes.set(xlim=(-0.5, len(weights) - 0.5), ylim=(0, 1.3 * top))


def shaded(
    axes: Axes, shown: np.ndarray, norm: Normalize, colours: str, query: int | None = None, kind: str | None = None
):
    """A pattern (T, S) as a map in a frame of the layer's colour, the row of one query outlined. Returns the image."""
    image = style.heatmap(axes, shown, norm, colours)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(style.MUTED if kind is None else style.kind_colour(kind))
        spine.set_linewidth(2)
    if query is not None:
        row = Rectangle((-0.5, query - 0.5), shown.shape[1], 1, fill=False, edgecolor=style.GLOBAL_COLOUR)
        row.set(linewidth=2.5, clip_on=False)
        axes.add_patch(row)
    return image


def seen(pattern: np.ndarray, hide_first: bool = False, scale: str = "linear") -> np.ndarray:
    """Weights, NaN where a query cannot look (softmax gives exactly 0 there) and, on request, in the first column.

    With scale "row-max" they are shares of the largest weight left in their row.
    """
    shown = np.where(pattern == 0, np.nan, pattern)
    if hide_first:
        shown[:, 0] = np.nan
    if scale == "row-max":
        shown /= np.fmax.reduce(shown, axis=1, keepdims=True)
    return shown


def check_pattern(pattern: np.ndarray, axes: int) -> np.ndarray:
    """The pattern as float32, if it has ``axes`` axes and is not empty; else an InputError."""
    pattern = np.asarray(pattern, np.float32)
    if pattern.ndim != axes or 0 in pattern.shape:
        shape = "(H, T, S)" if axes == 3 else "(T, S)"
        raise InputError(f"a pattern has shape {pattern.shape}; expected {shape} with nothing empty")
    return pattern


def check_labels(tokens: Sequence[str] | None, count: int, role: str) -> Sequence[str] | None:
    """The labels, if there are as many as positions (or none at all); else an InputError."""
    if tokens is not None and len(tokens) != count:
        raise InputError(f"{len(tokens)} tokens for a pattern of {count} {role} positions; expected as many of each")
    return tokens
