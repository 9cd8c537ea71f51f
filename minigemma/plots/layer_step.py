"""One step of a decoder layer: the tensor it makes as a picture, and where in the layer it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from minigemma.errors import InputError
from minigemma.layer_steps import Step
from minigemma.plots import style

AXES = {"S": "", "E": "expert", "F": "inner unit"}  # what runs across, by the last letter of a shape
COLUMNS = 512  # cells across; more would be thinner than a dot of the picture
WEIGHTS = ("softmax", "router softmax", "expert weights")  # steps whose values are shares
SHADES = ("#F3F4F6", "#E3E6EA")  # behind the parts of a layer, by turns


def layer_step(
    steps: Sequence[Step],
    at: int,
    tokens: Sequence[str],
    *,
    head: int = 0,
    heads: int = 1,
    title: str = "",
    note: str = "",
) -> Figure:
    """Step ``at`` of a layer: its operation, shape and RMS, its value as a map, and the RMS of all steps below.

    steps: of ``layer_steps``. tokens (T,): labels. head: which query head of ``heads`` is shown where there are
    several; of keys and values, the head it reads.
    """
    if not 0 <= at < len(steps):
        raise InputError(f"at is {at}; this layer has steps 0 to {len(steps) - 1}")
    if not 0 <= head < heads:
        raise InputError(f"head is {head}; this layer has query heads 0 to {heads - 1}")
    step = steps[at]
    values, which = _one_head(step, head, heads)
    high = style.cell_inches(len(tokens), 4.4, 2.2, 0.21)
    figure = style.canvas(style.WIDTH + 1.4, high + 3.4)
    parts: Any = figure.subfigures(2, 1, height_ratios=(high + 1.6, 1.8))
    above, below = parts
    lines = [f"{title + ': ' if title else ''}{step.name}", step.does, f"{step.shape}{which}    RMS {step.rms:.3g}"]
    _map(above, step, values, tokens, "\n".join(lines), note)
    _sizes(style.panel(below, 111, "", "", "RMS"), steps, at)
    return figure


def _one_head(step: Step, head: int, heads: int) -> tuple[np.ndarray, str]:
    """The two-dimensional part that is shown, and what to call it."""
    letters = step.letters.split(", ")
    if step.value.ndim == 2:
        return step.value, ""
    if "G" in letters:
        group = head * step.value.shape[1] // heads
        return step.value[:, group], f", head {group} (read by query head {head})"
    return step.value[head] if letters[0] == "H" else step.value[:, head], f", head {head}"


def _map(figure: Any, step: Step, values: np.ndarray, tokens: Sequence[str], title: str, note: str) -> None:
    columns = step.letters.split(", ")[-1]
    axes = style.panel(figure, 111, title, AXES.get(columns, "coordinate"), "", frame=False)
    axes.title.set_parse_math(False)
    axes.title.set_linespacing(1.35)
    values, each = _gathered(values)
    edges = (-0.5, values.shape[1] * each - 0.5, len(values) - 0.5, -0.5)
    if step.name in WEIGHTS:
        shown = np.where(values == 0, np.nan, values)
        image = style.heatmap(axes, shown, style.scaled(values, "sqrt"), extent=edges)
        style.colour_bar(figure, image, axes, "weight")
    else:
        size = np.abs(values[np.isfinite(values)])
        reach = float(np.quantile(size, 0.995))  # a few coordinates are often many times larger than all others
        shown = np.where(np.isfinite(values), values, np.nan)
        image = style.heatmap(axes, shown, style.centred(shown, reach), style.SIGNED, extent=edges)
        style.colour_bar(figure, image, axes, "value", extend="both" if size.max() > reach else "neither")
    note += f" Each cell is the largest of {each} neighbours." if each > 1 else ""
    said = style.token_ticks(axes, tokens, "y", style.cell_inches(len(tokens), 4.4, 2.2, 0.21))
    if columns == "S":
        style.token_ticks(axes, tokens, "x", style.WIDTH - 1)
    else:
        style.whole_ticks(axes.xaxis)
    if text := f"{note} {said}".strip():
        style.note(figure, text)


def _gathered(values: np.ndarray) -> tuple[np.ndarray, int]:
    """At most ``COLUMNS`` columns: of every few neighbours the one farthest from zero, and how many they are."""
    T, width = values.shape
    each = -(-width // COLUMNS)
    if each == 1:
        return values, 1
    padded = np.pad(values, ((0, 0), (0, -width % each))).reshape(T, -1, each)
    largest = np.abs(padded).argmax(axis=-1, keepdims=True)
    return np.take_along_axis(padded, largest, axis=-1)[..., 0], each


def _sizes(axes: Axes, steps: Sequence[Step], at: int) -> None:
    sizes = np.array([max(step.rms, 1e-12) for step in steps])
    places = np.arange(len(steps))
    stream = np.array([step.stream for step in steps])
    parts = [step.part for step in steps]
    starts = [i for i in range(len(steps)) if i == 0 or parts[i] != parts[i - 1]]
    spans = list(zip(starts, [*starts[1:], len(steps)], strict=True))
    for turn, (start, end) in enumerate(spans):
        axes.axvspan(start - 0.5, end - 0.5, color=SHADES[turn % 2], linewidth=0, zorder=0)
    axes.plot(places[~stream], sizes[~stream], "o", color=style.ACTIVATIONS, markersize=6, label="inside a branch")
    axes.plot(places[stream], sizes[stream], "s", color=style.RESIDUAL, markersize=7, label="residual stream")
    axes.axvline(at, color=style.INK, linewidth=1.5, zorder=1)
    axes.plot(at, sizes[at], "o", markersize=14, markerfacecolor="none", markeredgecolor=style.INK, markeredgewidth=2)
    axes.set_yscale("log")
    axes.set_ylim(sizes.min() / 3, sizes.max() * 3)
    axes.yaxis.set_major_locator(LogLocator(numticks=4))
    axes.yaxis.set_major_formatter(style.PlainLog())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlim(-0.5, len(steps) - 0.5)
    spans = [(a, b) for a, b in spans if b - a > 2]  # only these have room for their names
    axes.set_xticks([(a + b - 1) / 2 for a, b in spans], [parts[a] for a, _ in spans], fontsize=style.SMALL)
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=style.SMALL, frameon=False)
