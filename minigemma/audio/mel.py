"""From waveform to log-mel-spectrogram: how much of each pitch there is, 100 times a second."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minigemma.audio.waveform import SAMPLE_RATE, Sound, prepare
from minigemma.errors import InputError

WINDOW = 320  # samples looked at for one frame: 20 ms
HOP = 160  # samples from one frame to the next: 10 ms
FFT = 512  # the window is padded with zeros to this length, which gives FFT / 2 + 1 = 257 frequencies
BINS = 128  # mel bins
FLOOR = 1e-3  # added before the logarithm, so that silence is ln(0.001) = -6.9


def log_mel(sound: Sound, sample_rate: int | None = None) -> np.ndarray:
    """Natural logarithm of the mel-spectrogram: (frames, 128) float32, one frame every 10 ms.

    sound: a waveform (samples,) or (samples, channels) with its sample_rate in Hz, or the path or bytes of a WAV file.
    Other rates than 16 kHz are resampled, channels averaged, and what comes after 30 s is left out with a warning.

    The reference pads the sound to a multiple of 128 samples, zeroes the frame this may add, and masks it in the
    encoder; here only whole frames of real samples exist, and the encoder's results are the same.
    Raises InputError if there is not a single frame (161 samples, 10 ms), for NaN, and for damaged files.
    Source: Gemma4AudioFeatureExtractor (magnitudes, not powers; HTK mel scale; additive floor).
    """
    waveform = prepare(sound, sample_rate)
    if frame_count(len(waveform)) == 0:
        raise InputError(f"the sound has {len(waveform)} samples at 16 kHz; one frame needs at least 161 (10 ms)")
    magnitudes = np.abs(np.fft.rfft(frames(waveform) * hann(), n=FFT))  # (frames, 257)
    return np.log(magnitudes @ mel_filter_bank() + FLOOR).astype(np.float32)  # (frames, 128)


def frame_count(samples: int) -> int:
    """How many frames so many samples at 16 kHz give: one every 160, the first from 161 on."""
    return max(0, (samples - 1) // HOP)


def frames(waveform: np.ndarray) -> np.ndarray:
    """Overlapping windows: (samples,) -> (frames, 320), a view. Frame i is centred on sample 160 i, so on 10 i ms."""
    padded = np.pad(waveform, (WINDOW // 2, 0))
    # One sample more than is used: the reference's windows hold 321, the last for a pre-emphasis that Gemma leaves out.
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW + 1)[::HOP, :-1]


def hann() -> np.ndarray:
    """The periodic Hann window ½ - ½ cos(2πn / 320), (320,) float32: fades each frame in and out."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """The HTK mel scale: linear below about 700 Hz, logarithmic above, as hearing is (O'Shaughnessy 1987)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of ``hz_to_mel``."""
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def mel_edges() -> np.ndarray:
    """(130,) Hz: bin m rises from edge m, peaks at edge m + 1 and falls to edge m + 2; even steps on the mel scale."""
    return mel_to_hz(np.linspace(hz_to_mel(0.0), hz_to_mel(SAMPLE_RATE / 2), BINS + 2))


@lru_cache(maxsize=1)
def mel_filter_bank() -> np.ndarray:
    """(257 frequencies, 128 bins) float64: the triangles that gather frequencies into mel bins.

    Frequencies are 31.25 Hz apart, low bins narrower than that: bin 0 falls between two of them and is all zero.
    """
    frequencies = np.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1)[:, None]  # (257, 1)
    edges = mel_edges()
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]  # (128,) each
    rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    bank.setflags(write=False)
    return bank
