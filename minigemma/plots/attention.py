"""Attention patterns: every head as a thumbnail, one head with its tokens, one query's row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style

TILE = 48  # most cells along one side of a thumbnail; longer patterns keep the largest value of each block
ROWS = 12  # layers in one column of thumbnails
HEADS = 16  # heads shown when nobody chooses
GAP = 0.12  # between thumbnails, as a share of one


def attention_grid(
    patterns: Sequence[np.ndarray] | np.ndarray,
    schedule: Sequence[LayerSpec] | None = None,
    tokens: Sequence[str] | None = None,
    *,
    heads: Sequence[int] | None = None,
    layers: Sequence[int] | None = None,
    selected: tuple[int, int] | None = None,
    hide_first: bool = False,
    scale: str = "sqrt",
    title: str = "Attention patterns, layers × heads",
) -> Figure:
    """Thumbnails of all attention patterns: one row a layer, one column a head, queries down and keys across.

    patterns: L arrays (H, T, S), or one (L, H, T, S). schedule: the layers' LayerSpecs, which colour each row local,
    global or shared and name the layer whose keys and values it reads. tokens: only their number and ends are told.
    layers: the layer numbers of the patterns, when they are not 0, 1, …; heads: which heads to show.
    selected (layer, head): outlined. hide_first: blank the first key, which often takes most of the attention.
    Cells that a query cannot see (weight exactly 0) are pale grey. Raises InputError when shapes do not fit.
    """
    patterns = [_pattern(p, 3) for p in patterns]
    layers = list(range(len(patterns))) if layers is None else list(layers)
    if not patterns or len(layers) != len(patterns):
        raise InputError(
            f"{len(patterns)} patterns for {len(layers)} layers; expected one pattern a layer, at least one"
        )
    every = min(len(p) for p in patterns)
    shown = list(range(min(every, HEADS))) if heads is None else list(heads)

    blocks = -(-len(patterns) // ROWS)
    rows = -(-len(patterns) // blocks)
    side = min(0.7, 11.5 / (blocks * (len(shown) + 2)))
    width = max(style.WIDTH, blocks * (len(shown) * side + 1.25) + 1.0)
    figure = style.canvas(width, max(2.6, rows * side * 1.05 + 1.7))
    tiles = [[thumbnail(p[h], hide_first) for h in shown] for p in patterns]
    norm = style.scaled(np.concatenate([t.ravel() for row in tiles for t in row]), scale)

    panels = figure.subplots(1, blocks, squeeze=False)[0]
    for b, axes in enumerate(panels):
        part = slice(b * rows, (b + 1) * rows)
        image = _mosaic(axes, tiles[part], layers[part], shown, schedule, norm, rows, selected)
    style.colour_bar(figure, image, list(panels), "attention weight", shrink=0.8)
    style.headline(figure, title, _kinds([schedule[i] for i in layers]) if schedule else None)
    for text in _grid_notes(patterns, tokens, every, shown, hide_first):
        style.note(figure, text)
    return figure


def thumbnail(pattern: np.ndarray, hide_first: bool = False) -> np.ndarray:
    """A pattern (T, S) in at most TILE × TILE cells, each the largest weight of its block; unseen cells are NaN."""
    pattern = _seen(pattern, hide_first)
    for axis in (0, 1):
        edges = np.linspace(0, pattern.shape[axis], min(TILE, pattern.shape[axis]), endpoint=False).astype(int)
        pattern = np.fmax.reduceat(pattern, edges, axis=axis)
    return pattern


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
    query: a row to outline. hide_first: blank the first key and rescale. scale: "linear", "sqrt" or "log".
    kind: the layer's kind, which colours the frame. Cells that a query cannot see (weight exactly 0) are pale grey.
    """
    pattern = _pattern(pattern, 2)
    T, S = pattern.shape
    rows = _labels(tokens, T, "query")
    columns = _labels(keys, S, "key") if keys is not None else rows if S == T else None
    tall, wide = style.cell_inches(T, 6.0), style.cell_inches(S, 6.4, 2.6)
    figure = style.canvas(max(style.WIDTH, wide + 2.4), tall + 2.0)
    axes = style.panel(figure, 111, title, "key: the token looked at", "query: the token looking", frame=False)

    shown = _seen(pattern, hide_first)
    image = style.heatmap(axes, shown, style.scaled(shown, scale))
    style.colour_bar(figure, image, axes, "attention weight")
    notices = {style.token_ticks(axes, columns, "x", wide), style.token_ticks(axes, rows, "y", tall)}
    _frame(axes, style.MUTED if kind is None else style.kind_colour(kind))
    if query is not None:
        _outline(axes, -0.5, query - 0.5, S, 1, style.GLOBAL_COLOUR)
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
    pattern = _pattern(pattern, 2)
    T, S = pattern.shape
    labels, query = _labels(tokens, S, "key") or [""] * S, query % T
    keys = np.flatnonzero(pattern[query])
    kept = np.sort(keys[np.argsort(-pattern[query, keys], kind="stable")[:most]])
    weights = pattern[query, kept]
    text = title or f"What token {S - T + query} {style.printable(labels[S - T + query])} looks at"
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


