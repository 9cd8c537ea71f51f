"""How far back layers reach: the staircase of windows, what is left of far tokens, and the same measured on a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from minigemma import numbers
from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style


def receptive_field(
    models: Mapping[str, tuple[Sequence[str], int]], *, title: str = "How far back a token can have heard from"
) -> Figure:
    """Staircases of reach, layer by layer: 1 + L·(W-1) while layers are local, everything from the first global one.

    models: {name: (layer kinds, window)}. A staircase ends in an arrow at its first global layer.
    """
    if not models:
        raise InputError("models is empty; expected {name: (layer kinds, window)}")
    figure, axes = style.single(title, "layers passed", "tokens within reach", width=style.WIDTH + 0.8)
    reaches = {name: np.array([1, *numbers.receptive_field(*model)]) for name, model in models.items()}
    top = max(r[np.isfinite(r)].max() for r in reaches.values()) * 1.25
    for i, (name, reach) in enumerate(reaches.items()):
        stairs = reach[np.isfinite(reach)]
        line = {"color": style.SERIES[i % 8], "linestyle": style.DASHES[i % 8], "linewidth": 2.5}
        last = len(stairs) - 1
        then = ", then all" if len(stairs) < len(reach) else ""
        axes.step(
            [*range(len(stairs)), last + 1],
            [*stairs, stairs[-1]],
            where="post",
            label=f"{name}: {stairs[-1]:,.0f}{then}",
            **line,
        )
        if then:
            arrow = {"arrowstyle": "->", "color": line["color"], "linewidth": 2.5}
            axes.annotate("", (last + 1, top), (last + 1, stairs[-1]), arrowprops=arrow)
    axes.set_ylim(0, top)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    style.whole_ticks(axes.xaxis)
    style.legend(axes, loc="upper left")
    return figure


def dilution(
    shares: Mapping[str, np.ndarray], *, title: str = "What is left of each token in the last position"
) -> Figure:
    """The share of every token in the last position after each layer, logarithmic; grey where nothing has arrived.

    shares: {name: (L, T)}, as ``numbers.influence`` makes them: even attention and no residual stream, so the mechanism
    of dilution and not what a trained model does.
    """
    maps = {name: np.asarray(share, float) for name, share in shares.items()}
    if not maps or any(m.ndim != 2 or not m.size for m in maps.values()):
        raise InputError("shares must be {name: (layers, tokens)}, none of them empty")
    layers = max(map(len, maps.values()))
    figure = style.canvas(4.2 * len(maps) + 1.4, style.cell_inches(layers, 4.5, 1.2) + 1.8)
    style.headline(figure, title)
    panels = []
    for i, (name, share) in enumerate(maps.items()):
        axes = style.panel(figure, (1, len(maps), i + 1), name, "token", "after layer" if i == 0 else "", frame=False)
        axes.title.set_fontsize(style.TEXT)
        image = style.heatmap(
            axes, np.where(share > 0, share, np.nan), style.scaled(share, "log", top=1.0), origin="lower"
        )
        style.whole_ticks(axes.xaxis)
        style.whole_ticks(axes.yaxis)
        panels.append(axes)
    style.colour_bar(figure, image, panels, "share", extend="min")
    style.note(figure, "Grey: out of reach. Even attention, no residual stream, no training.")
    return figure


def spread(
    change: np.ndarray,
    schedule: Sequence[LayerSpec],
    changed: int,
    *,
    title: str = "One token is changed: which positions notice, layer by layer",
) -> Figure:
    """How much each position's output changes after each layer when one token of the text is another; grey: not at all.

    change (L, T): relative change of the residual stream. changed: the position of that token. schedule: the layers'
    LayerSpecs; the stairs they promise (1 + L·(W-1) while layers are local, all after the first global) are outlined.
    """
    change = np.asarray(change, float)
    if change.ndim != 2 or len(change) != len(schedule):
        raise InputError(f"change has shape {change.shape} for {len(schedule)} layers; expected (layers, tokens)")
    L, T = change.shape
    window = next((spec.window for spec in schedule if spec.window is not None), T)
    reach = numbers.receptive_field([spec.kind for spec in schedule], window)
    figure, axes = style.single("", "position in tokens", "layer", width=9.0, height=2.1 + 0.28 * L, frame=False)
    kinds = style.patches(local=style.LOCAL_COLOUR, **{"global": style.GLOBAL_COLOUR})
    style.headline(figure, title, kinds)
    image = style.heatmap(axes, np.where(change > 0, change, np.nan), style.scaled(change, "log"))
    style.colour_bar(figure, image, axes, "relative change", extend="min")
    ends = np.minimum(changed + np.array(reach), T) - 0.5
    axes.step([ends[0], *ends], [-0.5, *np.arange(0.5, L)], where="post", color=style.INK, linewidth=2, clip_on=False)
    for i, spec in enumerate(schedule):
        axes.plot(
            -0.012, i, "s", color=style.kind_colour(spec.kind, spec.shares_kv), markersize=11, clip_on=False,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    axes.tick_params(axis="y", pad=14)
    axes.set(xlim=(-0.5, T - 0.5), ylim=(L - 0.5, -0.5), yticks=range(L) if L <= 24 else range(0, L, 5))
    style.note(
        figure, f"Token {changed} was changed. Grey: no change at all. Line: how far windows of {window:,} reach."
    )
    return figure


def answer_by_window(
    windows: Sequence[int],
    chances: Mapping[str, np.ndarray],
    distances: Mapping[str, int],
    *,
    window: int,
    title: str = "The right answer's probability, if global layers saw less",
) -> Figure:
    """Probability of the right answer to a question, as global layers are cut to ever smaller windows.

    chances: {question: (windows,)}; distances: {question: tokens from the fact to the answer}, marked with a triangle.
    window: of the local layers, marked with a line.
    """
    figure, axes = style.single(title, "tokens a global layer sees", "probability of the answer", width=7.6, height=4.8)
    for i, (name, chance) in enumerate(chances.items()):
        colour = style.SERIES[i % 8]
        axes.plot(
            windows, chance, color=colour, linestyle=style.DASHES[i % 8], linewidth=2.5, marker="o", markersize=4,
            label=f"{name} (▲ {distances[name]} tokens back)",
        )  # fmt: skip
        axes.plot(distances[name], -0.04, "^", color=colour, markersize=10, clip_on=False, zorder=5)
    axes.axvline(window, color=style.MUTED, linestyle=":", linewidth=1.5)
    axes.text(window, 0.5, " the local layers' window", va="center", fontsize=style.SMALL, color=style.MUTED)
    axes.set_ylim(-0.04, 1.03)
    figure.legend(loc="outside lower left", fontsize=style.SMALL, frameon=False)
    return figure
