"""Before and after: the same tensors in a Gemma 3 and a Gemma 4."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.plots import style


def value_sizes(
    models: Mapping[str, np.ndarray], *, title: str = "How large a token's value is, layer by layer"
) -> Figure:
    """RMS of every token's value vector in every layer, the first token's as squares. models: {name: (L, T)}."""
    if not models or any(np.ndim(sizes) != 2 or np.shape(sizes)[1] < 2 for sizes in models.values()):
        raise InputError("models must be {name: (layers, at least two tokens)}")
    figure = style.canvas(0.8 + 4.6 * len(models), 4.2)
    marks = style.patches(the_first_token=style.GLOBAL_COLOUR, the_others=style.ACTIVATIONS)
    style.headline(figure, title, marks)
    every = np.concatenate([np.ravel(sizes) for sizes in models.values()])
    low, high = float(every.min()) / 1.5, float(every.max()) * 1.5
    for i, (name, sizes) in enumerate(models.items()):
        axes = style.panel(figure, (1, len(models), i + 1), name, "layer", "RMS of the value" if i == 0 else "")
        axes.title.set_fontsize(style.TEXT)
        sizes = np.asarray(sizes)
        layers = np.arange(len(sizes))
        places = np.repeat(layers, sizes.shape[1] - 1)
        axes.plot(places, sizes[:, 1:].ravel(), "o", color=style.ACTIVATIONS, alpha=0.35, markersize=6)
        axes.plot(layers, sizes[:, 0], "s-", color=style.GLOBAL_COLOUR, markersize=4, linewidth=1.5)
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        style.whole_ticks(axes.xaxis)
    return figure


def key_against_value(
    models: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    title: str = "Each coordinate of a key against the same coordinate of the value",
) -> Figure:
    """A dot for each token and coordinate of one KV head: are the keys made of the values?

    models: {name: (keys (T, K), values (T, K), turned (K,) bool: which coordinates rotation changes)}. Each axis is in
    units of its own RMS.
    """
    figure = style.canvas(0.8 + 4.6 * len(models), 4.7)
    marks = style.patches(turned_by_its_position=style.CACHE, not_turned=style.ACTIVATIONS)
    style.headline(figure, title, marks)
    for i, (name, (keys, values, turned)) in enumerate(models.items()):
        keys, values, turned = np.asarray(keys), np.asarray(values), np.asarray(turned, bool)
        if keys.shape != values.shape or keys.ndim != 2 or turned.shape != keys.shape[1:]:
            shapes = f"keys {keys.shape}, values {values.shape}, turned {turned.shape}"
            raise InputError(f"{name}: {shapes}; expected (T, K), (T, K), (K,)")
        keys, values = (x / np.sqrt(np.mean(np.square(x))) for x in (keys, values))
        label = "key ÷ its RMS" if i == 0 else ""
        axes = style.panel(figure, (1, len(models), i + 1), name, "value ÷ its RMS", label)
        axes.title.set_fontsize(style.TEXT)
        for part, colour, size in ((turned, style.CACHE, 3), (~turned, style.ACTIVATIONS, 4)):
            axes.plot(
                values[:, part].ravel(), keys[:, part].ravel(), "o", color=colour, markersize=size, alpha=0.3, mew=0
            )
        axes.axhline(0, color=style.FAINT, linewidth=1, zorder=0)
        axes.axvline(0, color=style.FAINT, linewidth=1, zorder=0)
        axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    return figure