def _pattern(pattern: np.ndarray, axes: int) -> np.ndarray:
    pattern = np.asarray(pattern, np.float32)
    if pattern.ndim != axes or 0 in pattern.shape:
        shape = "(H, T, S)" if axes == 3 else "(T, S)"
        raise InputError(f"a pattern has shape {pattern.shape}; expected {shape} with nothing empty")
    return pattern


def _seen(pattern: np.ndarray, hide_first: bool) -> np.ndarray:
    """Weights, NaN where a query cannot look (softmax gives exactly 0 there) and, on request, in the first column."""
    shown = np.where(pattern == 0, np.nan, pattern)
    if hide_first:
        shown[:, 0] = np.nan
    return shown


def _labels(tokens: Sequence[str] | None, count: int, role: str) -> Sequence[str] | None:
    if tokens is not None and len(tokens) != count:
        raise InputError(f"{len(tokens)} tokens for a pattern of {count} {role} positions; expected as many of each")
    return tokens


def _mosaic(axes: Axes, tiles, layers, heads, schedule, norm, rows, selected):
    """Draw rows of thumbnails as images in one Axes whose unit is a thumbnail; returns the last image."""
    for y, (layer, row) in enumerate(zip(layers, tiles, strict=True)):
        colour = style.MUTED
        if schedule is not None:
            colour = style.kind_colour(schedule[layer].kind, schedule[layer].shares_kv)
            axes.add_patch(Rectangle((-0.42, y), 0.28, 1 - GAP, facecolor=colour, edgecolor="none"))
        for x, tile in enumerate(row):
            extent = (x, x + 1 - GAP, y + 1 - GAP, y)
            image = style.heatmap(axes, tile, norm, extent=extent, aspect="equal")
            chosen = selected == (layer, heads[x])
            edge = style.INK if chosen else colour
            axes.add_patch(
                Rectangle((x, y), 1 - GAP, 1 - GAP, fill=False, edgecolor=edge, linewidth=3 if chosen else 1)
            )
    axes.set_xlim(-0.5, len(heads))
    axes.set_ylim(rows, -GAP)
    axes.set_xticks([x + 0.45 for x in range(len(heads))], [str(h) for h in heads], fontsize=style.SMALL)
    axes.set_yticks(
        [y + 0.45 for y in range(len(tiles))], [_row_name(i, schedule) for i in layers], fontsize=style.SMALL
    )
    axes.set_xlabel("head", fontsize=style.TEXT)
    axes.set_ylabel("layer", fontsize=style.TEXT)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _row_name(layer: int, schedule: Sequence[LayerSpec] | None) -> str:
    if schedule is None or not schedule[layer].shares_kv:
        return str(layer)
    return f"{layer} ← {schedule[layer].kv_source}"


def _grid_notes(patterns, tokens, every, shown, hide_first) -> list[str]:
    T, S = patterns[0].shape[1:]
    notes = [f"Queries run down, keys across; {S} tokens"]
    if tokens is not None and len(tokens):
        notes[0] += f", “{style.printable(tokens[0])}” … “{style.printable(tokens[-1])}”"
    notes[0] += ". Grey: out of sight."
    if max(T, S) > TILE:
        block = -(-max(T, S) // TILE)
        notes.append(f"Each dot is the largest weight of a block of about {block} × {block} cells.")
    if len(shown) < every:
        notes.append(f"{len(shown)} of {every} heads are shown.")
    if hide_first:
        notes.append("The first key is hidden.")
    return notes


def _kinds(specs: Sequence[LayerSpec]) -> list:
    """Legend entries for the kinds of layers that are there."""
    entries = {}
    for spec in specs:
        name = style.kind_name(spec.kind) + (", reads the KV of layer ←" if spec.shares_kv else "")
        entries[name] = style.kind_colour(spec.kind, spec.shares_kv)
    return style.patches(**entries)


def _outline(axes: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2.5, clip_on=False))


def _frame(axes: Axes, colour: str) -> None:
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(colour)
        spine.set_linewidth(2)
