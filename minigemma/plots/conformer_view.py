"""A head of the Conformer over a sound, and how far a change in the sound travels through the layers."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minigemma.audio.numbers import QueryScores, layer_reach
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.timeline import TOKEN, draw_mel, outline, pitch_ticks

HERE = style.IMAGE_TOKEN
MOST = 100  # soft tokens shown around the query: 4 s


def sound_head(
    mel: np.ndarray,
    pattern: np.ndarray,
    scores: QueryScores,
    token: int,
    config: AudioConfig | None = None,
    *,
    title: str = "",
    note: str = "",
) -> Figure:
    """One head over the whole sound, and one of its queries: whom it sees, what it finds there, what it takes.

    mel (frames, bins), pattern (T, T), scores: of ``audio.numbers.query_scores``. Of a long sound 4 s
    around the query are shown.
    """
    config = config or AudioConfig()
    tokens = len(pattern)
    if not 0 <= token < tokens:
        raise InputError(f"token {token} of a sound with {tokens} soft tokens; expected 0 to {tokens - 1}")
    span = ((token - scores.distance.max() - 0.5) * TOKEN, (token + 0.5) * TOKEN)  # of its keys
    figure = style.Picture(figsize=(11.2, 7.75), dpi=100, facecolor="white")
    axes = style.panel(figure, (0.95, 5.88, 4.9, 1.4), title, y="kHz, mel scale", frame=False)
    draw_mel(axes, mel)
    axes.set_yticks(*(part[1::2] for part in pitch_ticks()))
    axes.tick_params(labelbottom=False)
    axes.add_patch(outline(span[0], -0.5, span[1] - span[0], mel.shape[1], edgecolor="white", lw=1.5, ls="--"))
    axes.add_patch(outline((token - 0.5) * TOKEN, -0.5, TOKEN, mel.shape[1], edgecolor=HERE, lw=2))

    shown = _pattern(figure, pattern, token, span, config)
    axes.set_xlim(shown)
    if tokens > MOST:
        note = f"{MOST} of {tokens} soft tokens are shown. {note}"
    _query(figure, scores, token)
    if note:
        figure.text(0.01, 0.01, note, fontsize=style.SMALL, color=style.MUTED)
    return figure


def _pattern(figure: Figure, pattern: np.ndarray, token: int, keys: tuple, config: AudioConfig) -> tuple[float, float]:
    """The pattern with its blocks, and the query's keys (from, to) in it; returns the seconds shown."""
    tokens, chunk, past = len(pattern), config.attention_chunk_size, config.attention_context_left - 1
    first = max(0, min(token - MOST // 2, tokens - MOST))
    axes = style.panel(figure, (0.95, 0.78, 4.9, 4.9), "", "key (s)", "query (s)", frame=False)
    back = np.arange(tokens)[:, None] - np.arange(tokens)  # from query to key
    edge = (-TOKEN / 2, (tokens - 0.5) * TOKEN)
    drawn = np.where((back >= 0) & (back < past), pattern, np.nan)
    image = style.heatmap(axes, drawn, style.scaled(pattern, "sqrt"), extent=(*edge, *edge[::-1]))
    for start in range(first // chunk * chunk, min(first + MOST, tokens), chunk):
        height = (min(start + chunk, tokens) - start) * TOKEN
        corner = ((start - past - 0.5) * TOKEN, (start - 0.5) * TOKEN)
        axes.add_patch(outline(*corner, (past + chunk) * TOKEN, height, edgecolor=style.MUTED, lw=0.8))
    axes.add_patch(outline(keys[0], (token - 0.5) * TOKEN, keys[1] - keys[0], TOKEN, edgecolor=HERE, lw=2))
    shown = ((first - 0.5) * TOKEN, (min(first + MOST, tokens) - 0.5) * TOKEN)
    axes.set(xlim=shown, ylim=shown[::-1])
    wide, tall = figure.get_size_inches()
    bar = figure.colorbar(image, cax=figure.add_axes((6.0 / wide, 0.78 / tall, 0.14 / wide, 4.9 / tall)))
    bar.set_label("attention weight", fontsize=style.TEXT, color=style.INK)
    bar.ax.tick_params(labelsize=style.SMALL, color=style.MUTED, labelcolor=style.INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return shown


def _query(figure: Figure, scores: QueryScores, token: int) -> None:
    """Right column: the two parts of the scores, and the weights, by distance."""
    back = scores.distance
    top = style.panel(figure, (7.6, 4.13, 3.4, 3.15), f"Query {token}: scores", y="score")
    top.bar(back - 0.2, scores.content, width=0.4, color=style.ACTIVATIONS, label="found in the key")
    top.bar(back + 0.2, scores.by_distance, width=0.4, color=style.WEIGHTS, label="found in the distance")
    top.plot(back, scores.capped, "o", color=style.INK, markersize=4, label="sum, capped")
    top.axhline(0, color=style.MUTED, linewidth=0.8)
    low, high = top.get_ylim()
    top.set_ylim(low, high + 0.45 * (high - low))
    style.legend(top, loc="upper right")
    below = style.panel(figure, (7.6, 0.78, 3.4, 2.5), "weights", "tokens back (40 ms each)", "weight")
    below.bar(back, scores.weights, width=0.7, color=HERE)
    below.set_ylim(0, 1)
    for part in (top, below):
        part.set_xticks(range(0, 12, 1))
        part.set_xlim(11.6, -0.6)  # the past to the left, as in the other pictures


def sound_spread(change: np.ndarray, changed: int, config: AudioConfig | None = None) -> Figure:
    """How much each soft token changes after each layer when one of them is another before the first; grey: not at all.

    change (layers + 1, T): relative, the first row before the first layer. changed: the token.
    """
    config = config or AudioConfig()
    rows, tokens = change.shape
    reach = sum(layer_reach(config))
    title = f"Soft token {changed} is changed: {reach} tokens further with every layer"
    figure, axes = style.single(title, "soft token (40 ms each)", "after layer", width=9.6, height=1.9 + 0.4 * rows)
    image = style.heatmap(axes, np.where(change > 0, change, np.nan), style.scaled(change, "log"))
    style.colour_bar(figure, image, axes, "relative change", extend="min")
    ends = np.minimum(changed + reach * np.arange(rows), tokens - 1) + 0.5
    axes.step(
        [ends[0], *ends], [-0.5, *np.arange(0.5, rows)], where="post", color=style.INK, linewidth=2, clip_on=False
    )
    axes.axvline(changed - 0.5, color=style.INK, linewidth=2)
    axes.set_yticks(range(rows), ["input", *map(str, range(1, rows))])
    axes.set(xlim=(-0.5, tokens - 0.5), ylim=(rows - 0.5, -0.5))
    style.note(figure, "Grey: no change at all. Lines: the token itself, and what the layers promise.")
    return figure
