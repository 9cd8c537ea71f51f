"""Per-layer embeddings: one row folded into layers, its two sources, what it adds at each depth, bytes a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma import numbers
from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style


def _folded(row: np.ndarray, name: str) -> np.ndarray:
    row = np.asarray(row)
    if row.ndim != 2 or not row.size:
        raise InputError(f"{name} has shape {row.shape}; expected (L, P): a vector for every layer")
    return row


def ple_row(row: np.ndarray, token: str = "", *, title: str | None = None) -> Figure:
    """One row of the table of per-layer embeddings, folded: a line for each layer. row (L, P)."""
    row = _folded(row, "row")
    L, P = row.shape
    name = f" of “{style.printable(token)}”" if token else ""
    figure, axes = style.single(
        title or f"One row{name}: {L * P:,} numbers, {L} layers × {P}",
        "coordinate",
        "layer",
        width=style.WIDTH + 1.4,
        height=style.cell_inches(L, 6.5, 1.0, 0.14) + 1.4,
        frame=False,
    )
    axes.title.set_parse_math(False)
    image = style.heatmap(axes, row, style.centred(row), style.SIGNED)
    style.colour_bar(figure, image, axes, "value")
    return figure


def ple_parts(
    token_part: np.ndarray,
    context_part: np.ndarray,
    inputs: np.ndarray,
    *,
    title: str = "One token's per-layer vectors, from two sources",
) -> Figure:
    """Token part, context part and their sum ÷ √2, one line a layer, one colour scale. Each (L, P), of one token."""
    parts = {
        "token part (table row × √P)": token_part,
        "context part (projected, normed)": context_part,
        "what the layers get: sum ÷ √2": inputs,
    }
    maps = {name: _folded(part, name) for name, part in parts.items()}
    if len({m.shape for m in maps.values()}) != 1:
        raise InputError(f"the parts have shapes {[m.shape for m in maps.values()]}; expected the same (L, P)")
    L = len(inputs)
    figure = style.canvas(style.WIDTH + 1.4, 3 * (style.cell_inches(L, 1.6, 0.8, 0.08) + 0.55) + 0.8)
    style.headline(figure, title)
    norm = style.centred(np.concatenate(list(maps.values())))
    panels = []
    for i, (name, part) in enumerate(maps.items()):
        axes = style.panel(figure, (3, 1, i + 1), name, "coordinate" if i == 2 else "", "layer", frame=False)
        axes.title.set_fontsize(style.TEXT)
        image = style.heatmap(axes, part, norm, style.SIGNED)
        axes.tick_params(labelbottom=i == 2)
        panels.append(axes)
    style.colour_bar(figure, image, panels, "value")
    return figure


def ple_contribution(
    added: np.ndarray,
    stream: np.ndarray,
    schedule: Sequence[LayerSpec] | None = None,
    *,
    title: str = "What per-layer embeddings add to the stream",
) -> Figure:
    """RMS of the injected vector ÷ RMS of the stream it is added to, layer by layer. added, stream (L,)."""
    added, stream = np.asarray(added, float), np.asarray(stream, float)
    if added.shape != stream.shape or added.ndim != 1 or not len(added):
        raise InputError(f"added {added.shape}, stream {stream.shape}; expected (L,) each")
    figure, axes = style.single(title, "layer", "RMS added ÷ RMS of the stream", width=style.WIDTH + 0.6)
    colours = [style.kind_colour(s.kind, s.shares_kv) for s in schedule] if schedule is not None else style.ACTIVATIONS
    axes.bar(range(len(added)), added / stream, color=colours)
    style.whole_ticks(axes.xaxis)
    if schedule is not None:
        style.note(figure, "Blue local, orange global, pale where keys and values are borrowed.")
    return figure


def ple_bytes(configs: Any, *, title: str = "Read for one token, and the table it is read from") -> Figure:
    """Bytes of per-layer embeddings fetched for a token beside those of the table. configs: {name: config}."""
    models = {name: text for name, text in style.by_name(configs).items() if text.hidden_size_per_layer_input}
    if not models:
        raise InputError("none of the configs has per-layer embeddings")
    figure = style.canvas(style.WIDTH + 1.6, 1.7 + 0.8 * len(models))
    names = {"read for one token": style.ACTIVATIONS, "the table": style.WEIGHTS}
    style.headline(figure, title, style.patches(**names))
    axes = style.panel(figure, 111, "", "bytes in bfloat16, logarithmic", "")
    bars = (
        [numbers.ple_bytes_per_token(text) for text in models.values()],
        [numbers.ple_table_bytes(text) for text in models.values()],
    )
    for shift, sizes, colour in zip((-0.2, 0.2), bars, names.values(), strict=True):
        axes.barh(np.arange(len(models)) + shift, sizes, 0.38, color=colour)
        for row, size in enumerate(sizes):
            exact = f" {size:,.0f} B" if size < 2**20 else f" {style.binary(size)}"
            axes.text(size, row + shift, exact, va="center", fontsize=style.SMALL)
    axes.set_yticks(range(len(models)), list(models), fontsize=style.TEXT)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xscale("log", base=2)
    axes.set_xlim(2**10, 2**38)
    axes.set_xticks([2**10, 2**20, 2**30], ["1 KiB", "1 MiB", "1 GiB"], fontsize=style.SMALL)
    return figure
