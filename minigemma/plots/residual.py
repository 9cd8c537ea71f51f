"""The residual stream and its norms: sizes along a layer and along depth, and scores with and without QK-norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.ops import softmax
from minigemma.plots import style

BRANCHES = (style.ACTIVATIONS, style.SERIES[4], style.SERIES[3])  # attention, feed-forward, per-layer embedding


def rms_ladder(points: Mapping[str, float], *, title: str = "Sizes along one layer") -> Figure:
    """RMS at every named point of a layer, in order; the stream itself dark, what branches compute green.

    points: {name: RMS} (``numbers.rms``); names starting with "stream" are the residual stream.
    """
    if not points:
        raise InputError("points is empty; expected {name: RMS}")
    names, values = list(points), np.array(list(points.values()), float)
    figure = style.canvas(style.WIDTH + 1, 1.9 + 0.3 * len(names))
    style.headline(figure, title, style.patches(residual_stream=style.RESIDUAL, inside_a_branch=style.ACTIVATIONS))
    axes = style.panel(figure, 111, "", "RMS", "")
    spread = values.min() > 0 and values.max() / values.min() > 50
    for row, (name, value) in enumerate(points.items()):
        colour = style.RESIDUAL if name.startswith("stream") else style.ACTIVATIONS
        axes.axhline(row, color=style.FAINT, linewidth=1, zorder=0)
        axes.plot(value, row, "s" if name.startswith("stream") else "o", color=colour, markersize=9)
        axes.annotate(
            f"{value:.3g}", (value, row), (9, 0), textcoords="offset points", va="center", fontsize=style.SMALL
        )
    axes.set_yticks(range(len(names)), names, fontsize=style.SMALL)
    axes.set_ylim(len(names) - 0.4, -0.6)
    if spread:
        axes.set_xscale("log")
        axes.set_xlim(values.min() / 2, values.max() * 3)
    else:
        axes.set_xlim(0, max(values.max(), 1e-9) * 1.15)
    return figure


def rms_depth(
    streams: Mapping[str, Sequence[float]],
    schedule: Sequence[LayerSpec] | None = None,
    *,
    title: str = "Size of the residual stream along depth",
) -> Figure:
    """RMS of the stream after every layer, logarithmic. streams: {name: (L,)}, e.g. with and without layer scalars.

    schedule: marks each layer local or global under the curves.
    """
    if not streams or not all(len(s) for s in streams.values()):
        raise InputError("streams is empty; expected {name: RMS after every layer}")
    figure, axes = style.single(title, "after layer", "RMS of the stream", width=style.WIDTH + 0.6)
    colours = (style.RESIDUAL, style.GLOBAL_COLOUR, *style.SERIES[2:])
    for i, (name, values) in enumerate(streams.items()):
        axes.plot(
            values, marker="o", markersize=4, color=colours[i % len(colours)], linestyle=style.DASHES[i % 8], label=name
        )
    axes.set_yscale("log")
    for put in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        put(style.PlainLog(minor_thresholds=(1.5, 0.5)))  # 2 and 3, not 2 × 10⁰
    axes.set_xlim(-0.5, max(map(len, streams.values())) - 0.5)
    style.whole_ticks(axes.xaxis)
    style.legend(axes)
    _kinds(figure, axes, schedule)
    return figure


def _kinds(figure: Figure, axes: Axes, schedule: Sequence[LayerSpec] | None) -> None:
    """A strip along the bottom that marks each layer local or global."""
    if schedule is None:
        return
    for spec in schedule:
        colour = style.kind_colour(spec.kind, spec.shares_kv)
        axes.axvspan(spec.index - 0.5, spec.index + 0.5, ymax=0.035, color=colour, linewidth=0)
    style.note(figure, "Strip: blue local, orange global, pale where keys and values are borrowed.")


def score_histograms(scores: Mapping[str, np.ndarray], *, title: str = "Attention scores before the softmax") -> Figure:
    """Histograms of q · k under several rules (raw, ÷ √K, QK-norm), each with the mean entropy of its softmax rows.

    scores: {name: (..., T, S)}; -inf where a query may not look.
    """
    if not scores:
        raise InputError("scores is empty; expected {name: (..., T, S)}")
    figure = style.canvas(3.1 * len(scores) + 0.6, 3.6)
    style.headline(figure, title)
    for i, (name, values) in enumerate(scores.items()):
        values = np.asarray(values, np.float64)
        axes = style.panel(figure, (1, len(scores), i + 1), name, "score", "share of pairs" if i == 0 else "")
        axes.title.set_fontsize(style.TEXT)
        finite = values[np.isfinite(values)]
        axes.hist(finite, bins=40, color=style.ACTIVATIONS, weights=np.full(len(finite), 1 / len(finite)))
        pattern = softmax(values)
        bits = -np.sum(pattern * np.log2(np.where(pattern > 0, pattern, 1)), axis=-1)
        text = f"std {finite.std():.3g}\nsoftmax: {bits.mean():.2f} bits"
        axes.text(0.98, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=style.SMALL)
        axes.set_ylim(top=axes.get_ylim()[1] * 1.3)
    return figure


def row_norms(
    groups: Mapping[str, np.ndarray], expected: float | None = None, *, title: str = "Lengths of vectors"
) -> Figure:
    """Histograms of vector lengths (values, embeddings before and after scaling …). groups: {name: (..., K)}.

    expected: a length to mark, e.g. √K for normed values.
    """
    if not groups:
        raise InputError("groups is empty; expected {name: (..., K)}")
    figure, axes = style.single(title, "length of the vector", "vectors")
    lengths = {name: np.linalg.norm(np.asarray(v, np.float64), axis=-1).ravel() for name, v in groups.items()}
    every = np.concatenate(list(lengths.values()))
    low, high = float(every.min()), float(every.max())
    margin = max(high - low, 0.02 * abs(high), 1e-6)
    bins = np.linspace(low - 0.1 * margin, high + 0.1 * margin, 50).tolist()
    for i, (name, values) in enumerate(lengths.items()):
        axes.hist(values, bins=bins, color=style.SERIES[i % 8], alpha=0.75, label=name)
    if expected is not None:
        axes.axvline(expected, color=style.INK, linestyle="--", label=f"{expected:.4g}")
    style.legend(axes)
    return figure


def stream_shares(
    shares: Mapping[str, np.ndarray],
    schedule: Sequence[LayerSpec] | None = None,
    *,
    title: str = "Who wrote the stream that leaves the last layer",
) -> Figure:
    """Shares of the final stream, stacked by the layer that added them; below zero what later layers took back.

    shares: {"embedding": (1,), branch: (L,), …}, as ``layer_steps.stream_shares`` makes them. schedule: marks each
    layer local or global.
    """
    branches = {name: np.asarray(values, float) for name, values in shares.items() if name != "embedding"}
    if "embedding" not in shares or len({values.shape for values in branches.values()}) != 1:
        raise InputError(f"shares holds {[np.shape(v) for v in shares.values()]}; expected (1,), then (L,) each")
    figure, axes = style.single(title, "layer", "share of the whole", width=style.WIDTH + 1.2)
    axes.bar(-1, shares["embedding"][0], color=style.RESIDUAL, label="embedding")
    L = len(next(iter(branches.values())))
    above, below = np.zeros(L), np.zeros(L)
    for (name, values), colour in zip(branches.items(), BRANCHES, strict=False):
        axes.bar(range(L), values, bottom=np.where(values >= 0, above, below), color=colour, label=name)
        above, below = above + np.maximum(values, 0), below + np.minimum(values, 0)
    axes.axhline(0, color=style.MUTED, linewidth=1)
    _kinds(figure, axes, schedule)
    step = -(-L // 20)
    axes.set_xticks([-1, *range(0, L, step)], ["emb.", *map(str, range(0, L, step))], fontsize=style.SMALL)
    style.legend(axes)
    return figure
