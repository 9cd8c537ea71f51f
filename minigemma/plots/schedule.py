"""The layer schedule: which layers are local, global or borrow keys and values, and how query heads share KV heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from minigemma.config import Config, TextConfig
from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec, schedule
from minigemma.plots import style


def cells_of(model: Any) -> list[tuple[str, int]]:
    """[(kind, KV source)] of a config, of LayerSpecs, or of plain layer kinds (an older model, without sharing)."""
    if isinstance(model, Config | TextConfig):
        model = schedule(style.text_config(model))
    return [(s.kind, s.kv_source) if isinstance(s, LayerSpec) else (s, i) for i, s in enumerate(model)]


def layer_schedule(models: Any, *, title: str = "Which layers are local, global, or borrow keys and values") -> Figure:
    """Strips of layers, bottom to top, all to one scale.

    models: a config, a sequence of LayerSpecs, or {name: one of these, or a tuple of layer kinds}. A model of up to 24
    layers alone is labelled layer by layer.
    """
    strips = models if isinstance(models, Mapping) else {"": models}
    strips = {name: cells_of(model) for name, model in strips.items()}
    if not strips or not all(strips.values()):
        raise InputError("no layers to draw: give a config, LayerSpecs or {name: …}")
    deepest = max(map(len, strips.values()))
    labelled = len(strips) == 1 and deepest <= 24
    each = 0.28 if labelled else max(0.115, min(0.28, 7.0 / deepest))
    figure = style.canvas(style.WIDTH, deepest * each + 2.2)
    axes = style.panel(figure, 111, "", "model", "layer", frame=False)
    kinds = {}
    for x, cells in enumerate(strips.values()):
        colours = [style.kind_colour(kind, source != i) for i, (kind, source) in enumerate(cells)]
        style.boxes(axes, [(x + 0.5, i) for i in range(len(cells))], 0.72, 0.88, facecolor=colours)
        for i, (kind, source) in enumerate(cells):
            name = f"{style.kind_name(kind)}, borrowed keys and values" if source != i else style.kind_name(kind)
            kinds[name] = colours[i]
            if labelled:
                axes.text(0.9, i, _describe(models, i, kind, source), va="center", fontsize=style.SMALL)
    names = [_caption(name, cells) for name, cells in strips.items()]
    axes.set_xticks(np.arange(len(strips)) + 0.5, names, fontsize=style.SMALL if len(strips) < 6 else style.SMALL - 1)
    axes.set_xlim(0, len(strips) if not labelled else 3.6)
    axes.set_ylim(-0.7, deepest - 0.3)
    step = 1 if labelled else 5 if deepest > 12 else 2
    axes.set_yticks(range(0, deepest, step))
    style.headline(figure, title, style.patches(**kinds))
    return figure


def _caption(name: str, cells: Sequence[tuple[str, int]]) -> str:
    count = len(cells)
    last = style.kind_name(cells[-1][0])
    return f"{name}\n{count} layer{'s' * (count > 1)}\nlast: {last}".strip()


def _describe(models: Any, i: int, kind: str, source: int) -> str:
    model = next(iter(models.values())) if isinstance(models, Mapping) else models
    specs = schedule(style.text_config(model)) if isinstance(model, Config | TextConfig) else model
    words = [style.kind_name(kind)]
    if isinstance(specs[i], LayerSpec):
        spec = specs[i]
        words.append("sees all" if spec.window is None else f"sees {spec.window:,}")
        words.append(
            f"{spec.heads} query heads × {spec.head_dim}"
            if source != i
            else f"{spec.heads}/{spec.kv_heads} heads × {spec.head_dim}"
        )
    if source != i:
        words.append(f"KV of layer {source}")
    return ", ".join(words)


def head_wiring(configs: Any, *, title: str = "Query heads and the KV head each one reads") -> Figure:
    """For each model, query heads (top) wired to their KV heads (bottom), in a local and in a global layer.

    configs: one config or {name: config}.
    """
    models = style.by_name(configs)
    if not models:
        raise InputError("no config to draw")
    figure = style.canvas(11.0, 1.55 * len(models) + 1.1)
    style.headline(figure, title)
    for row, (name, text) in enumerate(models.items()):
        for spec in {spec.kind: spec for spec in schedule(text)}.values():
            x = "head" if row == len(models) - 1 else ""
            place = (len(models), 2, 2 * row + (1 if spec.is_local else 2))
            axes = style.panel(figure, place, "", x, name if spec.is_local else "", frame=False)
            _wires(axes, spec.heads, spec.kv_heads, style.kind_colour(spec.kind))
            heads = f"{spec.heads} query, {spec.kv_heads} KV head{'s' * (spec.kv_heads > 1)} of {spec.head_dim}"
            ratio = spec.heads // spec.kv_heads
            axes.set_title(f"{style.kind_name(spec.kind)}: {heads}, {ratio}:1", fontsize=style.SMALL, loc="left")
    return figure


def _wires(axes: Axes, H: int, G: int, colour: str) -> None:
    """H query heads above G KV heads, each group's lines meeting in the middle under it."""
    places = (np.arange(G) + 0.5) * (H / G) - 0.5
    ends = [[(h, 1), (places[h // (H // G)], 0)] for h in range(H)]
    axes.add_collection(LineCollection(ends, colors=colour, linewidths=1.2))
    axes.plot(range(H), np.ones(H), "o", color=style.ACTIVATIONS, markersize=7)
    axes.plot(places, np.zeros(G), "s", color=style.CACHE, markersize=9)
    axes.set(xlim=(-0.8, H - 0.2), ylim=(-0.3, 1.3), xticks=[])
    axes.set_yticks([0, 1], ["KV", "query"], fontsize=style.SMALL)
