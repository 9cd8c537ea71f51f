"""Rotation: pairs as clocks, which coordinates pair up, a vector before and after, scores by position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Rectangle

from minigemma import numbers
from minigemma.errors import InputError
from minigemma.plots import style


def clock_faces(
    frequencies: np.ndarray,
    position: int,
    pairs: Sequence[int] | None = None,
    *,
    vector: np.ndarray | None = None,
    title: str | None = None,
) -> Figure:
    """Pairs as clocks: where the hand of each pair stands at ``position``, with the fainter hands of the steps before.

    frequencies (K/2,) radians a token; pairs: which to draw (default eight, evenly spread). vector (K,): a query or key
    before rotation, whose pairs are then the hands, as long as they are; else all start at three o'clock.
    """
    frequencies = np.asarray(frequencies)
    count = len(frequencies)
    chosen = list(np.unique(np.linspace(0, count - 1, min(8, count)).astype(int)) if pairs is None else pairs)
    if not chosen or not all(0 <= p < count for p in chosen):
        raise InputError(f"pairs {chosen} of {count}; expected numbers from 0 to {count - 1}")
    if vector is not None and np.shape(vector) != (2 * count,):
        raise InputError(f"vector has shape {np.shape(vector)}; expected ({2 * count},) for {count} pairs")
    hands = np.ones(count, complex) if vector is None else vector[:count] + 1j * vector[count:]
    longest = np.abs(hands[chosen]).max() or 1.0
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = style.canvas(max(style.WIDTH, 1.75 * columns), 2.3 * rows + 0.6)
    style.headline(figure, title or f"Pairs as clocks, at position {position:,}")
    for i, pair in enumerate(chosen):
        turn = numbers.wavelengths(frequencies[pair : pair + 1])[0]
        speed = (
            "never turns" if np.isinf(turn) else f"{turn:,.1f} tokens a turn" if turn < 1000 else f"{turn:,.0f} a turn"
        )
        axes = style.panel(figure, (rows, columns, i + 1), f"pair {pair}", speed, "", frame=False)
        axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=style.MUTED, linewidth=1.5))
        start = hands[pair] / longest
        for back in range(min(3, position), -1, -1):
            tip = start * np.exp(1j * float(frequencies[pair]) * (position - back))
            colour = style.MUTED if np.isinf(turn) else style.GLOBAL_COLOUR
            hand = axes.plot([0, tip.real], [0, tip.imag], color=colour, solid_capstyle="round")[0]
            hand.set(linewidth=3 if back == 0 else 1.5, alpha=1 - 0.28 * back)
        mark = start / (abs(start) or 1.0)
        axes.plot(mark.real, mark.imag, "o", color=style.INK, markersize=5)  # where position 0 points
        axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
    style.note(figure, "Dot: position 0. Faint hands: the three positions before.")
    return figure


def pair_ruler(width: int = 16, fraction: float = 0.25, *, title: str = "Which coordinates make a pair") -> Figure:
    """Coordinates of a head on a ruler, arcs joining the pairs: (i, i + K/2), and the wrong (2i, 2i + 1).

    Coordinates that turn are coloured; the first ``fraction`` of the pairs turns.
    """
    if width < 2 or width % 2:
        raise InputError(f"width is {width}; expected an even number of coordinates")
    half, turning = width // 2, int(fraction * (width // 2))
    layouts = {
        "Gemma: pair i is (i, i + K/2)": [(i, i + half) for i in range(half)],
        "the mistake: neighbours (2i, 2i + 1)": [(2 * i, 2 * i + 1) for i in range(half)],
    }
    figure = style.canvas(style.WIDTH + 1, 4.2)
    grid = figure.add_gridspec(2, 1, height_ratios=[1.8, 1])
    style.headline(figure, title, style.patches(turns=style.GLOBAL_COLOUR, stays_as_it_is=style.FAINT))
    for row, (name, pairs) in enumerate(layouts.items()):
        axes = style.panel(figure, grid[row], name, "coordinate of the head" if row else "", "", frame=False)
        axes.title.set_fontsize(style.TEXT)
        for i, (a, b) in enumerate(pairs):
            colour = style.GLOBAL_COLOUR if i < turning else "#AEB5BF"
            axes.add_patch(
                Arc(((a + b) / 2, 0.55), b - a, (b - a) * 0.7 + 0.6, theta1=0, theta2=180, color=colour, linewidth=2)
            )
            for c in (a, b):
                face = style.GLOBAL_COLOUR if i < turning else style.FAINT
                axes.add_patch(Rectangle((c - 0.45, -0.5), 0.9, 0.95, facecolor=face))
        axes.set(xlim=(-0.7, width - 0.3), ylim=(-0.6, half * 0.36 + 1.1 if row == 0 else 1.8), yticks=[])
        step = 1 if width <= 24 else width // 16
        axes.set_xticks(range(0, width, step))
    return figure


def qk_by_position(scores: np.ndarray, *, title: str = "One query and one key at every pair of positions") -> Figure:
    """q · k with the query turned to position m and the key to position n: constant along every diagonal.

    scores (M, N), as ``numbers.scores_by_position`` makes them.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or not scores.size:
        raise InputError(f"scores has shape {scores.shape}; expected (M, N)")
    figure, axes = style.single(title, "position n of the key", "position m of the query", height=5.2, frame=False)
    image = style.heatmap(axes, scores, style.centred(scores), style.SIGNED, aspect="equal")
    style.colour_bar(figure, image, axes, "q · k")
    return figure


def rotation_bars(
    before: np.ndarray, after: np.ndarray, *, title: str = "A head's vector before and after rotation"
) -> Figure:
    """Every coordinate before and after: with p-RoPE three quarters pass unchanged. before, after (K,)."""
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or before.ndim != 1:
        raise InputError(f"before {before.shape}, after {after.shape}; expected (K,) each")
    changed = before != after
    figure = style.canvas(style.WIDTH + 1, 4.6)
    colours = np.where(changed, style.GLOBAL_COLOUR, "#8A93A0")
    names = {"turned": style.GLOBAL_COLOUR, "unchanged": "#8A93A0"}
    style.headline(figure, f"{title}: {np.mean(~changed):.0%} unchanged", style.patches(**names))
    reach = max(np.abs(before).max(), np.abs(after).max(), 1e-9) * 1.05
    for row, (name, values) in enumerate({"before": before, "after": after}.items()):
        axes = style.panel(figure, (2, 1, row + 1), "", "coordinate of the head" if row else "", name)
        axes.bar(range(len(values)), values, color=colours, width=1.0)
        axes.axhline(0, color=style.MUTED, linewidth=0.8)
        axes.set(xlim=(-0.6, len(values) - 0.4), ylim=(-reach, reach))
    return figure
