"""One moment of a sound followed through: a frame of 20 ms, or a soft token of 80 ms."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.audio.mel import BINS, FLOOR, SAMPLE_RATE, WINDOW
from minigemma.audio.numbers import frame_stages, frame_tokens, lengths, stage_shapes, token_samples
from minigemma.audio.subsampling import token_frames
from minigemma.audio.waveform import LONGEST
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.plots import style
from minigemma.plots.timeline import (
    LOUDNESS,
    SECONDS,
    TOKEN,
    draw_mel,
    envelope,
    mark,
    outline,
    over_time,
    pitch_ticks,
    shape,
    typical,
)

WIDE, LEFT = 9.0, 0.95  # inches: the panels over time, and where they begin
HERE = style.IMAGE_TOKEN
STAGES = {
    "mel": "mel-spectrogram",
    "subsampling.conv0": "1st convolution",
    "subsampling.conv1": "2nd convolution",
    "subsampling.output": "soft tokens",
    "output_projection": "after the\nConformer",
}


def frame_view(waveform: np.ndarray, mel: np.ndarray, soft: np.ndarray, frame: int, note: str = "") -> Figure:
    """A frame in the whole sound, its 20 ms, their frequencies, its mel bins, and the soft tokens it goes into.

    waveform (samples,) at 16 kHz, mel (frames, 128), soft (T, D): the tokens as the convolutions leave them.
    """
    stages = frame_stages(waveform, frame)
    first, last = frame_tokens(frame, len(soft))
    into = f"soft token {first}" if first == last else f"soft tokens {first} and {last}"
    title = f"Frame {frame}: 20 ms around {1000 * mark(frame):.0f} ms → {into}"
    figure, (left, middle, right) = _sound(waveform, mel, soft, (frame, frame), (first, last), title, note)
    moments = 1000 * mark(frame) + (np.arange(WINDOW) - WINDOW // 2) * 1000 / SAMPLE_RATE
    left.set_title("20 ms, faded in and out", fontsize=style.TEXT, loc="left")
    left.plot(moments, stages.samples, color=style.MUTED, linewidth=0.8, alpha=0.7)
    left.plot(moments, stages.windowed, color=style.AUDIO_TOKEN, linewidth=1.4)
    left.set_xlabel("time (ms)", fontsize=style.TEXT)
    middle.set_title(f"{len(stages.magnitudes)} magnitudes", fontsize=style.TEXT, loc="left")
    middle.fill_between(
        np.linspace(0, SAMPLE_RATE / 2000, len(stages.magnitudes)), stages.magnitudes, color=style.AUDIO_TOKEN
    )
    middle.set_xlabel("frequency (kHz)", fontsize=style.TEXT)
    middle.set_ylim(bottom=0)
    right.set_title(f"{BINS} mel bins, logarithm", fontsize=style.TEXT, loc="left")
    floor = float(np.log(FLOOR))
    right.fill_between(np.arange(BINS), stages.log_mel, floor, color=style.AUDIO_TOKEN, step="mid")
    right.set_ylim(floor, max(3.0, float(mel.max()) + 0.5))
    right.set_xticks(*_few(pitch_ticks()))
    right.set_xlabel("kHz, mel scale", fontsize=style.TEXT)
    return figure


def token_view(waveform: np.ndarray, mel: np.ndarray, soft: np.ndarray, token: int, note: str = "") -> Figure:
    """A soft token in the whole sound, its 80 ms, its 7 frames, and its vector. Arguments as ``frame_view``'s."""
    if not 0 <= token < len(soft):
        raise InputError(f"token {token} of a sound with {len(soft)} soft tokens; expected 0 to {len(soft) - 1}")
    first, last = token_frames(token)
    last = min(last, len(mel) - 1)
    start, stop = token_samples(token)
    title = f"Soft token {token}: frames {first} to {last} of the mel-spectrogram, {last - first + 1} × {BINS} numbers"
    figure, (left, middle, right) = _sound(waveform, mel, soft, (first, last), (token, token), title, note)
    piece = waveform[start:stop]
    left.set_title(f"{1000 * len(piece) / SAMPLE_RATE:.0f} ms of sound", fontsize=style.TEXT, loc="left")
    left.plot((start + np.arange(len(piece))) * 1000 / SAMPLE_RATE, piece, color=style.AUDIO_TOKEN, linewidth=1)
    left.set_xlabel("time (ms)", fontsize=style.TEXT)
    middle.set_title(f"its {last - first + 1} frames", fontsize=style.TEXT, loc="left")
    extent = (first - 0.5, last + 0.5, -0.5, BINS - 0.5)
    norm = style.mpl.colors.Normalize(float(mel.min()), float(mel.max()))
    style.heatmap(middle, mel[first : last + 1].T, norm, extent=extent, origin="lower")
    middle.set_yticks(*_few(pitch_ticks()))
    middle.set_xlabel("frame", fontsize=style.TEXT)
    style.whole_ticks(middle.xaxis)
    right.set_title(f"its vector: {soft.shape[1]} numbers", fontsize=style.TEXT, loc="left")
    right.bar(np.arange(soft.shape[1]), soft[token], width=1, color=style.AUDIO_TOKEN)
    reach = float(np.abs(soft).max()) or 1.0
    right.set_ylim(-reach, reach)
    right.set_xlabel("dimension", fontsize=style.TEXT)
    return figure


