"""Rotation by scale: angles of all pairs over positions, wavelengths, and what pruning the slow pairs keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

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
        colour, width = _line(i + 1)  # no local curve: full RoPE grey, p-RoPE orange, as in ``wavelengths``
        dash = style.DASHES[(i + 1) % len(style.DASHES)]
        axes.plot(distances, curve, color=colour, linewidth=width, linestyle=dash, label=name)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: style.tokens_text(value))
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    axes.set_ylim(top=1.06)
    style.legend(axes, loc="lower left")
    return figure


def loss_by_fraction(
    fractions: Sequence[float],
    losses: Mapping[str, np.ndarray],
    trained: Mapping[str, float],
    *,
    title: str = "A trained model, if another share of its pairs turned",
) -> Figure:
    """Loss of one model run with other shares of turning pairs. losses: {kind of layers changed: (fractions,)}.

    trained: {kind: the share it was trained with}, marked with a ring. Kinds are LOCAL and GLOBAL.
    """
    figure, axes = style.single(title, "share of pairs that turn", "nats a token", width=style.WIDTH + 0.8)
    for kind, loss in losses.items():
        colour, name = style.kind_colour(kind), style.kind_name(kind)
        axes.plot(fractions, loss, color=colour, linewidth=2.5, marker="o", markersize=5, label=f"in {name} layers")
        at = list(fractions).index(trained[kind])
        axes.plot(trained[kind], loss[at], "o", color=colour, fillstyle="none", markersize=14, markeredgewidth=2)
    axes.grid(color=style.FAINT)
    style.legend(axes)
    style.note(figure, "Ring: as it was trained.")
    return figure


def _line(i: int) -> tuple[str, float]:
    """Local blue, full global grey, p-RoPE orange, then the rest."""
    colours = (style.LOCAL_COLOUR, style.MUTED, style.GLOBAL_COLOUR, *style.SERIES[2:])
    return colours[i % len(colours)], 2.5
