"""Pictures of a sound: the waveform, its mel-spectrogram, what the convolutions make of it, what looks at it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigemma.audio.mel import FLOOR, HOP, SAMPLE_RATE, WINDOW, hann, mel_edges
from minigemma.audio.mel import mel_filter_bank as bank_of_filters
from minigemma.audio.numbers import frame_stages as stages_of_frame
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
    pitch_ticks,
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


def frame_stages(waveform: np.ndarray, frame: int) -> Figure:
    """One mel frame on its way: 20 ms cut out, faded in and out, taken apart into frequencies, gathered by the filters.

    waveform (samples,) at 16 kHz in [-1, 1]; frame: its number, 10 ms apart.
    """
    stages = stages_of_frame(waveform, frame)
    centre = 1000 * mark(frame)  # ms
    around = np.arange(max(0, HOP * frame - 3 * WINDOW), min(len(waveform), HOP * frame + 3 * WINDOW))
    moments = (np.arange(WINDOW) - WINDOW // 2) * 1000 / SAMPLE_RATE + centre
    figure = style.canvas(11.0, 7.2)
    grid = figure.add_gridspec(3, 2)

    axes = style.panel(figure, grid[0, :], f"1. Frame {frame}: 20 ms of sound around {centre:.0f} ms", y="amplitude")
    axes.axvspan(moments[0], moments[-1], color=style.IMAGE_TOKEN, alpha=0.3, linewidth=0)
    axes.plot(1000 * around / SAMPLE_RATE, waveform[around], color=style.AUDIO_TOKEN, linewidth=1)
    axes.set_xlabel("time (ms)", fontsize=style.TEXT)
    axes.margins(x=0)

    axes = style.panel(figure, grid[1, 0], "2. Faded in and out by the Hann window", "time (ms)", "amplitude")
    reach = float(np.abs(stages.samples).max()) or 1.0
    axes.fill_between(moments, -reach * hann(), reach * hann(), color=style.FAINT, label="window")
    axes.plot(moments, stages.windowed, color=style.AUDIO_TOKEN, linewidth=1.4)
    axes.margins(x=0)

    khz = np.linspace(0, SAMPLE_RATE / 2000, len(stages.magnitudes))
    title = f"3. Fourier transform: {len(khz)} magnitudes"
    axes = style.panel(figure, grid[1, 1], title, "frequency (kHz)", "magnitude")
    axes.fill_between(khz, stages.magnitudes, color=style.AUDIO_TOKEN)
    axes.set_xlim(0, khz[-1])
    axes.set_ylim(bottom=0)

    title = f"4. Gathered by {len(stages.mel)} filters"
    _by_bin(style.panel(figure, grid[2, 0], title, PITCH, "magnitude"), stages.mel, 0.0)
    title = "5. Logarithm: one column of the spectrogram"
    _by_bin(
        style.panel(figure, grid[2, 1], title, PITCH, "ln(magnitude\n+ 0.001)"), stages.log_mel, float(np.log(FLOOR))
    )
    return figure


def _by_bin(axes: Axes, values: np.ndarray, floor: float) -> None:
    axes.fill_between(np.arange(len(values)), values, floor, color=style.AUDIO_TOKEN, step="mid")
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylim(bottom=floor)
    axes.set_xticks(*pitch_ticks())


def mel_filter_bank() -> Figure:
    """The 128 triangles that gather 257 frequencies into mel bins, and why the first of them gathers nothing."""
    edges = mel_edges()
    figure = style.canvas(9.6, 6.2)
    grid = figure.add_gridspec(2, 1)
    title = "128 mel filters: narrow and many below, wide and few above"
    axes = style.panel(figure, grid[0], title, "frequency (kHz)", "weight")
    shades = style.mpl.colormaps[style.MAGNITUDE](np.linspace(0, 0.9, len(edges) - 2))
    for m, shade in enumerate(shades):
        axes.plot(edges[m : m + 3] / 1000, (0, 1, 0), color=shade, linewidth=2.2 if m % 8 == 0 else 0.5)
    axes.set_xlim(0, SAMPLE_RATE / 2000)
    title = "The lowest ten, and the frequencies that an FFT of 512 samples has"
    _lowest_filters(style.panel(figure, grid[1], title, "frequency (Hz)", "weight"), edges)
    style.note(figure, "Above: every eighth filter is drawn thick. Below: dots are the weights that count.")
    style.note(figure, "Filter 0 ends before the first frequency, 31.25 Hz, so its bin is always empty.")
    return figure


def _lowest_filters(axes: Axes, edges: np.ndarray, count: int = 10) -> None:
    frequencies = np.arange(6) * SAMPLE_RATE / 512
    for f in frequencies:
        axes.axvline(f, color=style.MUTED, linewidth=0.8, zorder=0)
    for m in range(count):
        colour = style.SERIES[m % len(style.SERIES)]
        axes.plot(edges[m : m + 3], (0, 1, 0), color=colour, linewidth=1.8)
        axes.text(edges[m + 1], 1.04, str(m), color=colour, ha="center", fontsize=style.SMALL)
        weights = bank_of_filters()[: len(frequencies), m]
        axes.plot(frequencies[weights > 0], weights[weights > 0], "o", color=colour, markersize=8)
    axes.set_xlim(-4, edges[count + 2])
    axes.set_ylim(-0.03, 1.2)


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
