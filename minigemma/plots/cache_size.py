"""What a KV cache costs: per token and layer, per context, step by step, and measured as it grows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigemma import numbers
from minigemma.config import GLOBAL, LOCAL, TextConfig
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
    _curves(axes, models, contexts, bytes_per_number, keep, context)
    style.note(figure, f"{bytes_per_number:g} bytes a number; global layers keep {keep}.")
    return figure


def _curves(axes: Axes, models: Mapping[str, TextConfig], contexts, bytes_per_number, keep, context) -> None:
    """One model's local part, global part and total, or the totals of several."""
    for i, (name, text) in enumerate(models.items()):
        inside = [c for c in contexts if c <= text.max_position_embeddings] or [contexts[0]]
        sizes = [numbers.kv_cache_bytes(text, c, bytes_per_number, keep) for c in inside]
        label = name if context is None else f"{name}: {_size_at(text, context, bytes_per_number, keep)}"
        colour = style.SERIES[i % len(style.SERIES)] if len(models) > 1 else style.CACHE
        total = [sum(s.values()) for s in sizes]
        axes.plot(inside, total, color=colour, linewidth=2.5, marker="o", markersize=4, label=label)
        if len(models) == 1:
            for kind, dash in ((LOCAL, "--"), (GLOBAL, "-.")):
                part, name = [s[kind] for s in sizes], f"{style.kind_name(kind)} layers"
                axes.plot(inside, part, dash, color=style.kind_colour(kind), linewidth=2, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: style.tokens_text(value))
    axes.yaxis.set_major_formatter(lambda value, _: style.binary(value))
    axes.grid(color=style.FAINT)
    if context is not None:
        axes.axvline(context, color=style.MUTED, linestyle="--", linewidth=1.2)
        name, top = f"{style.tokens_text(context)} ", axes.get_ylim()[1]
        axes.text(context, top, name, ha="right", va="top", fontsize=style.SMALL)
    style.legend(axes, loc="upper left")


def _size_at(text, context: int, bytes_per_number: float, keep: str) -> str:
    if context > text.max_position_embeddings:
        return f"at most {style.tokens_text(text.max_position_embeddings)} tokens"
    return style.binary(sum(numbers.kv_cache_bytes(text, context, bytes_per_number, keep).values()))


def bytes_ladder(
    steps: Mapping[str, float], *, title: str = "One token's keys and values in one global layer"
) -> Figure:
    """Bytes after each step of saving (or spending), with the factor to the first. steps: {name: bytes}, in order."""
    figure, axes = style.single(title, "bytes", "", width=style.WIDTH + 2.2, height=1.4 + 0.5 * len(steps))
    _ladder(axes, steps, lambda value: f"{value:,.0f}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return figure


def _ladder(axes: Axes, steps: Mapping[str, float], write: Callable[[float], str]) -> None:
    if not steps:
        raise InputError("steps is empty; expected {name: bytes}")
    names, values = list(steps), np.array(list(steps.values()), float)
    axes.barh(range(len(names)), values, color=style.CACHE, height=0.62)
    axes.set_yticks(range(len(names)), names, fontsize=style.SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for row, value in enumerate(values):
        factor = "" if row == 0 or not value else f"   ÷ {values[0] / value:.3g}"
        axes.text(value, row, f" {write(value)}{factor}", va="center", fontsize=style.SMALL)
    axes.set_xlim(0, max(values.max(), 1) * 1.2)


def cache_calculator(
    text: TextConfig,
    context: int,
    bytes_per_number: float = numbers.BFLOAT16,
    keep: str = "keys and values",
    *,
    name: str = "this model",
) -> Figure:
    """One model's cache at one context: the curve it lies on, and what each idea took off it."""
    figure = style.canvas(12.0, 4.8)
    size = sum(numbers.kv_cache_bytes(text, context, bytes_per_number, keep).values())
    style.headline(figure, f"{name}: {style.binary(size)} at {context:,} tokens, {bytes_per_number:g} bytes a number")
    grid = figure.add_gridspec(1, 2, width_ratios=[1, 1.05])
    curve = style.panel(figure, grid[0], "", "context in tokens", "size of the cache")
    longest = text.max_position_embeddings
    contexts = [longest >> i for i in range(9) if longest >> i >= 16][::-1]
    _curves(curve, {"all": text}, contexts, bytes_per_number, keep, context)
    bars = style.panel(figure, grid[1], f"after {style.tokens_text(context)} tokens", "", "")
    bars.title.set_fontsize(style.TEXT)
    _ladder(bars, numbers.cache_ladder(text, context, bytes_per_number, keep), style.binary)
    bars.set_xlim(0, bars.get_xlim()[1] * 1.25)
    bars.set_xticks([])
    return figure


def cache_growth(
    lengths: Sequence[int],
    measured: Mapping[str, np.ndarray],
    promised: Mapping[str, np.ndarray],
    *,
    title: str = "The cache while a text is read",
) -> Figure:
    """Bytes of a real cache after each token, as dots, over what the config promises, as lines.

    measured, promised: {LOCAL: (n,), GLOBAL: (n,)} bytes of all layers of a kind after ``lengths`` (n,) tokens.
    """
    figure, axes = style.single(title, "tokens read", "KiB", width=style.WIDTH + 1)
    for kind in (GLOBAL, LOCAL):
        name, colour = style.kind_name(kind), style.kind_colour(kind)
        axes.plot(lengths, np.asarray(promised[kind]) / 1024, color=colour, linewidth=2, label=f"{name}, promised")
        axes.plot(lengths, np.asarray(measured[kind]) / 1024, "o", color=colour, label=f"{name}, measured")
    axes.set(xlim=(0, None), ylim=(0, None))
    axes.grid(color=style.FAINT)
    style.legend(axes, loc="upper left")
    return figure
