"""Keys and values shared across layers: who reads whom, what the readers look at, what another source costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from minigemma.config import Config, TextConfig
from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.plots import style
from minigemma.plots.attention import check_labels, check_pattern, seen
from minigemma.plots.schedule import cells_of


def kv_sharing_arcs(config: Config | TextConfig, *, title: str = "Whose keys and values each layer reads") -> Figure:
    """Layers in a row, an arc from each layer that borrows to the layer it reads; local above, global below."""
    cells = cells_of(config)
    figure = style.canvas(max(style.WIDTH, min(12.0, 0.27 * len(cells) + 0.8)), 4.4)
    axes = style.panel(figure, 111, "", "layer", "", frame=False)
    style.headline(figure, title, style.patches(**_arcs(axes, cells)))
    return figure


def _arcs(axes: Axes, cells: Sequence[tuple[str, int]], selected: int | None = None) -> dict[str, str]:
    """Draw the arcs of [(kind, KV source)], the selected layer's in ink; returns the colours' meanings."""
    L, kinds, owners = len(cells), {}, sorted({source for i, (_, source) in enumerate(cells) if source != i})
    for i, (kind, source) in enumerate(cells):
        shared = source != i
        colour = style.kind_colour(kind, shared)
        edge = style.INK if i == selected else "none"
        axes.add_patch(Rectangle((i - 0.42, -0.5), 0.84, 1.0, facecolor=colour, edgecolor=edge, linewidth=2.5))
        kinds[f"{style.kind_name(kind)}, {'queries only' if shared else 'own keys and values'}"] = colour
        if shared:
            up, tall = (1 if style.kind_name(kind) == "local" else -1), 0.5 + (i - source) * 0.22
            corners = [(i, 0.5 * up), (i, tall * 1.6 * up), (source, tall * 1.6 * up), (source, 0.5 * up)]
            chosen = i == selected
            line = style.INK if chosen else style.kind_colour(kind)
            arc = PathPatch(Path(corners, [1, 4, 4, 4]), fill=False, edgecolor=line, linewidth=3 if chosen else 1.6)
            axes.add_patch(arc)
    reach = 1.2 + 1.2 * max([0.5 + (i - s) * 0.22 for i, (_, s) in enumerate(cells) if s != i], default=0)
    axes.set(xlim=(-0.8, L - 0.2), ylim=(-reach, reach), yticks=[])
    every = 1 if L <= 24 else 5
    crowded = {t for o in owners for t in (o - 1, o + 1)} - set(owners) if every > 1 else set()
    axes.set_xticks(sorted({*range(0, L, every), *owners, L - 1} - crowded))
    for owner in owners:
        readers = sum(source == owner for _, source in cells) - 1
        y = (0.75 if style.kind_name(cells[owner][0]) == "local" else -0.75) * reach
        words = f"layer {owner}\nread by {readers} more"
        axes.text(owner - 0.5, y, words, ha="right", va="center", fontsize=style.SMALL)
    if not owners:
        axes.text(L / 2, 0.6 * reach, "Every layer has its own keys and values.", ha="center", fontsize=style.TEXT)
    return kinds


def readers(
    patterns: Mapping[int, np.ndarray],
    schedule: Sequence[LayerSpec],
    tokens: Sequence[str],
    query: int,
    layer: int,
    *,
    hide_first: bool = False,
    scale: str = "sqrt",
    note: str = "",
) -> Figure:
    """What one token looks at in every layer that reads the same keys: a row a head, layers one below the other.

    patterns: {layer: (H, T, T)} of all layers; schedule: their LayerSpecs; tokens: T labels; query: the token.
    layer: any layer of the group, marked in the arcs above, as is the layer whose keys it reads.
    """
    source = schedule[layer].kv_source
    group = [spec.index for spec in schedule if spec.kv_source == source]
    rows = [seen(check_pattern(patterns[i], 3)[:, query], hide_first, scale) for i in group]  # (H, T) each
    check_labels(tokens, rows[0].shape[1], "key")
    H, tall = len(rows[0]), style.cell_inches(sum(map(len, rows)), 4.6, 1.4, 0.16)
    figure = style.canvas(11.4, tall + 4.4)
    figure.set_layout_engine("none")
    arcs = style.panel(figure, (2.0, tall + 2.1, 8.0, 1.5), "", "layer", "", frame=False)
    kinds = _arcs(arcs, [(spec.kind, spec.kv_source) for spec in schedule], layer)
    title = f"What token {query}, “{style.printable(tokens[query])}”, looks at among the keys of layer {source}"
    axes = style.panel(figure, (2.0, 1.3, 8.0, tall), title, "key", "", frame=False)
    shown = np.concatenate(rows)
    image = style.heatmap(axes, shown, style.scaled(shown, scale))
    for cut in range(H, len(shown), H):
        axes.axhline(cut - 0.5, color="white", linewidth=3)
    names = [f"layer {i}" + (" (makes them)" if i == source else "") for i in group]
    axes.set_yticks([H * (n + 0.5) - 0.5 for n in range(len(group))], names, fontsize=style.SMALL)
    axes.get_yticklabels()[group.index(layer)].set_fontweight("bold")
    left_out = style.token_ticks(axes, tokens, "x", 8.0)
    beside = style.panel(figure, (10.15, 1.3, 0.13, tall))
    figure.colorbar(image, cax=beside).set_label(style.weight_name(scale), fontsize=style.TEXT)
    style.legend(figure, style.patches(**kinds), loc="upper left", bbox_to_anchor=(0, 1), ncols=2)
    hidden = f"A row a head, {H} a layer." + (" The first key is hidden." if hide_first else "")
    words = " ".join(filter(None, [note, hidden, left_out]))
    figure.text(0.01, 0.015, words, fontsize=style.SMALL, color=style.MUTED)
    return figure


def loss_by_source(
    losses: Mapping[int, float],
    trained: int,
    *,
    title: str = "If the sharing layers read another source",
) -> Figure:
    """Loss of one model whose sharing layers are made to read another source. losses: {source layer: nats a token}."""
    if trained not in losses:
        raise InputError(f"the trained source, layer {trained}, is not among {list(losses)}")
    figure, axes = style.single(title, "nats a token", "source", height=1.5 + 0.42 * len(losses))
    colours = [style.ACTIVATIONS if source == trained else style.MUTED for source in losses]
    axes.barh(range(len(losses)), list(losses.values()), color=colours, height=0.62)
    names = [f"layer {source}" + (", as trained" if source == trained else "") for source in losses]
    axes.set_yticks(range(len(losses)), names, fontsize=style.SMALL)
    axes.set_ylim(len(losses) - 0.5, -0.5)
    for row, loss in enumerate(losses.values()):
        axes.text(loss, row, f" {loss:.3f}", va="center", fontsize=style.SMALL)
    axes.set_xlim(0, max(losses.values()) * 1.12)
    return figure
