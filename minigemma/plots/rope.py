"""Rotation: pairs as clocks, which coordinates pair up, angles and wavelengths, and what pruning slow pairs keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Rectangle

from minigemma import numbers
from minigemma.config import Config, TextConfig
from minigemma.errors import InputError
from minigemma.plots import style

TURN = 2 * np.pi
MARKS = (512, 1024, 131_072, 262_144)  # the two windows, the two contexts


def _variants(variants: Any) -> dict[str, np.ndarray]:
    """{name: frequencies} from a config, from one array of frequencies, or from such a mapping."""
    if isinstance(variants, Config | TextConfig):
        return numbers.rope_variants(style.text_config(variants))
    if isinstance(variants, Mapping):
        return {name: np.asarray(f) for name, f in variants.items()}
    return {"": np.asarray(variants)}


def rope_angles(
    variants: Any,
    positions: Sequence[int] | np.ndarray | None = None,
    *,
    title: str = "Angle of every pair at every position",
) -> Figure:
    """Maps of pair × position, colour the angle modulo a full turn (a cyclic map); a pruned pair is one flat colour.

    variants: a config (local, global if every pair turned, global p-RoPE), frequencies (K/2,), or {name: frequencies}.
    positions: tokens, increasing; default 1 to 256K, logarithmic.
    """
    models = _variants(variants)
    if positions is None:
        positions = np.unique(np.concatenate([np.geomspace(1, 2**18, 600).astype(int), 4 ** np.arange(10)]))
    positions = np.asarray(positions)
    if not models or positions.ndim != 1 or not len(positions):
        raise InputError("nothing to draw: give frequencies and at least one position")
    figure = style.canvas(2.4 + 3.3 * len(models), 4.4)
    style.headline(figure, title)
    panels = []
    for i, (name, frequencies) in enumerate(models.items()):
        axes = style.panel(
            figure, (1, len(models), i + 1), name, "position in tokens", "pair" if i == 0 else "", frame=False
        )
        axes.title.set_fontsize(style.TEXT)
        angles = np.mod(np.multiply.outer(frequencies.astype(np.float64), positions), TURN)  # (K/2, positions)
        image = style.heatmap(axes, angles, Normalize(0, TURN), style.CYCLIC)
        at = _position_ticks(positions)
        axes.set_xticks(at, [style.tokens_text(positions[a]) for a in at], fontsize=style.SMALL, rotation=90)
        panels.append(axes)
    bar = style.colour_bar(figure, image, panels, "angle")
    bar.set_ticks([0, TURN / 4, TURN / 2, 3 * TURN / 4, TURN], labels=["0", "¼ turn", "½ turn", "¾ turn", "1 turn"])
    style.note(figure, "One column a position; where a pair turns many times between two columns, colours look random.")
    return figure


def _position_ticks(positions: np.ndarray) -> list[int]:
    """Columns to label: the powers of four among the positions that are not too close together, else five in all."""
    at: list[int] = []
    for column in np.flatnonzero(np.isin(positions, 4 ** np.arange(13))):
        if not at or column - at[-1] > len(positions) / 20:
            at.append(int(column))
    return at if len(at) > 2 else sorted({int(c) for c in np.linspace(0, len(positions) - 1, 5)})


def clock_faces(
    frequencies: np.ndarray, position: int, pairs: Sequence[int] | None = None, *, title: str | None = None
) -> Figure:
    """Pairs as clocks: where the hand of each pair stands at ``position``, with the fainter hands of the steps before.

    frequencies (K/2,) radians a token; pairs: which to draw (default eight, evenly spread).
    """
    frequencies = np.asarray(frequencies)
    count = len(frequencies)
    chosen = list(np.unique(np.linspace(0, count - 1, min(8, count)).astype(int)) if pairs is None else pairs)
    if not chosen or not all(0 <= p < count for p in chosen):
        raise InputError(f"pairs {chosen} of {count}; expected numbers from 0 to {count - 1}")
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
        for back in range(min(3, position), -1, -1):
            angle = float(frequencies[pair]) * (position - back)
            colour = style.MUTED if np.isinf(turn) else style.GLOBAL_COLOUR
            hand = axes.plot([0, np.cos(angle)], [0, np.sin(angle)], color=colour, solid_capstyle="round")[0]
            hand.set(linewidth=3 if back == 0 else 1.5, alpha=1 - 0.28 * back)
        axes.plot(1, 0, "o", color=style.INK, markersize=5)  # where position 0 stands
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


def wavelengths(
    variants: Any, marks: Sequence[int] = MARKS, *, title: str = "How many tokens one full turn of a pair takes"
) -> Figure:
    """Wavelength of each pair, logarithmic, with lines at the windows and contexts. variants: as in ``rope_angles``."""
    figure, axes = style.single(
        title, "pair, as a share of the head's pairs", "tokens in a full turn", width=style.WIDTH + 1.2, height=4.6
    )
    for i, (name, frequencies) in enumerate(_variants(variants).items()):
        turn = numbers.wavelengths(frequencies)
        place = np.arange(len(turn)) / len(turn)
        moving = np.isfinite(turn)
        colour, width = _line(i)
        axes.plot(place[moving], turn[moving], color=colour, linewidth=width, linestyle=style.DASHES[i], label=name)
        if moving.any() and not moving.all():
            last = np.flatnonzero(moving)[-1]
            axes.plot(place[last], turn[last], "o", color=colour)
            arrow = {"arrowstyle": "-", "color": style.MUTED}
            options = {"textcoords": "axes fraction", "fontsize": style.SMALL, "arrowprops": arrow}
            axes.annotate(f"after pair {last}: never turns", (place[last], turn[last]), (0.4, 0.04), **options)
    for mark in marks:
        axes.axhline(mark, color=style.MUTED, linewidth=0.9, linestyle=":")
        axes.text(1.01, mark, style.tokens_text(mark), fontsize=style.SMALL, va="center", color=style.MUTED)
    axes.set_yscale("log")
    axes.set_xlim(0, 1)
    style.legend(axes, loc="upper left")
    return figure


def cosine_decay(
    curves: Mapping[str, np.ndarray],
    distances: np.ndarray,
    *,
    title: str = "Does a token still match its own copy far away?",
) -> Figure:
    """Mean cosine of a vector and its copy turned to another position. curves: {name: (distances,)}; 1 is the same."""
    figure, axes = style.single(title, "distance in tokens", "mean cosine over the pairs", width=style.WIDTH + 0.6)
    for i, (name, curve) in enumerate(curves.items()):
        colour, width = _line(i + 1)
        axes.plot(
            distances, curve, color=colour, linewidth=width, linestyle=style.DASHES[i % len(style.DASHES)], label=name
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: style.tokens_text(value))
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    axes.set_ylim(top=1.06)
    style.legend(axes, loc="lower left")
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


def _line(i: int) -> tuple[str, float]:
    """Local blue, full global grey, p-RoPE orange, then the rest."""
    colours = (style.LOCAL_COLOUR, style.MUTED, style.GLOBAL_COLOUR, *style.SERIES[2:])
    return colours[i % len(colours)], 2.5
