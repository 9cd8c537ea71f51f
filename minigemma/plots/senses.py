"""One token's attention over everything it can see: words, the picture, the sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigemma.audio.subsampling import soft_token_count
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.picture import COLUMNS, ROWS, on_grid, pixels_of, show, sides
from minigemma.plots.sequence import SOURCE
from minigemma.plots.timeline import PITCH, SECONDS, TOKEN, draw_mel
from minigemma.vision.pooling import cells

WORDS = 8  # text tokens named in a picture
VEIL = 0.82  # how dark a part of the picture is that is not looked at


def senses_view(
    weights: np.ndarray,
    tokens: Sequence[str],
    sources: Sequence[str],
    query: int,
    *,
    image: Any = None,
    positions: np.ndarray | None = None,
    mel: np.ndarray | None = None,
    title: str = "",
) -> Figure:
    """Where one token looks: bars along the whole sequence; below them the picture, the sound and the words.

    weights (T,): the attention of position ``query`` to all T tokens. sources: "text", "image" or "audio" for each.
    image: anything ``vision.prepare`` takes, with the positions (N, 2) of its patches; mel (frames, bins). One picture
    and one sound at most, each with as many positions as it has soft tokens.
    """
    weights, kinds = np.asarray(weights), np.array(sources)
    if not weights.shape == kinds.shape == (len(tokens),):
        raise InputError(f"weights {weights.shape} and {len(kinds)} sources for {len(tokens)} tokens; expected as many")
    _check(kinds, "image", 0 if positions is None else len(cells(positions)) // 9)
    _check(kinds, "audio", 0 if mel is None else soft_token_count(len(mel)))
    figure = style.canvas(11.5, 6.6)
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.55))
    _strip(style.panel(figure, grid[0], "", "position", "attention weight"), weights, kinds, query)
    ratios = [1.1] * (positions is not None) + [1.15] * (mel is not None) + [0.8]
    parts = iter(grid[1].subgridspec(1, len(ratios), width_ratios=ratios))
    share = {name: f"{weights[kinds == name].sum():.0%} on" for name in SOURCE}
    if positions is not None:
        axes = style.panel(figure, next(parts), f"{share['image']} the picture", COLUMNS, ROWS, frame=False)
        _picture(axes, weights[kinds == "image"], image, positions)
    if mel is not None:
        _sound(figure, next(parts), weights[kinds == "audio"], mel, f"{share['audio']} the sound")
    axes = style.panel(figure, next(parts), f"{share['text']} words and marks", "attention weight")
    _words(axes, weights, tokens, np.flatnonzero(kinds == "text"))
    style.headline(figure, title, style.patches(**{name: SOURCE[name] for name in SOURCE if name in kinds}), columns=3)
    return figure


def _check(kinds: np.ndarray, name: str, expected: int) -> None:
    if (found := int((kinds == name).sum())) != expected:
        raise InputError(f"{found} positions are {name}, what is to be drawn has {expected} soft tokens")


def _strip(axes: Axes, weights: np.ndarray, kinds: np.ndarray, query: int) -> None:
    """Bars over a line of colours: blue words, orange picture, green sound; a triangle at the token that looks."""
    at, wide = np.arange(len(weights)), 0.8 * 72 * 10.3 / (len(weights) + 1)  # points
    top = max(float(weights.max()), 1e-9)
    colours = [SOURCE[kind] for kind in kinds]
    axes.vlines(at, 0, weights, colors=colours, linewidth=wide)
    axes.vlines(at, -0.1 * top, -0.01 * top, colors=colours, linewidth=1.3 * wide)
    axes.plot([query], [-0.2 * top], marker="^", color=style.INK, markersize=9, clip_on=False)
    axes.axvspan(query + 0.5, len(weights) - 0.5, color=style.FAINT, alpha=0.6, lw=0)
    axes.set(xlim=(-1, len(weights)), ylim=(-0.3 * top, 1.05 * top))
    axes.yaxis.set_major_locator(style.MaxNLocator(3, prune="lower"))


def _picture(axes: Axes, weights: np.ndarray, image: Any, positions: np.ndarray) -> None:
    """The picture under a veil that is thinnest where it is looked at most."""
    columns, rows = sides(positions)
    show(axes, pixels_of(image, columns, rows), columns, rows)
    norm = style.scaled(weights, "sqrt", float(np.percentile(weights, 98)) or None)
    veil = np.zeros((rows, columns, 4))
    veil[..., 3] = VEIL * (1 - np.clip(np.asarray(norm(on_grid(weights[cells(positions)], positions))), 0, 1))
    axes.imshow(veil, interpolation="nearest")


def _sound(figure: Figure, place: Any, weights: np.ndarray, mel: np.ndarray, title: str) -> None:
    above, below = place.subgridspec(2, 1, height_ratios=(1, 1.6))
    axes = style.panel(figure, above, title)
    axes.vlines(np.arange(len(weights)) * TOKEN, 0, weights, colors=style.AUDIO_TOKEN, linewidth=160 / len(weights))
    axes.set_ylim(0, max(float(weights.max()) * 1.05, 1e-6))
    axes.yaxis.set_major_locator(style.MaxNLocator(3))
    axes.tick_params(labelbottom=False)
    lower = style.panel(figure, below, "", SECONDS, PITCH.replace(", mel scale", ""), sharex=axes, frame=False)
    draw_mel(lower, mel)


def _words(axes: Axes, weights: np.ndarray, tokens: Sequence[str], text: np.ndarray) -> None:
    """The text tokens that are looked at most, in the order of the text."""
    best = np.sort(text[np.argsort(-weights[text], kind="stable")[:WORDS]])
    best = best[weights[best] > 0]
    axes.barh(np.arange(len(best)), weights[best], color=style.TEXT_TOKEN, height=0.75)
    names = [f"{style.printable(tokens[i], 11)} ({i})" for i in best]
    axes.set_yticks(np.arange(len(best)), names, fontsize=style.SMALL, parse_math=False)
    axes.set_xlim(0, 1.05 * float(weights[best].max()) if len(best) else 1)
    axes.xaxis.set_major_locator(style.MaxNLocator(3))
    axes.invert_yaxis()
