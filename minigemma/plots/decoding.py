"""A token on its way through the layers, and what a new token costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style
from minigemma.plots.lens import LAYERS


def token_path(
    stream: np.ndarray,
    schedule: Sequence[LayerSpec],
    columns: Mapping[str, Sequence[str]],
    *,
    title: str = "One token's vector, layer by layer",
) -> Figure:
    """One position's vector (L + 1, D): as it enters layer 0, then after every layer, the last one on top.

    Each vector is divided by its RMS, so that its direction is seen. columns: {name: L + 1 texts} beside the rows.
    Deep models are thinned, always keeping the last layer.
    """
    stream = np.asarray(stream, np.float32)
    count = len(schedule) + 1
    if stream.ndim != 2 or len(stream) != count or any(len(texts) != count for texts in columns.values()):
        raise InputError(f"stream has shape {stream.shape}; expected ({count}, D), and {count} texts a column")
    step = -(-count // LAYERS)
    rows = [*range(count - 1, 0, -step), 0]
    figure = style.canvas(6.6 + 1.15 * len(columns), 2.1 + 0.3 * len(rows))
    style.headline(figure, title)
    axes = style.panel(figure, 111, "", "coordinate of the stream", "", frame=False)
    unit = stream / np.maximum(np.sqrt(np.mean(stream**2, axis=1, keepdims=True)), 1e-12)
    image = style.heatmap(axes, unit[rows], style.centred(unit, 3.0), style.SIGNED)
    style.colour_bar(figure, image, axes, "coordinate ÷ RMS", location="left", extend="both", pad=0.08)
    names = {row: f"after layer {row - 1}" if row else "embedding" for row in rows}
    axes.set_yticks(range(len(rows)), [names[row] for row in rows], fontsize=style.SMALL)
    axes.tick_params(axis="y", pad=14)
    across = axes.get_yaxis_transform()
    for y, row in enumerate(rows):
        if row:
            colour = style.kind_colour(schedule[row - 1].kind, schedule[row - 1].shares_kv)
            box = Rectangle((-0.03, y - 0.45), 0.022, 0.9, color=colour, lw=0, transform=across, clip_on=False)
            axes.add_patch(box)
        for x, texts in enumerate(columns.values()):
            axes.text(1.1 + 0.2 * x, y, style.printable(texts[row]), transform=across, **_TEXT)
    for x, name in enumerate(columns):
        axes.text(1.1 + 0.2 * x, -1, name, transform=across, color=style.MUTED, **_TEXT)
    if len(rows) < count:
        style.note(figure, f"{len(rows)} of {count} rows are shown.")
    return figure


_TEXT: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": style.SMALL, "parse_math": False}


def decode_times(
    tokens: Sequence[int],
    times: Mapping[str, np.ndarray],
    *,
    title: str = "What the next token costs",
) -> Figure:
    """Time for one more token against the length of the text so far. tokens: lengths; times: {name: milliseconds}."""
    if not times or any(np.shape(values) != (len(tokens),) for values in times.values()):
        raise InputError(f"times hold {[np.shape(v) for v in times.values()]}; expected ({len(tokens)},) each")
    figure, axes = style.single(title, "tokens in the text so far", "time for the next one (ms)")
    for i, (name, values) in enumerate(times.items()):
        axes.plot(tokens, values, "o", ls=style.DASHES[i], color=style.SERIES[i], label=name)
    axes.set_ylim(bottom=0)
    style.legend(axes)
    return figure
