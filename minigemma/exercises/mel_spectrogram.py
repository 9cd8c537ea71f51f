"""Exercises of the notebook on the way from a waveform to soft tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma.audio.mel import FFT, FLOOR, HOP, WINDOW, hann, hz_to_mel, mel_filter_bank
from minigemma.audio.numbers import lengths
from minigemma.audio.subsampling import token_frames
from minigemma.exercises import Verdict, judge_function

SAMPLES = np.array([161, 16_000, 38_560, 480_000])


def check_lengths(function: Callable[[int], tuple[int, int]]) -> Verdict:
    """``function(samples)`` -> (frames, soft tokens) of a sound of so many samples at 16 kHz, at most 480,000."""

    def of(frames, tokens):
        return [(frames(n), tokens(frames(n))) for n in SAMPLES]

    expected = [lengths(n / 16_000)[1:] for n in SAMPLES]

    def count(n):
        return (n - 1) // HOP

    mistakes = [
        (of(lambda n: n // HOP, lambda f: -(-f // 4)), "A frame needs one sample more than that: 161 for the first."),
        (of(lambda n: -(-n // HOP), lambda f: -(-f // 4)), "The last, incomplete frame is dropped, not filled up."),
        (of(lambda n: (n - WINDOW) // HOP + 1, lambda f: -(-f // 4)),
         "You forgot the 160 zeros that are put before the sound: the first frame is centred on sample 0."),
        (of(count, lambda f: f // 4), "Each convolution rounds up: a border of zeros completes the last step."),
        (of(count, lambda f: f), "Those are the frames; four of them become one soft token."),
    ]  # fmt: skip
    good = "30 s are 2,999 frames and 750 soft tokens, the most there can be."
    return judge_function(lambda: [function(int(n)) for n in SAMPLES], (), expected, good, mistakes, 0)


def check_mel(function: Callable[[np.ndarray], np.ndarray]) -> Verdict:
    """``function(hz)`` -> the HTK mel scale, 2595 · log10(1 + f / 700)."""
    hz = np.array([0.0, 100.0, 700.0, 1000.0, 4000.0, 8000.0])
    mistakes = [
        (2595 * np.log(1 + hz / 700), "That is the natural logarithm; with 2595 belongs the one to base 10."),
        (2595 * np.log10(np.maximum(hz, 1e-9) / 700), "Add 1 before the logarithm, so that 0 Hz is 0 mel."),
        (2595 * np.log10(1 + hz / 1000), "The bend is at 700 Hz."),
    ]
    good = "1,000 Hz are 1,000 mel: that fixes the 2595."
    return judge_function(function, (hz,), hz_to_mel(hz), good, mistakes)


def check_span(function: Callable[[int], tuple[int, int]]) -> Verdict:
    """``function(token)`` -> (from, to) in ms: the sound that a soft token, not one of the first, is made from."""
    tokens = (5, 12, 100)

    def of(before, after):
        return [(40 * k - before, 40 * k + after) for k in tokens]

    assert all(token_frames(k) == (4 * k - 3, 4 * k + 3) for k in tokens)
    mistakes = [
        (of(0, 40), "That is where the next token begins; a token is made from more than the step between two."),
        (of(20, 20), "That is the step of 40 ms, centred; the spans of two tokens overlap."),
        (of(30, 30), "Those are the marks of the seven frames; each frame looks 10 ms further to both sides."),
        (of(20, 60), "The middle of token k is frame 4k, at 40 k ms; three frames before it and three after it."),
        (of(30, 50), "Seven frames, three on each side of frame 4k: a kernel of 3 looks one step to each side."),
        ([(4 * k - 3, 4 * k + 3) for k in tokens], "Those are frames. A frame is 10 ms, and looks at 20."),
    ]
    good = "80 ms, so every moment is heard by two tokens."
    return judge_function(lambda: [function(k) for k in tokens], (), of(40, 40), good, mistakes, 0)


def check_log_mel(function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Verdict:
    """``function(frame, window, filters)``: samples (320,), window (320,), filters (257, 128) -> (128,) log-mel."""
    time = np.arange(WINDOW) / 16_000
    frame = (0.3 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 2500 * time)).astype(np.float32)

    def through(size=FFT, window=None, power=1, log=np.log, floor=lambda x: x + FLOOR):
        spectrum = np.abs(np.fft.rfft(frame * (hann() if window is None else window), n=size)) ** power
        filters = mel_filter_bank()
        return log(floor(spectrum @ filters[: len(spectrum)]))

    mistakes = [
        (through(power=2), "Those are powers; Gemma takes magnitudes, |z| and not |z|²."),
        (through(floor=lambda x: np.maximum(x, FLOOR)), "0.001 is added to every bin; you used it as a lower bound."),
        (through(log=np.log10), "The logarithm is the natural one."),
        (through(floor=lambda x: x + 1), "What is added before the logarithm is 0.001, not 1."),
        (through(window=1.0), "The frame was not faded: multiply it by the window first."),
        (through(floor=lambda x: x, log=lambda x: x), "The logarithm is missing: ln(mel + 0.001)."),
    ]
    good = "One column of the spectrogram."
    arguments = (frame, hann(), mel_filter_bank())
    return judge_function(function, arguments, through(), good, mistakes, 1e-4)
