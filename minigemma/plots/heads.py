"""Which heads have which habit: maps of layer × head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.heads import ranked
from minigemma.interleaving import LayerSpec
from minigemma.plots import style


def head_habits(
    scores: Mapping[str, np.ndarray],
    schedule: Sequence[LayerSpec] | None = None,
    *,
    title: str = "What each head does: share of attention that goes where a habit says",
) -> Figure:
    """One map of layers (upwards) × heads for each habit; the strongest head of each has its number written in.

    scores: {habit: (L, H)}, as ``heads.habits`` makes them. schedule: colours the layers local or global.
    """
    maps = {name: np.asarray(values, float) for name, values in scores.items()}
    shapes = {values.shape for values in maps.values()}
    if len(shapes) != 1 or any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise InputError(f"scores have shapes {sorted(shapes)}; expected one (layers, heads) for all")
    L, H = shapes.pop()
    figure = style.canvas(1.6 + len(maps) * max(1.55, 0.26 * H), 2.0 + 0.26 * max(L, 6))
    kinds = {style.kind_name(spec.kind): style.kind_colour(spec.kind) for spec in schedule or ()}
    style.headline(figure, title, style.patches(**kinds) if kinds else None)
    panels = []
    for i, (name, values) in enumerate(maps.items()):
        axes = style.panel(figure, (1, len(maps), i + 1), name, "head", "layer" if i == 0 else "", frame=False)
        axes.title.set_fontsize(style.TEXT)
        image = style.heatmap(axes, values, style.scaled(values, "linear", top=1.0), origin="lower")
        if np.isfinite(values).any():
            layer, head = ranked(values)[0]
            colour = "white" if values[layer, head] < 0.6 else style.INK
            words = f"{values[layer, head]:.2f}".removeprefix("0")
            axes.text(head, layer, words, ha="center", va="center", fontsize=style.SMALL, color=colour)
        axes.set_xticks(range(0, H, 1 if H <= 8 else 4))
        axes.set_yticks(range(0, L, 1 if L <= 12 else 5) if i == 0 else [])
        if i == 0:
            for spec in schedule or ():
                axes.plot(
                    -0.1, spec.index, "s", color=style.kind_colour(spec.kind, spec.shares_kv), markersize=9,
                    clip_on=False, transform=axes.get_yaxis_transform(),
                )  # fmt: skip
            axes.tick_params(axis="y", pad=21)
        panels.append(axes)
    style.colour_bar(figure, image, panels, "share of attention")
    return figure
