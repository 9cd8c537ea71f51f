"""Pictures of a sound: the waveform, its mel-spectrogram, what the convolutions make of it, what looks at it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minigemma.audio.mel import SAMPLE_RATE, WINDOW
from minigemma.audio.subsampling import soft_token_count, token_frames
from minigemma.audio.waveform import LONGEST, mono
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.timeline import (
    FRAME,
    LOUDNESS,
    PITCH,
    SECONDS,
    TOKEN,
    corner,
    draw_mel,
    envelope,
    mark,
    outline,
    over_time,
    shape,
    token_lines,
    typical,
)


def waveform_and_mel(waveform: np.ndarray, sample_rate: int, mel: np.ndarray) -> Figure:
    """The waveform above its mel-spectrogram, with the boundaries of the soft tokens.

    waveform (samples,) or (samples, channels) in [-1, 1] at sample_rate Hz, mel (frames, bins) of the same sound.
    """
    waveform = mono(waveform)
    figure = style.canvas(9.6, 5.4)
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 2))
    tokens = soft_token_count(len(mel))
    seconds = len(waveform) / sample_rate
    heard = f", of which {LONGEST // SAMPLE_RATE} s are heard" if seconds * SAMPLE_RATE > LONGEST else ""
    title = f"{seconds:.2f} s = {len(waveform):,} samples{heard} → {len(mel):,} frames → {tokens} soft tokens"
    axes = style.panel(figure, grid[0], title, y="amplitude")
    start, low, high = envelope(waveform[: LONGEST * sample_rate // SAMPLE_RATE], sample_rate)
    axes.fill_between(start, low, high, color=style.AUDIO_TOKEN, linewidth=0.5, edgecolor=style.AUDIO_TOKEN)
    axes.axhline(0, color=style.MUTED, linewidth=0.5)
    below = style.panel(figure, grid[1], x=SECONDS, y=PITCH, sharex=axes)
    axes.tick_params(labelbottom=False)
    image = draw_mel(below, mel)
    style.colour_bar(figure, image, [axes, below], LOUDNESS)
    style.note(figure, f"Soft tokens are 40 ms apart. {token_lines(below, tokens)}")
    return figure


def token_span(mel: np.ndarray, token: int) -> Figure:
    """What one soft token is made from before the Conformer: 7 frames of the mel-spectrogram (frames, bins)."""
    tokens = soft_token_count(len(mel))
    if not 0 <= token < tokens:
        raise InputError(f"token {token} of a sound with {tokens} soft tokens; expected 0 to {tokens - 1}")
    first, last = token_frames(token)
    last = min(last, len(mel) - 1)
    figure, axes = style.single("", SECONDS, PITCH, width=9.6, height=4.2)
    text = f"Soft token {token} of {tokens}: frames {first} to {last}, {mark(first - 1):.2f} to {mark(last + 1):.2f} s"
    axes.set_title(text, fontsize=style.TITLE, loc="left")
    style.colour_bar(figure, draw_mel(axes, mel), axes, LOUDNESS)
    told = token_lines(axes, tokens)
    bins = mel.shape[1]
    axes.add_patch(
        outline(mark(first - 0.5), -0.5, (last - first + 1) * FRAME, bins, edgecolor=style.IMAGE_TOKEN, lw=3)
    )
    looks = f"Each frame looks at {1000 * WINDOW / SAMPLE_RATE:.0f} ms of sound; neighbouring tokens share 3 frames."
    style.note(figure, f"{looks} {told}")
    return figure


def sound_attention(
    mel: np.ndarray, weights: np.ndarray, queries: Sequence[str] | None = None, *, title: str = "Attention to the sound"
) -> Figure:
    """How much something looks at each soft token, above the mel-spectrogram it was made from.

    mel (frames, bins); weights (n,) or (Q, n) with n soft tokens; queries: Q labels, such as the tokens that look.
    """
    weights = np.atleast_2d(np.asarray(weights))
    tokens = soft_token_count(len(mel))
    if weights.ndim != 2 or weights.shape[1] != tokens:
        raise InputError(f"weights {weights.shape} for {len(mel)} mel frames; expected (Q, {tokens}) or ({tokens},)")
    if queries is not None and len(queries) != len(weights):
        raise InputError(f"{len(queries)} labels for {len(weights)} rows of weights")
    rows = style.cell_inches(len(weights), 3.6, 1.1)
    figure = style.canvas(9.6, rows + 4.0)
    grid = figure.add_gridspec(2, 1, height_ratios=(rows, 2.6))
    axes = style.panel(figure, grid[0], title, frame=len(weights) == 1)
    axes.tick_params(labelbottom=False)
    if len(weights) == 1:
        axes.bar(np.arange(tokens) * TOKEN, weights[0], width=0.9 * TOKEN, color=style.AUDIO_TOKEN)
        axes.set_ylabel("weight" if queries is None else style.printable(queries[0]), fontsize=style.TEXT)
    else:
        extent = (-TOKEN / 2, (tokens - 0.5) * TOKEN, len(weights) - 0.5, -0.5)
        image = style.heatmap(axes, weights, style.scaled(weights), extent=extent)
        style.colour_bar(figure, image, axes, "attention weight")
        told = style.token_ticks(axes, queries or [str(i) for i in range(len(weights))], "y", rows)
        if told:
            style.note(figure, told)
    below = style.panel(figure, grid[1], x=SECONDS, y=PITCH, sharex=axes)
    style.colour_bar(figure, draw_mel(below, mel), below, LOUDNESS)
    style.note(figure, f"Soft tokens are 40 ms apart. {token_lines(below, tokens)}")
    return figure


def convolution_stages(
    mel: np.ndarray, conv0: np.ndarray, conv1: np.ndarray, output: np.ndarray, *, channels: int = 3
) -> Figure:
    """What each convolution does to the spectrogram: fewer steps in time and frequency, more channels.

    mel (frames, bins), conv0 (frames / 2, bins / 2, C), conv1 (frames / 4, bins / 4, C), output (T, D), as traced under
    ``subsampling``. Of each convolution the ``channels`` that vary most are shown, all with one scale.
    """
    figure = style.canvas(11.0, 9.4)
    grid = figure.add_gridspec(4, channels, height_ratios=(1.2, 1, 1, 1.2))
    axes = style.panel(figure, grid[0, :], f"mel-spectrogram: {shape(mel)}, a step is 10 ms", y="kHz")
    style.colour_bar(figure, draw_mel(axes, mel), axes, LOUDNESS)
    for row, (name, part) in enumerate((("first", conv0), ("second", conv1)), start=1):
        chosen = np.sort(np.argsort(-part.var(axis=(0, 1)), kind="stable")[:channels])
        norm = style.scaled(part[:, :, chosen])
        panels = []
        for column, channel in enumerate(chosen):
            text = f"{name} convolution: {shape(part)}, {20 * row} ms" if column == 0 else ""
            panels.append(style.panel(figure, grid[row, column], text, y="frequency step" if column == 0 else ""))
            image = over_time(panels[-1], part[:, :, channel].T, 2**row * FRAME, norm, style.MAGNITUDE)
            if column:
                panels[-1].tick_params(labelleft=False)
            corner(panels[-1], f"channel {channel}")
        style.colour_bar(figure, image, panels, "after ReLU", aspect=14)
    text = f"soft tokens before the Conformer: {shape(output)}, a step is 40 ms"
    axes = style.panel(figure, grid[3, :], text, SECONDS, "dimension")
    image = over_time(axes, output.T, TOKEN, style.centred(output, typical(output)), style.SIGNED)
    style.colour_bar(figure, image, axes, "value")
    style.note(figure, f"Of each convolution the {channels} channels that vary most are shown.")
    return figure
