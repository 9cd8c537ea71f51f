"""Words and soft tokens side by side: as points, along the sequence, and as shares of attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style
from minigemma.plots.sequence import SOURCE

MARKERS = {"text": "o", "image": "s", "audio": "^"}  # told apart without colours too


def source_map(groups: Mapping[str, np.ndarray], *, title: str = "Words and soft tokens") -> Figure:
    """Vectors of width D: their lengths, and as points in the two directions in which they differ most (PCA).

    groups: {"text", "image" or "audio": (n, D)}; they weigh alike, however many vectors they have. Two of D directions:
    what lies apart here lies apart, what lies together may not.
    """
    if not groups or not set(groups) <= set(SOURCE):
        raise InputError(f"groups are {sorted(groups)}; expected some of text, image and audio")
    figure = style.canvas(11.0, 4.8)
    lengths = {name: np.linalg.norm(vectors, axis=1) for name, vectors in groups.items()}
    every = np.concatenate(list(lengths.values()))
    bins = np.linspace(0, 1.05 * every.max(), 40).tolist()
    axes = style.panel(figure, (1, 2, 1), "how long they are", "length of the vector", "share of its kind (%)")
    for name, values in lengths.items():
        options: dict[str, Any] = {"color": SOURCE[name], "edgecolor": style.INK, "alpha": 0.7, "linewidth": 0.8}
        axes.hist(values, bins, weights=np.full(len(values), 100 / len(values)), histtype="stepfilled", **options)
    centre = np.mean([vectors.mean(axis=0) for vectors in groups.values()], axis=0)
    even = np.concatenate([(vectors - centre) / np.sqrt(len(vectors)) for vectors in groups.values()])
    _, sizes, directions = np.linalg.svd(even, full_matrices=False)
    told = sizes[:2] ** 2 / np.sum(sizes**2)
    names = [f"direction {i + 1} ({share:.0%} of the spread)" for i, share in enumerate(told)]
    axes = style.panel(figure, (1, 2, 2), "where they lie", *names)
    for name, vectors in groups.items():
        x, y = (vectors - centre) @ directions[:2].T[:, 0], (vectors - centre) @ directions[:2].T[:, 1]
        marks: dict[str, Any] = {
            "alpha": 0.75,
            "linewidths": 0.3,
            "edgecolors": "white",
            "zorder": 2 + (name != "text"),
        }
        axes.scatter(x, y, 26, color=SOURCE[name], marker=MARKERS[name], **marks)
    handles = style.patches(**{f"{name}: {len(vectors)}": SOURCE[name] for name, vectors in groups.items()})
    style.headline(figure, title, handles, columns=3)
    return figure


def share_by_layer(
    shares: Mapping[str, np.ndarray], schedule: Sequence[LayerSpec], *, title: str = "What each layer looks at"
) -> Figure:
    """Shares of attention by source, stacked, one bar a layer. shares: {source: (L,)}, together one for each layer."""
    if any(len(values) != len(schedule) for values in shares.values()):
        raise InputError(f"shares of {[len(v) for v in shares.values()]} layers; the schedule has {len(schedule)}")
    figure, axes = style.single("", "layer", "share of attention (%)", width=9.0, height=4.0)
    left = np.zeros(len(schedule))
    for name, values in shares.items():
        axes.bar(np.arange(len(schedule)), 100 * values, bottom=left, color=SOURCE[name], width=0.8)
        left = left + 100 * values
    colours = [style.kind_colour(spec.kind) for spec in schedule]
    axes.bar(np.arange(len(schedule)), -5, width=0.8, color=colours)
    axes.set(ylim=(-6, 100), yticks=range(0, 101, 25))
    style.whole_ticks(axes.xaxis)
    handles = style.patches(
        **{name: SOURCE[name] for name in shares},
        local_layer=style.LOCAL_COLOUR,
        global_layer=style.GLOBAL_COLOUR,
    )
    style.headline(figure, title, handles, columns=5)
    return figure


def ple_along(
    token_part: np.ndarray,
    context_part: np.ndarray,
    sources: Sequence[str],
    *,
    title: str = "Per-layer vectors along the sequence",
) -> Figure:
    """One layer's token part and context part for every position: each (T, P), positions to the right."""
    if not len(token_part) == len(context_part) == len(sources):
        raise InputError(f"parts of {len(token_part)} and {len(context_part)} positions for {len(sources)} sources")
    figure = style.canvas(10.0, 4.8)
    grid = figure.add_gridspec(3, 1, height_ratios=(0.14, 1, 1))
    strip = style.panel(figure, grid[0], frame=False)
    strip.bar(np.arange(len(sources)), 1, width=1.0, color=[SOURCE[name] for name in sources])
    strip.set(ylim=(0, 1), yticks=[])
    strip.tick_params(labelbottom=False)
    parts = {"token part: from the table": token_part, "context part: from the position's vector": context_part}
    norm = style.centred(np.concatenate([token_part, context_part]), float(np.quantile(np.abs(token_part), 0.995)))
    panels = []
    for i, (name, part) in enumerate(parts.items()):
        axes = style.panel(figure, grid[i + 1], name, "position" if i else "", "coordinate", frame=False, sharex=strip)
        axes.tick_params(labelbottom=bool(i))
        image = style.heatmap(axes, part.T, norm, style.SIGNED)
        panels.append(axes)
    style.colour_bar(figure, image, panels, "value", extend="both")
    style.headline(figure, title, style.patches(**{name: SOURCE[name] for name in SOURCE if name in sources}), 3)
    return figure
