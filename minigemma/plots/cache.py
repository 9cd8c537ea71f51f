"""Keys and values: what a cache holds, how K=V makes two tensors from one, prefill and decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from minigemma import numbers
from minigemma.errors import InputError
from minigemma.plots import style


def cache_contents(
    layers: Mapping[str, tuple[np.ndarray, int]],
    tokens: Sequence[str],
    *,
    title: str = "What the cache holds after the last token",
) -> Figure:
    """The rows that a cache keeps of some layers, as maps: a token a row, a coordinate a column; grey is forgotten.

    layers: {name: (rows (n, K), position of the first row)}, e.g. keys of one KV head. tokens: labels of all positions.
    """
    if not layers or any(first + len(rows) != len(tokens) for rows, first in layers.values()):
        raise InputError(f"rows must end with the last of the {len(tokens)} tokens, in at least one layer")
    T, tall = len(tokens), style.cell_inches(len(tokens), 5.6)
    figure = style.canvas(3.0 * len(layers) + 2.2, tall + 1.6)
    style.headline(figure, title)
    norm = style.centred(np.concatenate([rows.ravel() for rows, _ in layers.values()]))
    panels = []
    for i, (name, (rows, first)) in enumerate(layers.items()):
        axes = style.panel(figure, (1, len(layers), i + 1), name, "coordinate", "token" if i == 0 else "", frame=False)
        axes.title.set_fontsize(style.TEXT)
        shown = np.full((T, rows.shape[1]), np.nan)
        shown[first:] = rows
        image = style.heatmap(axes, shown, norm, style.SIGNED)
        style.whole_ticks(axes.xaxis)
        text = style.token_ticks(axes, tokens, "y", tall) if i == 0 else ""
        if i:
            axes.tick_params(labelleft=False)
        if text:
            style.note(figure, text)
        panels.append(axes)
    style.colour_bar(figure, image, panels, "value")
    return figure


def key_value_residual(
    keys: np.ndarray,
    values: np.ndarray,
    weight: np.ndarray,
    *,
    title: str = "K=V: the key is the value, weighted and partly turned",
) -> Figure:
    """One token's key minus its weighted value, coordinate by coordinate: 0 wherever the key was not turned.

    keys, values (K,) of one KV head, after norm and rotation; weight (K,) of the key norm.
    """
    keys, values, weight = (np.asarray(a, np.float64) for a in (keys, values, weight))
    if not keys.shape == values.shape == weight.shape or keys.ndim != 1:
        raise InputError(f"keys {keys.shape}, values {values.shape}, weight {weight.shape}; expected (K,) each")
    residual = keys - values * weight
    turned = np.abs(residual) > 1e-6 * max(np.abs(keys).max(), 1e-12)
    figure = style.canvas(style.WIDTH + 1, 5.0)
    names = {"value × key-norm weight": style.CACHE, "key": style.ACTIVATIONS}
    style.headline(figure, title, style.patches(**names, difference=style.GLOBAL_COLOUR), columns=3)
    upper = style.panel(figure, 211, "", "", "value")
    upper.plot(values * weight, color=style.CACHE, linewidth=1.2)
    upper.plot(keys, color=style.ACTIVATIONS, linewidth=1.0, linestyle="--")
    lower = style.panel(figure, 212, "", "coordinate of the head", "difference")
    lower.bar(range(len(keys)), residual, width=1.0, color=style.GLOBAL_COLOUR)
    lower.axhline(0, color=style.MUTED, linewidth=0.8)
    for axes in (upper, lower):
        axes.set_xlim(-0.5, len(keys) - 0.5)
    style.note(
        figure,
        f"Exactly the same on {np.mean(~turned):.0%} of the coordinates ({int((~turned).sum())} of {len(keys)}).",
    )
    return figure


def storage_tiles(
    width: int = 512, turned: int = 128, *, title: str = "Numbers to keep for one token and KV head, K=V"
) -> Figure:
    """Why K=V saves 37.5 % and not half: the turned part of the keys is kept too, unless every use turns it again."""
    rows = {
        "keys and values": (width, width),
        "values and the turned part of the keys": (width, turned),
        "one tensor, weighted and turned at every use": (width, 0),
    }
    figure, axes = style.single(title, "numbers", "", width=style.WIDTH + 2.2, height=2.8)
    for y, (value, key) in enumerate(rows.values()):
        axes.barh(y, value, color=style.CACHE, height=0.6, label="values" if y == 0 else None)
        axes.barh(y, key, left=value, color=style.ACTIVATIONS, height=0.6, label="keys" if y == 0 else None)
        saved = 1 - (value + key) / (2 * width)
        axes.text(
            value + key,
            y,
            f"  {value + key:,}" + (f"  (−{saved:.1%})" if saved else ""),
            va="center",
            fontsize=style.SMALL,
        )
    axes.set_yticks(range(3), list(rows), fontsize=style.SMALL)
    axes.set_ylim(2.5, -0.6)
    axes.set_xlim(0, 2 * width * 1.25)
    style.legend(axes, loc="lower right", ncols=1)
    return figure


def prefill_decode(
    prompt: int = 8,
    new: int = 4,
    window: int | None = None,
    *,
    title: str = "Prefill at once, decode row by row",
) -> Figure:
    """Which (query, key) pairs each pass computes: the prompt's triangle in one pass, then one row a new token.

    window: of a local layer, None for a global one.
    """
    if prompt < 1 or new < 0:
        raise InputError(f"prompt is {prompt} and new is {new} tokens; expected at least 1 and 0")
    mask = numbers.visible(prompt + new, window)
    wide = style.cell_inches(prompt + new, 6.0, 3.0, 0.34)
    figure = style.canvas(wide + 1.2, wide + 1.7)
    axes = style.panel(figure, 111, "", "key (kept in the cache)", "query", frame=False)
    kinds = np.where(mask, 0.0, np.nan)  # 0 prefill, 1 a cached key is read, 2 the new key
    kinds[prompt:] += 1
    new_rows = np.arange(prompt, prompt + new)
    kinds[new_rows, new_rows] = 2
    style.heatmap(
        axes,
        kinds,
        Normalize(0, 2),
        ListedColormap([style.ACTIVATIONS, style.CACHE, style.GLOBAL_COLOUR]),
        aspect="equal",
    )
    axes.set_xticks(np.arange(-0.5, prompt + new), minor=True)
    axes.set_yticks(np.arange(-0.5, prompt + new), minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    axes.axhline(prompt - 0.5, color=style.INK, linewidth=1.5)
    names = {
        f"prefill: {prompt} queries in one pass": style.ACTIVATIONS,
        "decode: cached key": style.CACHE,
        "decode: the new token's own key": style.GLOBAL_COLOUR,
    }
    style.headline(figure, title, style.patches(**names), columns=1)
    return figure
