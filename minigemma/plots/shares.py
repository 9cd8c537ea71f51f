"""Shares of right answers side by side."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from minigemma.plots import style


def answer_shares(shares: Mapping[str, float], *, title: str = "Answers that were right") -> Figure:
    """One bar a way of asking, from 0 to 100 %; the first is what the others are compared with (a dotted line).

    shares: of right answers, 0 to 1, by name.
    """
    names, values = list(shares), [100 * value for value in shares.values()]
    figure, axes = style.single(title, "right (%)", "", width=8.8, height=1.3 + 0.42 * len(names))
    colours = [style.AUDIO_TOKEN, *[style.MUTED] * (len(names) - 1)]
    axes.barh(range(len(names)), values, color=colours, height=0.62)
    axes.axvline(values[0], color=style.INK, linestyle=":", linewidth=1)
    for row, value in enumerate(values):
        axes.text(value, row, f" {value:.0f}", va="center", fontsize=style.SMALL)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, 108)
    axes.set_xticks(range(0, 101, 20))
    axes.invert_yaxis()
    return figure
