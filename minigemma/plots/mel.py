"""Pictures of how a mel-spectrogram is made: one frame step by step, and the filters that gather its frequencies."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigemma.audio.mel import FLOOR, HOP, SAMPLE_RATE, WINDOW, hann, mel_edges
from minigemma.audio.mel import mel_filter_bank as bank_of_filters
from minigemma.audio.numbers import frame_stages as stages_of_frame
from minigemma.plots import style
from minigemma.plots.timeline import PITCH, mark, pitch_ticks


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