def _sound(waveform, mel, soft, frames, tokens, title, note) -> tuple[Figure, list[Axes]]:
    """The whole sound in three maps with the moment marked, and three empty panels for it between them."""
    figure = style.Picture(figsize=(11.2, 8.7), dpi=100, facecolor="white")
    seconds = max(len(waveform) / SAMPLE_RATE, TOKEN)
    span = (mark(frames[0] - 1), mark(frames[1] + 1))
    axes = style.panel(figure, (LEFT, 7.45, WIDE, 0.85), title, y="amplitude")
    start, low, high = envelope(waveform, SAMPLE_RATE)
    axes.axvspan(*span, color=HERE, alpha=0.6, linewidth=0)
    axes.fill_between(start, low, high, color=style.AUDIO_TOKEN, linewidth=0.5, edgecolor=style.AUDIO_TOKEN)
    axes.tick_params(labelbottom=False)

    below = style.panel(figure, (LEFT, 5.3, WIDE, 1.75), f"mel-spectrogram: {shape(mel)}", y="kHz, mel scale")
    image = draw_mel(below, mel)
    here = mark(frames[0] - 0.5)
    box = outline(here, -0.5, mark(frames[1] + 0.5) - here, mel.shape[1], edgecolor=HERE, lw=2, clip_on=False)
    below.add_patch(box)
    _bar(figure, image, (LEFT + WIDE + 0.15, 5.3, 0.14, 1.75), LOUDNESS.replace(" + ", "\n+ "))

    panels = [style.panel(figure, (LEFT + i * 3.2, 3.05, 2.6, 1.3)) for i in range(3)]
    panels[0].margins(x=0)
    for spine in (spine for part in panels for spine in part.spines.values()):
        spine.set_visible(True)
        spine.set_color(HERE)

    text = f"soft tokens before the Conformer: {shape(soft)}"
    last = style.panel(figure, (LEFT, 0.85, WIDE, 1.2), text, SECONDS, "dimension")
    image = over_time(last, soft.T, TOKEN, style.centred(soft, typical(soft)), style.SIGNED)
    wide = (tokens[1] - tokens[0] + 1) * TOKEN
    last.add_patch(outline((tokens[0] - 0.5) * TOKEN, -0.5, wide, soft.shape[1], edgecolor=HERE, lw=2, clip_on=False))
    _bar(figure, image, (LEFT + WIDE + 0.15, 0.85, 0.14, 1.2), "value")
    for part in (axes, below, last):
        part.set_xlim(-TOKEN / 2, seconds + TOKEN / 2)
    if note:
        figure.text(0.01, 0.01, note, fontsize=style.SMALL, color=style.MUTED)
    return figure, panels


def _few(ticks: tuple[np.ndarray, list[str]]) -> tuple[np.ndarray, list[str]]:
    """Every second pitch, from 0.5 kHz on: what a small panel has room for."""
    return ticks[0][1::2], ticks[1][1::2]


def _bar(figure: Figure, image, place: tuple[float, float, float, float], text: str) -> None:
    wide, tall = figure.get_size_inches()
    x, y, width, height = place
    cax = figure.add_axes((x / wide, y / tall, width / wide, height / tall))
    bar = figure.colorbar(image, cax=cax)
    bar.set_label(text, fontsize=style.SMALL, color=style.INK)
    cax.tick_params(labelsize=style.SMALL, color=style.MUTED, labelcolor=style.INK)
    bar.outline.set_visible(False)  # type: ignore[operator]


def sound_shapes(seconds: float, config: AudioConfig | None = None) -> Figure:
    """What a sound of so many seconds becomes: a box a stage, time to the right, frequency upwards, channels behind."""
    config = config or AudioConfig()
    samples, frames, tokens = lengths(seconds)
    if not tokens:
        raise InputError(f"{seconds:g} s are too short: one frame needs 161 samples, a hundredth of a second")
    shapes = stage_shapes(frames, config)
    figure = style.canvas(11.0, 5.0)
    grid = figure.add_gridspec(2, 1, height_ratios=(5, 1))
    heard = f", of which {LONGEST // SAMPLE_RATE} s are heard" if seconds * SAMPLE_RATE > LONGEST else ""
    title = f"{seconds:g} s{heard}: {samples:,} samples → {frames:,} frames of 10 ms → {tokens} soft tokens of 40 ms"
    axes = style.panel(figure, grid[0], title, frame=False, aspect="equal")
    x = 0.0
    for name, values in shapes.items():
        flat = len(values) == 2 and name != "mel"
        width, height = max(0.3, 3.2 * values[0] / frames), 0.14 if flat else 2.4 * values[1] / BINS
        depth = 0 if flat or name == "mel" else 5
        colour = style.AUDIO_TOKEN if flat else style.mpl.colormaps[style.MAGNITUDE](0.55)
        for layer in range(depth, -1, -1):
            place = (x + 0.07 * layer, (2.4 - height) / 2 + 0.07 * layer)
            axes.add_patch(Rectangle(place, width, height, facecolor=colour, edgecolor="white", lw=1))
        sizes = " × ".join(f"{n:,}" for n in values)
        axes.text(x + width / 2, -0.15, f"{STAGES[name]}\n{sizes}", ha="center", va="top", fontsize=style.TEXT)
        x += width + 1.35
    axes.set_xlim(-0.2, x - 0.3)
    axes.set_ylim(-0.95, 2.9)
    axes.set_xticks([])
    axes.set_yticks([])
    most = lengths(LONGEST / SAMPLE_RATE).soft_tokens
    axes = style.panel(figure, grid[1], "", f"soft tokens in the prompt, of {most} at most", "")
    axes.barh(0, tokens, color=style.AUDIO_TOKEN)
    axes.set_xlim(0, most)
    axes.set_yticks([])
    return figure
