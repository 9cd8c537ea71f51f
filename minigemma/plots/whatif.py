"""A model beside the same model with a mistake in it: where they part, what they say, what a head looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.attention import check_labels, check_pattern

LEAST = 1e-7  # of a relative difference that is drawn: float32's own rounding
RIGHT, WRONG = style.RESIDUAL, style.GLOBAL_COLOUR


def difference_growth(
    lines: Mapping[str, Sequence[float]],
    stages: Sequence[str],
    *,
    allowed: Mapping[str, float] | None = None,
    title: str = "Relative difference, stage by stage",
) -> Figure:
    """Relative differences along the forward pass, logarithmic: {name: (S,)}, stages: S labels. 0 is drawn at the foot.

    allowed: {what is said of it: level}, as dotted lines.
    """
    _check_rows("lines", lines, stages)
    figure, axes = style.single(title, "", "relative difference", width=style.WIDTH + 2.2, height=4.2)
    for i, (name, values) in enumerate(lines.items()):
        _growth(axes, values, name, style.SERIES[i % 8], style.DASHES[i % 8])
    for text, level in (allowed or {}).items():
        axes.axhline(level, color=style.MUTED, linestyle=":", linewidth=1.2)
        axes.text(len(stages) - 0.5, level * 1.15, text, ha="right", fontsize=style.SMALL, color=style.MUTED)
    style.token_ticks(axes, stages, "x", 5.5, 14)
    style.legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def difference_map(
    rows: Mapping[str, Sequence[float]],
    stages: Sequence[str],
    cost: Mapping[str, float] | None = None,
    *,
    title: str = "Where each mistake is first seen, and what becomes of it",
) -> Figure:
    """A row a mistake, a column a stage of the forward pass: the relative difference as colour, logarithmic.

    rows: {name: (S,)}; pale grey is no difference. cost: {name: nats a token}, written beside the map.
    """
    _check_rows("rows", rows, stages)
    values = np.array(list(rows.values()), float)
    shown = np.where(values > 1e-6, values, np.nan)
    figure = style.canvas(style.WIDTH + 2.6, 2.2 + 0.31 * len(rows))
    axes = style.panel(figure, 111, title, "", "", frame=False)
    image = style.heatmap(axes, np.minimum(shown, 1.0), LogNorm(1e-6, 1.0))
    bar = style.colour_bar(figure, image, axes, "relative difference")
    bar.ax.set_yticks([1e-6, 1e-4, 1e-2, 1])
    axes.set_yticks(range(len(rows)), list(rows), fontsize=style.SMALL)
    axes.set_xticks(range(len(stages)), stages, rotation=90, fontsize=style.SMALL)
    if cost is not None:
        side = axes.secondary_yaxis("right")
        side.set_yticks(range(len(rows)), [f"{cost[name]:+.3f}" if name in cost else "" for name in rows])
        side.tick_params(length=0, labelsize=style.SMALL, labelcolor=style.INK)
        side.spines["right"].set_visible(False)
        side.set_ylabel("change of the loss, nats a token", fontsize=style.TEXT, color=style.INK)
    return figure


def what_if(
    differences: Sequence[float],
    stages: Sequence[str],
    chances: Mapping[str, np.ndarray],
    best: Sequence[str],
    patterns: tuple[np.ndarray, np.ndarray],
    tokens: Sequence[str] | None = None,
    *,
    head: str = "one head",
    note: str = "",
    title: str = "What if",
) -> Figure:
    """Differences by stage, the next tokens before and after, one head's pattern before, after, and the difference.

    differences (S,) with S labels; chances: {name: (n,)}, best: n labels; patterns: two (T, T); tokens: T labels.
    """
    right, wrong = (check_pattern(pattern, 2) for pattern in patterns)
    labels = check_labels(tokens, len(right), "token")
    figure = style.canvas(11.0, 7.7)  # every part in its place: an explorer draws this on every move
    figure.set_layout_engine("none")
    figure.text(0.01, 0.985, title, fontsize=style.TITLE, va="top", color=style.INK)
    figure.text(0.01, 0.008, note, fontsize=style.SMALL, va="bottom", color=style.MUTED)
    growth = style.panel(figure, (0.75, 4.95, 4.5, 2.0), "Relative difference, stage by stage", "", "")
    _growth(growth, differences, "", WRONG)
    style.token_ticks(growth, stages, "x", 4.5, 14)
    bars = style.panel(figure, (6.7, 4.6, 4.1, 2.35), "The likeliest next tokens", "probability", "")
    for i, (name, values) in enumerate(chances.items()):
        shift = (i - (len(chances) - 1) / 2) * 0.4
        bars.barh(np.arange(len(best)) + shift, values, 0.4, color=(RIGHT, WRONG)[i % 2], label=name)
    bars.set_yticks(range(len(best)), [style.printable(t) for t in best], fontsize=style.SMALL, parse_math=False)
    bars.invert_yaxis()
    style.legend(bars, loc="lower right")

    unseen, top = (right == 0) & (wrong == 0), max(float(right.max()), float(wrong.max()))
    maps = {f"{head}: right": right, "with the mistake": wrong, "difference": wrong - right}
    for column, (name, values) in enumerate(maps.items()):
        signed, left = name == "difference", 1.0 + 3.35 * column
        axes = style.panel(figure, (left, 1.15, 2.75, 2.4), name, "", "", frame=False)
        norm = style.centred(values) if signed else style.scaled(values, "sqrt", top)
        colours = style.SIGNED if signed else style.MAGNITUDE
        image = style.heatmap(axes, np.where(unseen, np.nan, values), norm, colours)
        style.token_ticks(axes, labels if column == 0 else None, "y", 2.4, 9)
        style.whole_ticks(axes.xaxis)
        place = style.panel(figure, (left, 0.72, 2.75, 0.1))
        bar = figure.colorbar(image, cax=place, orientation="horizontal")
        bar.outline.set_visible(False)
        reach = float(np.abs(values).max()) or 1.0
        bar.set_ticks([-0.9 * reach, 0, 0.9 * reach] if signed else [0, 0.1 * top, 0.5 * top, top])
        place.xaxis.set_major_formatter("{x:.2g}")
    return figure


def _check_rows(name: str, rows: Mapping[str, Sequence[float]], stages: Sequence[str]) -> None:
    if not rows or any(len(values) != len(stages) for values in rows.values()):
        raise InputError(f"{name} holds {[len(v) for v in rows.values()]} values; expected {len(stages)} each")


def _growth(axes: Axes, values: Sequence[float], label: str, colour: str, dash: object = "-") -> None:
    """One line of differences on a logarithmic axis; what is exactly the same sits at the foot."""
    heights = np.clip(np.nan_to_num(np.asarray(values, float), posinf=10.0), LEAST, 10.0)
    options: dict = {"marker": "o", "markersize": 5, "linewidth": 2, "linestyle": dash}
    axes.plot(heights, color=colour, label=label, **options)
    axes.set_yscale("log")
    axes.set_ylim(LEAST / 2, 20)
