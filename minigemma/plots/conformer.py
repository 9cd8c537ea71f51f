"""Pictures of the Conformer: whom a soft token sees, what each part of a block adds, how far back a layer has heard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.audio.attention import relative_positions, visible
from minigemma.audio.naive import visible as visible_pairs
from minigemma.audio.numbers import layer_reach, score_counts, seconds_heard
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.numbers import rms
from minigemma.plots import style
from minigemma.plots.timeline import SECONDS, TOKEN, outline, over_time, shape, typical

STEPS = {  # the parts of a Conformer block, in their order: name in the trace -> name in a picture
    "feed_forward1": "½ feed-forward",
    "attention": "attention",
    "convolution": "convolution",
    "feed_forward2": "½ feed-forward",
}


def chunk_mask(tokens: int = 48, config: AudioConfig | None = None) -> Figure:
    """Which keys a query sees: full causal attention beside the band of 12, and the blocks that are computed."""
    config = config or AudioConfig()
    if not 1 <= tokens <= 200:
        raise InputError(f"{tokens} tokens; a picture of every pair has room for 1 to 200")
    causal, band = np.tri(tokens, dtype=bool), visible_pairs(tokens, config)
    blocks, chunk, context = visible(tokens, config).shape
    past = config.attention_context_left - 1
    computed = f"{blocks} × {chunk} × {context} = {blocks * chunk * context:,} scores"
    titles = (
        f"Full causal attention\n{tokens}² = {tokens**2:,} scores, {causal.sum():,} kept",
        f"In blocks of {chunk} queries × {context} keys\n{computed}, {band.sum():,} kept",
    )
    figure = style.canvas(11.4, 6.2)
    grid = figure.add_gridspec(1, 2, width_ratios=(tokens + 1, tokens + past + 1.5))
    shades = style.mpl.colors.ListedColormap([style.FAINT, style.AUDIO_TOKEN])
    for i, (title, seen) in enumerate(zip(titles, (causal, band), strict=True)):
        query = "" if i else "query (soft token)"
        axes = style.panel(figure, grid[i], title, "key (soft token)", query, frame=False, aspect="equal")
        axes.imshow(seen, cmap=shades, vmin=0, vmax=1, interpolation="nearest")
        axes.set_xlim(-past - 1 if i else -1, tokens)
        axes.set_ylim(blocks * chunk, -1)
        axes.set_xticks(range(0, tokens, chunk))
        axes.set_yticks(range(0, tokens, chunk))
    axes.add_patch(Rectangle((-past - 0.5, -0.5), past, chunk, hatch="//", facecolor="white", edgecolor=style.FAINT))
    for start in range(0, tokens, chunk):
        axes.add_patch(outline(start - past - 0.5, start - 0.5, context, chunk, edgecolor=style.IMAGE_TOKEN, lw=2))
    long = score_counts(750, config)
    style.note(figure, "Green: seen. Frames: one block each, a matrix product. Hatched: before the sound, zeros.")
    costs = f"{long['every pair']:,} scores in full, {long['in blocks']:,} in blocks"
    style.note(figure, f"A sound of 30 s has 750 tokens: {costs}.")
    return figure


def conformer_path(tensors: Mapping[str, np.ndarray], layer: int = 0, prefix: str = "") -> Figure:
    """One Conformer block step by step: what each part adds to the stream, and how large both are.

    tensors: a Trace (or mapping) with ``layers.i.input``, ``.output`` and the four ``.added`` under ``prefix`` (such as
    ``"audio.0."``); layer: i.
    """
    block = f"{prefix}layers.{layer}."
    stream, after = tensors[f"{block}input"], tensors[f"{block}output"]
    added = [tensors[f"{block}{name}.added"] for name in STEPS]
    names = ["comes in", *STEPS.values(), "goes out"]
    reach = typical(np.concatenate([stream, *added, after]))

    figure = style.canvas(12.4, 6.6)
    grid = figure.add_gridspec(2, 6, height_ratios=(1.5, 1))
    panels = []
    for column, (name, part) in enumerate(zip(names, [stream, *added, after], strict=True)):
        text = name if column in (0, 5) else f"+ {name}".replace("feed-forward", "feed-\nforward")
        panels.append(style.panel(figure, grid[0, column], text, SECONDS, "dimension" if column == 0 else ""))
        image = over_time(panels[-1], part.T, TOKEN, style.centred(part, reach), style.SIGNED)
        if column:
            panels[-1].tick_params(labelleft=False)
    style.colour_bar(figure, image, panels, "value", aspect=20)

    sizes, so_far = [rms(stream)], stream
    for part in added:
        so_far = so_far + part
        sizes.append(rms(so_far))
    title = f"Root mean square along block {layer}: {shape(stream)} at every step, a norm before it goes out"
    axes = style.panel(figure, grid[1, :], title, y="RMS")
    axes.plot(
        range(6), [*sizes, rms(after)], "o-", color=style.RESIDUAL, linewidth=2.5, label="the stream after each step"
    )
    heights = [rms(part) for part in added]
    axes.bar(range(1, 5), heights, width=0.5, color=style.ACTIVATIONS, label="what the step adds")
    for x, height in enumerate(heights, start=1):
        axes.text(x, height, f"{height:.2g}", ha="center", va="bottom", fontsize=style.SMALL)
    axes.set_xticks(range(6), names, fontsize=style.SMALL)
    axes.set_ylim(0, 1.45 * max(*sizes, *heights, rms(after)))
    style.legend(axes, loc="upper left", ncols=2)
    return figure


def relative_bias(scores: np.ndarray, config: AudioConfig | None = None) -> Figure:
    """What distance alone adds to a score: the table of positions, and each head's mean and spread over the tokens.

    scores (T, H, distances), distance 0 first: ``audio.numbers.scores_by_distance`` makes them from a trace.
    """
    config = config or AudioConfig()
    distance = np.arange(scores.shape[2])
    figure = style.canvas(11.4, 4.8)
    grid = figure.add_gridspec(1, 2, width_ratios=(1, 1.5))
    table = relative_positions(config)[::-1]  # (R, D), distance 0 first
    title = f"The code of a distance: {shape(table)}"
    axes = style.panel(figure, grid[0], title, "dimension: sines, then cosines", "distance (tokens)")
    style.colour_bar(figure, style.heatmap(axes, table, style.centred(table, 1.0), style.SIGNED), axes, "value")
    title = "What distance adds to a score, by head"
    axes = style.panel(figure, grid[1], title, "distance to the key (tokens of 40 ms)", "added to the score")
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    for h in range(scores.shape[1]):
        colour, dash = style.SERIES[h % len(style.SERIES)], style.DASHES[h % len(style.DASHES)]
        low, high = np.quantile(scores[:, h], (0.25, 0.75), axis=0)
        axes.fill_between(distance, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(distance, scores[:, h].mean(axis=0), color=colour, linestyle=dash, linewidth=2, label=f"head {h}")
    axes.set_xticks(distance)
    style.legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    style.note(figure, "Lines: mean over the tokens. Bands: the middle half of them.")
    return figure


def relative_shift(distance: np.ndarray, shifted: np.ndarray) -> Figure:
    """The shift of one head and block: scores by distance (C, R), the same filled up and cut anew, by key (C, S).

    Both as traced: ``attention.distance[h, b]`` and ``attention.distance_shifted[h, b]``.
    """
    (chunk, rows), context = distance.shape, shifted.shape[1]
    if shifted.shape[0] != chunk or context + 1 < rows:
        raise InputError(
            f"distance {distance.shape} and shifted {shifted.shape}; expected (C, R) and (C, S), R <= S + 1"
        )
    filled = np.full((chunk, context + 1), np.nan, np.float32)
    filled[:, :rows] = distance
    cut = filled.ravel()[: chunk * context].reshape(chunk, context)
    figure = style.canvas(12.4, 4.6)
    grid = figure.add_gridspec(1, 3, width_ratios=(rows, context + 1, context))
    norm, panels = style.centred(distance), []
    parts = (
        (distance, "1. By distance", "distance (tokens)"),
        (filled, f"2. Rows filled up to {context + 1}", "place in the row"),
        (np.where(np.isnan(cut), np.nan, shifted), f"3. Cut anew into rows of {context}", "key of the block"),
    )
    for i, (part, title, x) in enumerate(parts):
        panels.append(style.panel(figure, grid[i], title, x, "" if i else "query of the block"))
        image = style.heatmap(panels[-1], part, norm, style.SIGNED)
        if i:
            panels[-1].tick_params(labelleft=False)
    panels[0].set_xticks(range(0, rows, 4), [str(rows - 1 - r) for r in range(0, rows, 4)])
    for query in range(chunk):  # where distance 0 lies, before and after
        panels[0].add_patch(outline(rows - 1.5, query - 0.5, 1, 1, edgecolor=style.INK, lw=1.5))
        panels[2].add_patch(outline(query + rows - 1.5, query - 0.5, 1, 1, edgecolor=style.INK, lw=1.5))
    style.colour_bar(figure, image, panels, "added to the score", aspect=20)
    text = "Same numbers in the same order: a row one shorter begins one place later than the one above."
    style.note(figure, f"{text} Black: distance 0. Grey, filled in, and distance {rows - 1} are never seen.")
    return figure


def sound_reach(config: AudioConfig | None = None) -> Figure:
    """How far back a soft token has heard after each layer, in seconds: attention reaches 11 tokens, convolution 4."""
    config = config or AudioConfig()
    tokens = layer_reach(config)
    attention, convolution = (count * TOKEN for count in tokens)  # s
    layers = np.arange(1, config.num_hidden_layers + 1)
    total = len(layers) * (attention + convolution)
    by = "{} + {}".format(*tokens)
    title = f"{len(layers)} layers × ({by}) tokens = {total / TOKEN:.0f} tokens: {total:.1f} s heard"
    figure, axes = style.single(title, "seconds before now", "after layer", width=8.8, height=1.8 + 0.32 * len(layers))
    before = (layers - 1) * (attention + convolution)
    axes.barh(layers, before, color=style.FAINT, label="through the layers below")
    text = f"attention: {tokens[0]} tokens back"
    axes.barh(layers, attention, left=before, color=style.LOCAL_COLOUR, label=text)
    left, text = before + attention, f"convolution: {tokens[1]} tokens back"
    axes.barh(layers, convolution, left=left, color=style.GLOBAL_COLOUR, label=text)
    axes.barh(0, 2 * TOKEN, left=-TOKEN, color=style.AUDIO_TOKEN, label="a token itself: 7 frames, 80 ms")
    for layer, back in enumerate(seconds_heard(config)[1:], start=1):
        axes.text(back, layer, f"{back:.1f} s ", ha="right", va="center", fontsize=style.SMALL)
    axes.set_yticks(range(len(layers) + 1), ["input", *map(str, layers)])
    axes.set_xlim(1.12 * total, -0.12)  # from the past to now
    style.legend(axes, loc="lower left")
    return figure
