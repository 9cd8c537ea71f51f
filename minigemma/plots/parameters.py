"""Where the parameters live."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.plots import style

# One colour a part, whichever parts a model has.
PARTS = {
    "embedding": "#5B4FA2",
    "per-layer embeddings": "#B9A7E0",
    "attention": "#0072B2",
    "feed-forward": "#009E73",
    "experts": "#8FD3BE",
    "router": "#3C4654",
    "norms and scalars": "#9AA1AC",
    "vision tower": "#E69F00",
    "audio tower": "#F5D08A",
    "projectors": "#CC79A7",
}


def parameter_bars(
    counts: Mapping[str, Mapping[str, int]], *, relative: bool = False, title: str = "Where the parameters live"
) -> Figure:
    """Stacked bars of parameters by part, one bar a model, in billions (or millions) or per cent of each (relative).

    counts: {model: {part: parameters}}, as ``parameters.parameter_count`` makes the inner ones; parts unknown here take
    the remaining colours.
    """
    if not counts:
        raise InputError("counts is empty; expected {model: {part: parameters}}")
    parts = list(dict.fromkeys(part for model in counts.values() for part in model))
    order = [p for p in PARTS if p in parts] + [p for p in parts if p not in PARTS]
    spare = iter(style.SERIES * (len(parts) // len(style.SERIES) + 1))
    figure = style.canvas(style.WIDTH + 2.2, 2.2 + 0.62 * len(counts))
    largest = max(sum(model.values()) for model in counts.values())
    scale, word = (1e9, "billions") if largest >= 1e9 else (1e6, "millions")
    axes = style.panel(figure, 111, "", "per cent of the parameters" if relative else f"{word} of parameters", "")
    colours = {part: PARTS.get(part) or next(spare) for part in order}
    whole = 100.0 if relative else largest / scale
    for row, model in enumerate(counts.values()):
        left, total = 0.0, sum(model.values())
        unit = total / 100 if relative else scale
        for part in (p for p in order if p in model):
            size = model[part] / unit
            axes.barh(row, size, left=left, color=colours[part], edgecolor="white", linewidth=0.6, height=0.66)
            if size > 0.05 * whole:
                dark = colours[part] in ("#5B4FA2", "#0072B2", "#009E73")
                ink = "white" if dark else style.INK
                axes.text(
                    left + size / 2,
                    row,
                    f"{size:.0f}" if relative else f"{size:.2f}",
                    ha="center",
                    va="center",
                    fontsize=style.SMALL,
                    color=ink,
                )
            left += size
        axes.text(left, row, f" {_count(total)}", va="center", fontsize=style.TEXT)
    axes.set_yticks(range(len(counts)), list(counts), fontsize=style.TEXT)
    axes.set_ylim(len(counts) - 0.45, -0.55)
    axes.set_xlim(0, whole * 1.14)
    style.headline(figure, title, style.patches(**colours), columns=4)
    return figure


def _count(parameters: int) -> str:
    """Parameters for people: 31.27 B, 4.71 M."""
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.2f} M"
