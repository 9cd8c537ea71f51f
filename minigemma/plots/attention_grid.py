"""All attention patterns of a model as thumbnails, layers × heads; and the view that zooms from them to one query."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style
from minigemma.plots.attention import check_labels, check_pattern, row_bars, seen, shaded

TILE = 48  # most cells along one side of a thumbnail; longer patterns keep the largest value of each block
ROWS = 12  # layers in one column of thumbnails, and in a view
HEADS = 16  # heads shown when nobody chooses
VIEW_HEADS = 8  # heads in a view
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
    patterns = [check_pattern(p, 3) for p in patterns]
    layers = list(range(len(patterns))) if layers is None else list(layers)
    if not patterns or len(layers) != len(patterns) or len({p.shape[1:] for p in patterns}) != 1:
        raise InputError(
            f"{len(patterns)} patterns for {len(layers)} layers; expected one pattern a layer, at least one, all alike"
        )
    every = min(len(p) for p in patterns)
    shown = list(range(min(every, HEADS))) if heads is None else list(heads)

    blocks = -(-len(patterns) // ROWS)
    rows = -(-len(patterns) // blocks)
    side = min(0.7, 11.5 / (blocks * (len(shown) + 2)))
    width = max(style.WIDTH, blocks * (len(shown) * side + 1.25) + 1.0)
    figure = style.canvas(width, max(2.6, rows * side * 1.05 + 1.7))
    tiles = [[thumbnail(p[h], hide_first, scale) for h in shown] for p in patterns]
    norm = style.scaled(np.array(tiles), scale)

    panels = figure.subplots(1, blocks, squeeze=False)[0]
    for b, axes in enumerate(panels):
        part = slice(b * rows, (b + 1) * rows)
        _mosaic(axes, tiles[part], layers[part], shown, schedule, norm, rows, selected)
    style.colour_bar(figure, ScalarMappable(norm, style.MAGNITUDE), list(panels), style.weight_name(scale), shrink=0.8)
    style.headline(figure, title, _kinds([schedule[i] for i in layers]) if schedule else None)
    for text in _notes(patterns[0].shape[1:], tokens, every, shown, hide_first):
        style.note(figure, text)
    return figure


def thumbnail(pattern: np.ndarray, hide_first: bool = False, scale: str = "linear") -> np.ndarray:
    """A pattern (T, S) in at most TILE × TILE cells, each the largest weight of its block; unseen cells are NaN."""
    pattern = seen(pattern, hide_first, scale)
    for axis in (0, 1):
        edges = np.linspace(0, pattern.shape[axis], min(TILE, pattern.shape[axis]), endpoint=False).astype(int)
        pattern = np.fmax.reduceat(pattern, edges, axis=axis)
    return pattern


def attention_view(
    patterns: Sequence[np.ndarray] | np.ndarray,
    schedule: Sequence[LayerSpec],
    tokens: Sequence[str],
    layer: int,
    head: int,
    query: int,
    *,
    hide_first: bool = False,
    scale: str = "sqrt",
    colours: str = style.MAGNITUDE,
    note: str = "",
) -> Figure:
    """From all heads to one query: the thumbnails, the chosen head in full, and under it the chosen query's weights.

    patterns: L arrays (H, T, T), schedule: their LayerSpecs, tokens: T labels. Of a deep or wide model twelve layers
    and eight heads around the chosen one are shown. scale: "linear", "sqrt", "log", or "row-max": weights as
    shares of the query's largest. Drawn on every move of a control, so at fixed places rather than laid out.
    """
    pattern = check_pattern(patterns[layer][head], 2)
    check_labels(tokens, len(pattern), "query")
    layers, heads = _around(layer, len(patterns), ROWS), _around(head, len(patterns[layer]), VIEW_HEADS)
    tiles = [[thumbnail(patterns[i][h], hide_first, scale) for h in heads] for i in layers]
    norm = style.scaled(np.array(tiles), scale)

    figure = style.canvas(12.0, 7.2)
    figure.set_layout_engine("none")
    side = min(5.4 / (len(layers) + GAP), 3.3 / (len(heads) + 0.5))  # of a thumbnail, in inches
    left = style.panel(
        figure,
        (0.95, 6.5 - side * (len(layers) + GAP), side * (len(heads) + 0.5), side * (len(layers) + GAP)),
        frame=False,
    )
    _mosaic(left, tiles, layers, heads, schedule, norm, len(layers), (layer, head), colours)
    kinds = _kinds([schedule[i] for i in layers])
    style.legend(figure, kinds, loc="upper left", bbox_to_anchor=(0, 1), ncols=2)

    spec = schedule[layer]
    kind = style.kind_name(spec.kind) + (f", keys and values of layer {spec.kv_source}" if spec.shares_kv else "")
    middle = style.panel(figure, (5.9, 2.6, 4.9, 4.1), f"Layer {layer} ({kind}), head {head}", "", "query", frame=False)
    image = shaded(middle, seen(pattern, hide_first, scale), norm, colours, query, spec.kind)
    style.token_ticks(middle, tokens, "y", 4.1)
    middle.tick_params(labelbottom=False)
    beside = style.panel(figure, (10.95, 2.6, 0.13, 4.1))
    figure.colorbar(image, cax=beside).set_label(style.weight_name(scale), fontsize=style.TEXT)

    name = f"What query {query}, “{style.printable(tokens[query])}”, looks at"
    below = style.panel(figure, (5.9, 1.15, 4.9, 1.05), name, "key", "weight")
    row_bars(below, pattern[query], hide_first)
    left_out = style.token_ticks(below, tokens, "x", 4.9)
    hidden = f"The first key is hidden; it gets {pattern[query, 0]:.3f}." if hide_first else ""
    cropped = _cropped("layers", layers, len(patterns)) + _cropped("heads", heads, len(patterns[layer]))
    words = " ".join(filter(None, [note, hidden, left_out, cropped]))
    figure.text(0.01, 0.012, words, fontsize=style.SMALL, color=style.MUTED)
    return figure


def _around(chosen: int, count: int, room: int) -> list[int]:
    """As many numbers as there is room for, the chosen one in the middle where possible."""
    start = max(0, min(chosen - room // 2, count - room))
    return list(range(start, min(start + room, count)))


def _cropped(what: str, shown: Sequence[int], count: int) -> str:
    return "" if len(shown) == count else f"{what.capitalize()} {shown[0]} to {shown[-1]} of {count}. "


def _mosaic(axes, tiles, layers, heads, schedule, norm: Normalize, rows, selected, colours=style.MAGNITUDE) -> None:
    """Rows of thumbnails as one image in Axes whose unit is a thumbnail with its gap."""
    shades = mpl.colormaps[colours].with_extremes(bad=style.FAINT)
    grow = [-(-TILE // (2 * n)) for n in tiles[0][0].shape]  # small patterns get larger cells, so that gaps fit
    height, width = (n * g for n, g in zip(tiles[0][0].shape, grow, strict=True))
    pitch = round(height / (1 - GAP)), round(width / (1 - GAP))
    tall, wide = height / pitch[0], width / pitch[1]  # of a thumbnail without its gap
    picture = np.zeros((len(tiles) * pitch[0], len(heads) * pitch[1], 4), np.uint8)
    for y, (layer, row) in enumerate(zip(layers, tiles, strict=True)):
        colour = style.MUTED
        if schedule is not None:
            colour = style.kind_colour(schedule[layer].kind, schedule[layer].shares_kv)
            axes.add_patch(Rectangle((-0.42, y), 0.28, tall, facecolor=colour, edgecolor="none"))
        for x, tile in enumerate(row):
            pixels = shades(norm(np.ma.masked_invalid(tile)), bytes=True)
            place = picture[y * pitch[0] : y * pitch[0] + height, x * pitch[1] : x * pitch[1] + width]
            place[:] = pixels.repeat(grow[0], axis=0).repeat(grow[1], axis=1)
            if selected == (layer, heads[x]):
                axes.add_patch(Rectangle((x, y), wide, tall, fill=False, edgecolor=style.INK, linewidth=3))
        places = [(x + wide / 2, y + tall / 2) for x in range(len(row))]
        style.boxes(axes, places, wide, tall, facecolor="none", edgecolor=colour, linewidth=1)
    axes.imshow(picture, extent=(0, len(heads), len(tiles), 0), aspect="equal", interpolation="nearest")
    axes.set(xlim=(-0.5, len(heads)), ylim=(rows, -GAP))
    axes.set_xticks([x + wide / 2 for x in range(len(heads))], [str(h) for h in heads], fontsize=style.SMALL)
    names = [_row_name(i, schedule) for i in layers]
    axes.set_yticks([y + tall / 2 for y in range(len(tiles))], names, fontsize=style.SMALL)
    axes.set_xlabel("head", fontsize=style.TEXT)
    axes.set_ylabel("layer", fontsize=style.TEXT)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _row_name(layer: int, schedule: Sequence[LayerSpec] | None) -> str:
    if schedule is None or not schedule[layer].shares_kv:
        return str(layer)
    return f"{layer} ← {schedule[layer].kv_source}"


def _notes(shape, tokens, every, shown, hide_first) -> list[str]:
    T, S = shape
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
