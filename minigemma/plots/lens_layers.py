"""The logit lens along depth: one position layer by layer, and how often the lens already says what the model will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style
from minigemma.plots.lens import LAYERS, word_cells


def lens_ranks(
    top_tokens: Sequence[Sequence[str]],
    probabilities: np.ndarray,
    layers: Sequence[int | str],
    ranks: np.ndarray,
    watched: str,
    *,
    title: str = "Logit lens at one position",
    note: str = "",
) -> Figure:
    """One position, read after each of L layers: its k likeliest next tokens, and the rank of one that is watched.

    top_tokens (L, k) labels; probabilities (L, k); layers: L names; ranks (L,), 1 for the likeliest. Last layer on top.
    """
    probabilities = np.asarray(probabilities, np.float32)
    if probabilities.ndim != 2 or not probabilities.size or not len(ranks) == len(layers) == len(probabilities):
        raise InputError(
            f"probabilities have shape {probabilities.shape}, with {len(layers)} layers and {len(ranks)} ranks; "
            "expected (L, k), L and L"
        )
    L, k = probabilities.shape
    step = -(-L // LAYERS)
    rows = list(range(L - 1, -1, -step))
    figure = style.canvas(9.4, 2.3 + 0.29 * len(rows))
    style.headline(figure, title)
    grid = figure.add_gridspec(1, 2, width_ratios=(2.6, 1))
    table = style.panel(figure, grid[0], "", "likeliest next tokens", "after layer", frame=False)
    curve = style.panel(figure, grid[1], "", f"rank of “{style.printable(watched)}”", "", sharey=table)
    words = [
        [f"{style.printable(word, 9)} {p:.0%}" for word, p in zip(top_tokens[row], probabilities[row], strict=True)]
        for row in rows
    ]
    image = word_cells(table, probabilities[rows], words, "sqrt")
    style.colour_bar(figure, image, table, "probability")
    table.set_yticks(range(len(rows)), [str(layers[row]) for row in rows], fontsize=style.SMALL)
    table.set_xticks(range(k), [f"{n}." for n in range(1, k + 1)], fontsize=style.SMALL)
    curve.plot(np.asarray(ranks)[rows], range(len(rows)), "o-", color=style.RESIDUAL)
    curve.set_xscale("log")
    curve.set_xlim(0.7, max(10, 1.5 * np.max(ranks)))
    curve.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    curve.tick_params(axis="y", labelleft=False, length=0)
    if step > 1:
        note = f"{note} {len(rows)} of {L} layers are shown.".strip()
    if note:
        style.note(figure, note)
    return figure


def lens_by_layer(
    shares: Mapping[str, np.ndarray],
    schedule: Sequence[LayerSpec],
    *,
    title: str = "What the lens says, layer by layer",
) -> Figure:
    """Shares of positions in percent, read after the embedding and after every layer. shares: {name: (L + 1,), 0-1}."""
    if not shares or any(np.shape(values) != (len(schedule) + 1,) for values in shares.values()):
        raise InputError(f"shares hold {[np.shape(v) for v in shares.values()]}; expected ({len(schedule) + 1},) each")
    figure, axes = style.single(title, "read after layer", "positions (%)", width=style.WIDTH + 1)
    for i, (name, values) in enumerate(shares.items()):
        axes.plot(range(-1, len(schedule)), 100 * np.asarray(values), "o", ls=style.DASHES[i], label=name)
        axes.lines[-1].set_color(style.SERIES[i])
    for spec in schedule:
        colour = style.kind_colour(spec.kind, spec.shares_kv)
        axes.axvspan(spec.index - 0.5, spec.index + 0.5, ymax=0.035, color=colour, linewidth=0)
    step = -(-len(schedule) // 12)
    places = range(0, len(schedule), step)
    axes.set_xticks([-1, *places], ["emb.", *map(str, places)], fontsize=style.SMALL)
    axes.set_ylim(-3, 103)
    style.legend(axes, loc="upper left")
    style.note(figure, "Strip: blue local, orange global, pale where keys and values are borrowed.")
    return figure
