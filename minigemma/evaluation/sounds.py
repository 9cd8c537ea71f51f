"""Spoken clips kept small (a rounded cosine transform), and made rougher: gain, silence and noise."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct, idct

RATE = 16_000


BLOCK = 256  # samples whose spectrum is rounded together: 16 ms
STEP = 0.02  # what a coefficient is rounded to; the error is noise about 30 dB below the speech


def to_codes(waveform: np.ndarray) -> np.ndarray:
    """(samples,) in [-1, 1] -> (blocks, 256) int16, mostly zeros: the cosine transform of each block, rounded."""
    blocks = np.pad(waveform, (0, -len(waveform) % BLOCK)).reshape(-1, BLOCK)
    return np.round(dct(blocks, norm="ortho", axis=1) / STEP).astype(np.int16)


def from_codes(codes: np.ndarray) -> np.ndarray:
    """The waveform (256 * blocks,) float32 that codes (blocks, 256) stand for."""
    return idct(codes * np.float32(STEP), norm="ortho", axis=1).ravel()


def with_noise(waveform: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(samples,) -> float32 in [-1, 1]: a random gain, silence around it, and noise 10 to 40 dB below the speech."""
    x: np.ndarray = np.pad(waveform.astype(np.float32), random.integers(0, 3200, 2))
    x *= random.uniform(0.2, 0.9) / max(np.abs(x).max(), 1e-3)
    level = np.sqrt((x**2).mean()) * 10 ** (-random.uniform(10, 40) / 20)
    noise: np.ndarray = random.standard_normal(len(x)).astype(np.float32)
    if random.random() < 0.5:  # darker noise
        noise = np.convolve(noise, np.ones(4, np.float32) / 2, "same")
    return np.clip(x + level * noise, -1, 1).astype(np.float32)
