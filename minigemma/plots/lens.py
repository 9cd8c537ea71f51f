"""What the stream would say if it were read out at every layer, and what the soft cap does to logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.ops import soft_cap, softmax
from minigemma.plots import style

POSITIONS, LAYERS = 10, 24  # cells that stay legible


def logit_lens(
    top_tokens: Sequence[Sequence[str]],
    probabilities: np.ndarray,
    tokens: Sequence[str],
    *,
    layers: Sequence[int | str] | None = None,
    positions: Sequence[int] | None = None,
    title: str = "Logit lens: the likeliest next token, read after every layer",
) -> Figure:
    """A table of layer × position: the likeliest next token in words, its probability as colour; the last layer on top.

    top_tokens (L, T) labels; probabilities (L, T); tokens: the T input tokens; layers: L names (default 0 … L-1).
    positions: which to show (default: the last ten). Deep models are thinned, always keeping the last layer.
    """
    probabilities = np.asarray(probabilities, np.float32)
    if probabilities.ndim != 2 or not probabilities.size:
        raise InputError(f"probabilities has shape {probabilities.shape}; expected (L, T)")
    L, T = probabilities.shape
    if len(top_tokens) != L or any(len(row) != T for row in top_tokens) or len(tokens) != T:
        raise InputError(f"probabilities are ({L}, {T}); top_tokens and tokens must have the same layers and positions")
    names = [str(n) for n in (range(L) if layers is None else layers)]
    columns = list(range(max(0, T - POSITIONS), T)) if positions is None else list(positions)
    step = -(-L // LAYERS)
    rows = list(range(L - 1, -1, -step))  # the last layer is always there

    figure = style.canvas(max(style.WIDTH, 1.9 + 0.82 * len(columns)), 2.2 + 0.29 * len(rows))
    axes = style.panel(figure, 111, title, "input token", "after layer", frame=False)
    words = [[style.printable(top_tokens[layer][t], 9) for t in columns] for layer in rows]
    image = word_cells(axes, probabilities[np.ix_(rows, columns)], words)
    style.colour_bar(figure, image, axes, "probability")
    axes.set_yticks(range(len(rows)), [names[r] for r in rows], fontsize=style.SMALL)
    labels = [f"{t}\n{style.printable(tokens[t], 9)}" for t in columns]
    axes.set_xticks(range(len(columns)), labels, fontsize=style.SMALL, parse_math=False)
    if len(columns) < T:
        style.note(figure, f"{len(columns)} of {T} positions are shown.")
    if step > 1:
        style.note(figure, f"{len(rows)} of {L} layers are shown.")
    return figure


def word_cells(axes: Axes, probabilities: np.ndarray, words: Sequence[Sequence[str]], scale: str = "linear"):
    """Cells coloured by probability, from 0 to 1, with a word in each; returns the image."""
    norm = style.scaled(probabilities, scale, top=1.0)
    image = style.heatmap(axes, probabilities, norm)
    for y, row in enumerate(words):
        for x, word in enumerate(row):
            ink = style.INK if norm(probabilities[y, x]) > 0.6 else "white"
            axes.text(x, y, word, ha="center", va="center", fontsize=style.SMALL, color=ink, parse_math=False)
    return image


def soft_cap_curve(
    cap: float = 30.0,
    logits: np.ndarray | None = None,
    tokens: Sequence[str] | None = None,
    *,
    title: str = "The soft cap on logits",
) -> Figure:
    """cap · tanh(x / cap) over the identity; with logits (V,), the five best tokens' probabilities before and after."""
    figure = style.canvas(style.WIDTH if logits is None else style.WIDTH * 1.7, 4.0)
    style.headline(figure, title)
    axes = style.panel(figure, 111 if logits is None else 121, "", "logit before", "logit after")
    x = np.linspace(-3 * cap, 3 * cap, 400)
    axes.plot(x, x, "--", color=style.MUTED, label="no cap")
    axes.plot(x, soft_cap(x, cap), color=style.ACTIVATIONS, linewidth=2.5, label=f"{cap:g} · tanh(x / {cap:g})")
    for y in (-cap, cap):
        axes.axhline(y, color=style.MUTED, linewidth=0.8, linestyle=":")
    axes.set_ylim(-1.6 * cap, 1.6 * cap)
    style.legend(axes, loc="upper left")
    if logits is not None:
        logits = np.asarray(logits, np.float32)
        best = np.argsort(-logits, kind="stable")[:5]
        bars = style.panel(figure, 122, "", "probability", "")
        for shift, values, name, colour in (
            (-0.2, softmax(logits), "no cap", "#B8BEC7"),
            (0.2, softmax(soft_cap(logits, cap)), "capped", style.ACTIVATIONS),
        ):
            bars.barh(np.arange(len(best)) + shift, values[best], 0.4, color=colour, label=name)
        labels = [str(i) if tokens is None else style.printable(tokens[i]) for i in best]
        bars.set_yticks(range(len(best)), labels, fontsize=style.SMALL, parse_math=False)
        bars.invert_yaxis()
        style.legend(bars, loc="lower right")
    return figure


def next_tokens(
    chances: Mapping[str, np.ndarray], tokens: Sequence[str], *, title: str = "The likeliest next tokens"
) -> Figure:
    """Probabilities of a few next tokens under several rules, side by side. chances: {name: (n,)}; tokens: n labels."""
    if not chances or any(np.shape(p) != (len(tokens),) for p in chances.values()):
        raise InputError(
            f"chances holds shapes {[np.shape(p) for p in chances.values()]}; expected ({len(tokens)},) each"
        )
    figure, axes = style.single(title, "probability", "", height=1.4 + 0.45 * len(tokens))
    thick = 0.8 / len(chances)
    for i, (name, values) in enumerate(chances.items()):
        places = np.arange(len(tokens)) + (i - (len(chances) - 1) / 2) * thick
        axes.barh(places, values, thick, color=style.SERIES[i % len(style.SERIES)], label=name)
    axes.set_yticks(range(len(tokens)), [style.printable(t) for t in tokens], fontsize=style.SMALL, parse_math=False)
    axes.invert_yaxis()
    style.legend(axes, loc="lower right")
    return figure
