"""The sliding window: what a token sees, how the window and its cache move, what is saved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma import numbers
from minigemma.config import GLOBAL, LOCAL
from minigemma.errors import InputError
from minigemma.interleaving import image_block_ends, interval_mask, visible_keys
from minigemma.plots import style


def mask_pair(
    length: int,
    window: int,
    query: int | None = None,
    *,
    tokens: Sequence[str] | None = None,
    image: tuple[int, int] | None = None,
    title: str | None = None,
) -> Figure:
    """The masks of a local and a global layer side by side; a query's row outlined, with what it sees counted.

    length: tokens; window: keys a local query sees, itself included; query: the row (default the last).
    image (first, count): these tokens are one image, all of which sees itself in the local layer (26B-A4B and 31B).
    """
    if length < 1 or window < 1:
        raise InputError(f"length is {length} and window is {window}; expected at least 1 of each")
    if tokens is not None and len(tokens) != length:
        raise InputError(f"{len(tokens)} tokens for a mask of {length}; expected as many")
    query = length - 1 if query is None else query % length
    positions, is_image = np.arange(length), np.zeros(length, bool)
    if image is not None:
        is_image[image[0] : image[0] + image[1]] = True
    side = style.cell_inches(length, 5.0, 1.8, 0.3)
    figure = style.canvas(2 * side + 2.0, side + 2.0)
    rule = style.patches(seen_only_because_both_are_of_one_image=style.IMAGE_TOKEN) if is_image.any() else None
    style.headline(figure, title or f"What each token may look at, window {window}", rule)
    for column, (kind, reach) in enumerate(((LOCAL, window), (GLOBAL, None))):
        causal = interval_mask(*visible_keys(positions, reach), length)
        mask = interval_mask(*visible_keys(positions, reach, image_block_ends(is_image)), length)
        mask = mask if kind == LOCAL else causal  # global layers stay causal
        seen = int(mask[query].sum())
        name = f"{style.kind_name(kind)}: token {query} sees {seen}"
        axes = style.panel(figure, (1, 2, column + 1), name, "key", "query" if column == 0 else "", frame=False)
        axes.title.set_fontsize(style.TEXT)
        colours = ListedColormap([style.kind_colour(kind), style.IMAGE_TOKEN])
        cells = np.where(mask, np.where(causal, 0.0, 1.0), np.nan)
        style.heatmap(axes, cells, Normalize(0, 1), colours, aspect="equal")
        _cell_lines(axes, length, length)
        first = int(mask[query].argmax())
        axes.add_patch(
            Rectangle((first - 0.5, query - 0.5), seen, 1, fill=False, edgecolor=style.INK, linewidth=2.5, zorder=5)
        )
        text = style.token_ticks(axes, tokens, "x", side)
        style.token_ticks(axes, tokens, "y", side)
        if column == 1:
            axes.tick_params(labelleft=False)
        if text and column == 0:
            style.note(figure, text)
    return figure


def generation_window(tokens: Sequence[str], window: int = 4, *, title: str | None = None) -> Figure:
    """Generation with a window, one row a step: what the newest token sees, and the ring-buffer cache after the step.

    The slot written in each step is outlined; an older token is overwritten once the ring is full (token t goes to
    slot t mod window). tokens: their labels; at most the first twenty-four are drawn.
    """
    if not len(tokens) or window < 1:
        raise InputError(f"{len(tokens)} tokens, window {window}; expected at least 1 of each")
    shown = min(len(tokens), 24)
    wide = min(8.0, 0.36 * (shown + window + 3))
    figure = style.canvas(wide + 1.6, 0.32 * shown + 2.3)
    style.headline(figure, title or f"A window of {window} moving along, and its cache")
    grid = figure.add_gridspec(1, 2, width_ratios=[shown, window * 1.4])
    strip = style.panel(figure, grid[0], "seen by the newest token", "token", "step", frame=False)
    ring = style.panel(figure, grid[1], "cache slots", "slot (token mod window)", "", frame=False)
    for axes in (strip, ring):
        axes.title.set_fontsize(style.TEXT)
    steps = [(t, step) for step in range(shown) for t in range(step + 1)]
    seen = {0: style.GLOBAL_COLOUR} | {age: style.LOCAL_COLOUR for age in range(1, window)}
    style.boxes(strip, steps, 0.9, 0.9, facecolor=[seen.get(step - t, style.FAINT) for t, step in steps])
    slots = [(slot, step) for step in range(shown) for slot in range(window)]
    held = [token for step in range(shown) for token in numbers.ring_buffer(step, window)]
    faces, edges = [], []
    for (slot, step), token in zip(slots, held, strict=True):
        new = token == step
        faces.append(style.FAINT if token is None else style.GLOBAL_COLOUR if new else style.CACHE)
        edges.append(style.INK if new and step >= window else "none")
        if token is not None and window <= 16:
            ink = "white" if new else style.INK
            ring.text(slot, step, str(token), ha="center", va="center", fontsize=style.SMALL, color=ink)
    style.boxes(ring, slots, 0.9, 0.9, facecolor=faces, edgecolor=edges, linewidth=2)
    strip.set(xlim=(-0.6, shown - 0.4), ylim=(shown - 0.4, -0.6))
    ring.set(xlim=(-0.6, window - 0.4), ylim=(shown - 0.4, -0.6), yticks=[])
    ring.set_xticks(range(0, window, 1 if window <= 12 else 4))
    strip.set_yticks(range(0, shown, 1 if shown <= 12 else 2))
    style.token_ticks(strip, tokens[:shown], "x", wide * 0.62)
    style.note(figure, "Orange: the newest token. Black frame: an older token was overwritten.")
    if shown < len(tokens):
        style.note(figure, f"The first {shown} of {len(tokens)} steps are shown.")
    return figure


def compute_ratio(
    windows: Sequence[int] = (512, 1024),
    lengths: Sequence[int] | None = None,
    *,
    title: str = "Work of a local layer beside a global one",
) -> Figure:
    """Query-key pairs of a local layer divided by those of a global one, against length. Exact counts."""
    lengths = [2**i for i in range(8, 19)] if lengths is None else list(lengths)
    figure, axes = style.single(title, "tokens", "pairs, local ÷ global", width=style.WIDTH + 0.6)
    for i, window in enumerate(windows):
        ratio = [numbers.attended_pairs(n, window) / numbers.attended_pairs(n) for n in lengths]
        axes.plot(
            lengths,
            ratio,
            marker="o",
            color=style.SERIES[i % 8],
            linestyle=style.DASHES[i % 8],
            linewidth=2,
            label=f"window {window:,}",
        )
        if i == 0:
            for n in (n for n in (4096, 131_072) if n in lengths):
                value = ratio[lengths.index(n)]
                axes.annotate(
                    f"{value:.3g}", (n, value), (-8, -16), textcoords="offset points", ha="right", fontsize=style.TEXT
                )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: style.tokens_text(value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(color=style.FAINT)
    style.legend(axes)
    return figure


def _cell_lines(axes: Axes, columns: int, rows: int) -> None:
    """White lines between cells, where cells are large enough for them."""
    if max(columns, rows) > 48:
        return
    axes.set_xticks(np.arange(-0.5, columns), minor=True)
    axes.set_yticks(np.arange(-0.5, rows), minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
