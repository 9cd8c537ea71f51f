"""What the pictures of sound share: time in seconds to the right, and where mel frames and soft tokens lie on it.

Mel frame i stands for 10 i ms, soft token k for 40 k ms; a line between two tokens is drawn halfway.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from minigemma.audio.mel import BINS, HOP, SAMPLE_RATE, mel_edges
from minigemma.audio.numbers import TOKEN_SECONDS
from minigemma.plots import style

FRAME = HOP / SAMPLE_RATE  # s from one mel frame to the next
TOKEN = TOKEN_SECONDS  # s from one soft token to the next
SECONDS = "time (s)"
LOUDNESS = "ln(magnitude + 0.001)"
PITCH = "frequency (kHz, mel scale)"


def mark(frame: float) -> float:
    """The time that a mel frame stands for, in seconds."""
    return frame * FRAME


def envelope(waveform: np.ndarray, sample_rate: int, columns: int = 1200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(times, lowest, highest) of a waveform in at most ``columns`` pieces: what a screen can show of it."""
    starts = np.unique(np.linspace(0, len(waveform), min(columns, len(waveform)), endpoint=False).astype(int))
    return starts / sample_rate, np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)


def draw_mel(axes: Axes, mel: np.ndarray):
    """A mel-spectrogram (frames, bins), time to the right and pitch upwards; returns the image."""
    image = over_time(axes, mel.T, FRAME, None, style.MAGNITUDE)
    if mel.shape[1] == BINS:
        axes.set_yticks(*pitch_ticks())
    return image


def pitch_ticks() -> tuple[np.ndarray, list[str]]:
    """Where along the mel bins a few frequencies lie, and their labels in kHz."""
    khz = np.array([0.25, 0.5, 1, 2, 4, 7.5])
    return np.interp(khz * 1000, mel_edges()[1:-1], np.arange(BINS)), [f"{f:g}" for f in khz]


def token_lines(axes: Axes, tokens: int, most: int = 80) -> str:
    """Thin lines between soft tokens, or when there are too many, every few; returns the sentence that says so."""
    step = -(-tokens // most)
    for k in range(step, tokens, step):
        axes.axvline((k - 0.5) * TOKEN, color="white", linewidth=0.6, alpha=0.5)
    return "White lines part them." if step == 1 else f"White lines stand after every {step} tokens."


def over_time(axes: Axes, values: np.ndarray, step: float, norm, colours: str):
    """values (rows, steps in time), row 0 at the bottom, each column centred on its time; returns the image."""
    rows, steps = values.shape
    extent = (-step / 2, (steps - 0.5) * step, -0.5, rows - 0.5)
    return style.heatmap(axes, values, norm, colours, extent=extent, origin="lower")


def outline(x: float, y: float, width: float, height: float, **options) -> Rectangle:
    """An empty rectangle, to be added to axes."""
    return Rectangle((x, y), width, height, fill=False, **options)


def shape(x: np.ndarray) -> str:
    """(298, 128) as 298 × 128."""
    return " × ".join(f"{n:,}" for n in x.shape)


def typical(x: np.ndarray) -> float:
    """The size that 99.5 % of all entries stay within, so that a few large ones do not bleach a picture."""
    return float(np.quantile(np.abs(x), 0.995))


def corner(axes: Axes, text: str) -> None:
    """A label in the upper right corner of a picture, legible on any colour."""
    box = {"facecolor": style.INK, "alpha": 0.6, "edgecolor": "none", "pad": 2}
    where: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top"}
    axes.text(0.98, 0.95, text, color="white", fontsize=style.SMALL, bbox=box, **where)
