"""Keys and values: what they cost per token and per context, how K=V makes two tensors from one, prefill and decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from minigemma import numbers
from minigemma.config import GLOBAL, LOCAL
from minigemma.errors import InputError
from minigemma.plots import style

CONTEXTS = tuple(2**i for i in range(10, 19))  # 1K … 256K


def kv_cache_bytes(
    configs: Any,
    contexts: Sequence[int] = CONTEXTS,
    *,
    bytes_per_number: float = numbers.BFLOAT16,
    keep: str = "keys and values",
    context: int | None = None,
    title: str = "Size of a full KV cache",
) -> Figure:
    """Bytes of the KV cache against context, both logarithmic.

    configs: one config (its local part, flat past the window, and global part are drawn) or {name: config} (totals).
    contexts: tokens; each curve ends at its model's own longest context. context: marked, with the sizes there.
    keep: what a global layer stores, as in ``numbers.kv_cache_bytes``.
    """
    models = style.by_name(configs)
    if not models or not len(contexts):
        raise InputError("nothing to draw: give at least one config and one context")
    figure, axes = style.single(title, "context in tokens", "size of the cache", width=style.WIDTH + 1, height=4.4)
    for i, (name, text) in enumerate(models.items()):
        inside = [c for c in contexts if c <= text.max_position_embeddings] or [contexts[0]]
        sizes = [numbers.kv_cache_bytes(text, c, bytes_per_number, keep) for c in inside]
        total = [sum(s.values()) for s in sizes]
        label = name if context is None else f"{name}: {_size_at(text, context, bytes_per_number, keep)}"
        colour = style.SERIES[i % len(style.SERIES)] if len(models) > 1 else style.CACHE
        axes.plot(inside, total, color=colour, linewidth=2.5, marker="o", markersize=4, label=label)
        if len(models) == 1:
            for kind, dash in ((LOCAL, "--"), (GLOBAL, "-.")):
                part = [s[kind] for s in sizes]
                axes.plot(
                    inside,
                    part,
                    dash,
                    color=style.kind_colour(kind),
                    linewidth=2,
                    label=f"{style.kind_name(kind)} layers",
                )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: style.tokens_text(value))
    axes.yaxis.set_major_formatter(lambda value, _: style.binary(value))
    axes.grid(color=style.FAINT)
    if context is not None:
        axes.axvline(context, color=style.MUTED, linestyle="--", linewidth=1.2)
        axes.text(
            context, axes.get_ylim()[1], f"{style.tokens_text(context)} ", ha="right", va="top", fontsize=style.SMALL
        )
    style.legend(axes, loc="upper left")
    style.note(figure, f"{bytes_per_number:g} bytes a number; global layers keep {keep}.")
    return figure


def _size_at(text, context: int, bytes_per_number: float, keep: str) -> str:
    if context > text.max_position_embeddings:
        return f"at most {style.tokens_text(text.max_position_embeddings)} tokens"
    return style.binary(sum(numbers.kv_cache_bytes(text, context, bytes_per_number, keep).values()))


def bytes_ladder(
    steps: Mapping[str, float], *, title: str = "One token's keys and values in one global layer"
) -> Figure:
    """Bytes after each step of saving (or spending), with the factor to the first. steps: {name: bytes}, in order."""
    if not steps:
        raise InputError("steps is empty; expected {name: bytes}")
    names, values = list(steps), np.array(list(steps.values()), float)
    figure, axes = style.single(title, "bytes", "", width=style.WIDTH + 2.2, height=1.4 + 0.5 * len(names))
    axes.barh(range(len(names)), values, color=style.CACHE, height=0.62)
    axes.set_yticks(range(len(names)), names, fontsize=style.SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for row, value in enumerate(values):
        factor = "" if row == 0 else f"   ÷ {values[0] / value:.3g}" if value else ""
        axes.text(value, row, f" {value:,.0f}{factor}", va="center", fontsize=style.SMALL)
    axes.set_xlim(0, max(values.max(), 1) * 1.2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
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
    title: str = "Prefill reads the prompt at once, decode one token at a time",
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
