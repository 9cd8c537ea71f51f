"""Pictures of the Conformer: whom a soft token sees, what each part of a block adds, how far back a layer has heard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from minigemma.audio.attention import relative_positions, visible
from minigemma.audio.naive import visible as visible_pairs
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.timeline import SECONDS, TOKEN, outline, over_time, rms, shape, typical

STEPS = {  # the parts of a Conformer block, in their order: name in the trace -> name in a picture
    "feed_forward_start": "½ feed-forward",
    "attention.output": "attention",
    "convolution": "convolution",
    "feed_forward_end": "½ feed-forward",
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
    figure = style.canvas(11.0, 6.2)
    shades = style.mpl.colors.ListedColormap([style.FAINT, style.AUDIO_TOKEN])
    for i, (title, seen) in enumerate(zip(titles, (causal, band), strict=True)):
        query = "" if i else "query (soft token)"
        axes = style.panel(figure, 121 + i, title, "key (soft token)", query, frame=False, aspect="equal")
        axes.imshow(seen, cmap=shades, vmin=0, vmax=1, interpolation="nearest")
        axes.set_xlim(-past - 1, tokens + 0.5)
        axes.set_ylim(blocks * chunk, -1)
    for start in range(0, tokens, chunk):
        axes.add_patch(outline(start - past - 0.5, start - 0.5, context, chunk, edgecolor=style.IMAGE_TOKEN, lw=2))
    at_30_s = -(-750 // chunk) * chunk * context
    style.note(figure, "Green: seen. Frames: one block each, a matrix product; beyond the sound's ends it holds zeros.")
    style.note(figure, f"A sound of 30 s has 750 tokens: {750**2:,} scores in full, {at_30_s:,} in blocks.")
    return figure


def conformer_path(tensors: Mapping[str, np.ndarray], layer: int = 0, prefix: str = "") -> Figure:
    """One Conformer block step by step: what each part adds to the stream, and how large both are.

    tensors: a Trace (or mapping) with ``layers.i.…`` and ``subsampling.output`` or the layer before it under ``prefix``
    (such as ``"audio.0."``); layer: i.
    """
    before = f"{prefix}layers.{layer - 1}.output" if layer else f"{prefix}subsampling.output"
    stream, after = tensors[before], tensors[f"{prefix}layers.{layer}.output"]
    added = [tensors[f"{prefix}layers.{layer}.{name}"] for name in STEPS]
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


def relative_bias(products: np.ndarray, config: AudioConfig | None = None) -> Figure:
    """What distance alone adds to a score: the table of positions, and each head's mean and spread over the tokens.

    products (T, H, R): queries · relative keys, row r standing for the distance R - 1 - r, for example
    ``np.einsum("thk,rhk->thr", trace["layers.0.attention.queries"], relative_keys)``.
    """
    config = config or AudioConfig()
    seen = config.attention_context_left - 1  # distances 0 to seen - 1
    by_distance = products[:, :, ::-1][:, :, :seen]  # (T, H, distance)
    distance = np.arange(by_distance.shape[2])
    figure = style.canvas(11.4, 4.8)
    grid = figure.add_gridspec(1, 2, width_ratios=(1, 1.5))
    table = relative_positions(config)[::-1]  # (R, D), distance 0 first
    title = f"The code of a distance: {shape(table)}"
    axes = style.panel(figure, grid[0], title, "dimension: sines, then cosines", "distance (tokens)")
    style.colour_bar(figure, style.heatmap(axes, table, style.centred(table, 1.0), style.SIGNED), axes, "value")
    title = "What distance adds to a score, by head"
    axes = style.panel(figure, grid[1], title, "distance to the key (tokens of 40 ms)", "added to the score")
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    for h in range(by_distance.shape[1]):
        colour, dash = style.SERIES[h % len(style.SERIES)], style.DASHES[h % len(style.DASHES)]
        middle = by_distance[:, h].mean(axis=0)
        low, high = np.quantile(by_distance[:, h], (0.25, 0.75), axis=0)
        axes.fill_between(distance, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(distance, middle, color=colour, linestyle=dash, linewidth=2, label=f"head {h}")
    axes.set_xticks(distance)
    style.legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    style.note(figure, "Lines: mean over the tokens. Bands: the middle half of them.")
    return figure


def receptive_field(config: AudioConfig | None = None) -> Figure:
    """How far back a soft token has heard after each layer, in seconds: attention reaches 11 tokens, convolution 4."""
    config = config or AudioConfig()
    attention, convolution = (tokens * TOKEN for tokens in reach_of_a_layer(config))  # s
    layers = np.arange(1, config.num_hidden_layers + 1)
    total = len(layers) * (attention + convolution)
    by = "{} + {}".format(*reach_of_a_layer(config))
    title = f"{len(layers)} layers × ({by}) tokens = {total / TOKEN:.0f} tokens: {total:.1f} s heard"
    figure, axes = style.single(title, "seconds before now", "after layer", width=8.8, height=1.8 + 0.32 * len(layers))
    before = (layers - 1) * (attention + convolution)
    axes.barh(layers, before, color=style.FAINT, label="through the layers below")
    axes.barh(
        layers,
        attention,
        left=before,
        color=style.LOCAL_COLOUR,
        label=f"attention: {attention / TOKEN:.0f} tokens back",
    )
    left = before + attention
    axes.barh(
        layers,
        convolution,
        left=left,
        color=style.GLOBAL_COLOUR,
        label=f"convolution: {convolution / TOKEN:.0f} tokens back",
    )
    axes.barh(0, 2 * TOKEN, left=-TOKEN, color=style.AUDIO_TOKEN, label="a token itself: 7 frames, 80 ms")
    for layer, back in zip(layers, left + convolution, strict=True):
        axes.text(back, layer, f"{back:.1f} s ", ha="right", va="center", fontsize=style.SMALL)
    axes.set_yticks(range(len(layers) + 1), ["input", *map(str, layers)])
    axes.set_xlim(1.12 * total, -0.12)  # from the past to now
    style.legend(axes, loc="lower left")
    return figure


def reach_of_a_layer(config: AudioConfig) -> tuple[int, int]:
    """How many tokens back a Conformer layer's attention and its convolution see: 11 and 4."""
    return config.attention_context_left - 2, config.conv_kernel_size - 1
