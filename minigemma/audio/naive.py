"""The clever parts of the sound encoder again, in loops: slower, and nothing in them is clever.

Each does exactly what its twin does, which the tests check and a notebook can show side by side.
"""

from __future__ import annotations

import numpy as np

from minigemma.config import AudioConfig
from minigemma.ops import soft_cap, softmax


def magnitudes(frame: np.ndarray, size: int = 512) -> np.ndarray:
    """Twin of ``abs(np.fft.rfft(frame, size))``: how much of each frequency a frame (samples,) holds, (size / 2 + 1,).

    Frequency f turns f times in ``size`` samples; the frame is compared with its cosine and its sine.
    """
    out = np.zeros(size // 2 + 1)
    for f in range(len(out)):
        angle = 2 * np.pi * f * np.arange(len(frame)) / size
        out[f] = np.hypot((frame * np.cos(angle)).sum(), (frame * np.sin(angle)).sum())
    return out


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Twin of ``subsampling.convolve``: x (time, frequency, C in), kernel (C out, C in, 3, 3), stride 2, border 1."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    times, frequencies = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
    out = np.zeros((times, frequencies, len(kernel)), x.dtype)
    for t in range(times):
        for f in range(frequencies):
            patch = padded[2 * t : 2 * t + 3, 2 * f : 2 * f + 3]  # (3, 3, C in)
            for c in range(len(kernel)):
                out[t, f, c] = (patch * kernel[c].transpose(1, 2, 0)).sum()
    return out


def depthwise(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Twin of ``conformer.depthwise``: x (T, D), kernel (D, taps); the last tap falls on the token itself."""
    out = np.zeros_like(x)
    taps = kernel.shape[1]
    for t in range(len(x)):
        for k in range(taps):
            past = t - (taps - 1) + k
            if past >= 0:
                out[t] += x[past] * kernel[:, k]
    return out


def relative_shift(products: np.ndarray, context: int) -> np.ndarray:
    """Twin of ``attention.relative_shift``: (C, R) -> (C, S); query i finds row r at its key i + r."""
    chunk, rows = products.shape
    out = np.zeros((chunk, context), products.dtype)
    for i in range(chunk):
        for r in range(rows):
            if i + r < context:
                out[i, i + r] = products[i, r]
    return out


def visible(tokens: int, config: AudioConfig) -> np.ndarray:
    """Twin of ``attention.visible`` over the whole sound: (T, T) bool, a band of 12 below the diagonal."""
    out = np.zeros((tokens, tokens), bool)
    for t in range(tokens):
        for s in range(tokens):
            out[t, s] = 0 <= t - s < config.attention_context_left - 1 or 0 < s - t < config.attention_context_right
    return out


def attend(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, relative_keys: np.ndarray, config: AudioConfig
) -> np.ndarray:
    """Twin of ``attention.attend_in_blocks`` with every query against every key: (T, H, K) -> (T, H, K), O(T²)."""
    tokens = len(queries)
    scores = np.einsum("thk,shk->hts", queries, keys)  # (H, T, T)
    farthest = config.attention_context_left - 1  # row 0 of relative_keys stands for this distance
    for t in range(tokens):
        for s in range(tokens):
            row = farthest - (t - s)
            if 0 <= row < len(relative_keys):
                scores[:, t, s] += (queries[t] * relative_keys[row]).sum(axis=-1)
    scores = soft_cap(scores, config.attention_logit_cap)
    pattern = softmax(np.where(visible(tokens, config), scores, config.attention_invalid_logits_value))
    return np.einsum("hts,shk->thk", pattern, values)
