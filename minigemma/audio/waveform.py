"""From a sound file or an array of samples to what the encoder expects: float32, one channel, 16 kHz, at most 30 s."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from minigemma.errors import InputError

SAMPLE_RATE = 16_000  # samples a second
LONGEST = 480_000  # samples: 30 s, which make 750 soft tokens
STREAMED = 0x7FFFF000  # sizes from here on are written by programs that did not know the length when they began
PLAIN = (1, 3, 0xFFFE)  # the codes of WAV formats that are read: PCM, float, and either with an extended header
CONVERT = "Convert it first, for example: ffmpeg -i INPUT -ar 16000 -ac 1 OUTPUT.wav"

Sound = np.ndarray | list | str | os.PathLike | bytes


def load(source: str | os.PathLike | bytes) -> tuple[np.ndarray, int]:
    """Read a WAV file (a path, or its bytes): PCM of 8, 16, 24 or 32 bits, or float; any rate, any number of channels.

    Returns the waveform, float32 in [-1, 1], (samples,) or (samples, channels), and its rate in Hz.
    Raises InputError for a missing, truncated or damaged file and for compressed formats.
    """
    from scipy.io import wavfile

    name = "the sound" if isinstance(source, bytes) else str(source)
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {name!r}: {error}") from error
    check_header(content, name)
    try:
        with warnings.catch_warnings():  # chunks of metadata and sizes of streams are not worth a warning
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, samples = wavfile.read(io.BytesIO(content))
        waveform = as_float(samples)
    except Exception as error:  # scipy meets damaged headers with half a dozen kinds of exception
        raise InputError(
            f"{name} cannot be read as a WAV file ({error}): its header is damaged, or it is not plain PCM or float. "
            f"{CONVERT}"
        ) from error
    return waveform, checked_rate(rate, name)


def check_header(content: bytes, name: str) -> None:
    """InputError if this is no WAV file, if it is cut off, or if its header contradicts itself (it would be noise)."""
    kind = content[:4]
    if kind not in (b"RIFF", b"RIFX", b"RF64"):
        raise InputError(f"{name} is not a WAV file: it begins with {kind!r}, not b'RIFF'. {CONVERT}")
    order: Literal["big", "little"] = "big" if kind == b"RIFX" else "little"
    whole = int.from_bytes(content[4:8], order)
    described = False
    for chunk, start, size in [(kind, 8, whole), *chunks(content, 8 + whole, order)]:
        if len(content) < start + size and size < STREAMED:
            raise InputError(f"{name} is cut off: its header promises {start + size} bytes, it has {len(content)}")
        if chunk == b"fmt " and size >= 16:
            described = True
            check_format(content[start : start + 16], order, name)
    if not described:
        raise InputError(f"the header of {name} is damaged: it does not describe the samples. {CONVERT}")


def chunks(content: bytes, end: int, order: Literal["big", "little"]) -> Iterator[tuple[bytes, int, int]]:
    """The parts of a WAV file up to byte ``end``: (what it is, where it starts, how long it says it is)."""
    at = 12
    while at + 8 <= min(len(content), end):
        size = int.from_bytes(content[at + 4 : at + 8], order)
        yield content[at : at + 4], at + 8, size
        at += 8 + size + size % 2


def check_format(chunk: bytes, order: Literal["big", "little"], name: str) -> None:
    """InputError if the 16 bytes that describe the samples contradict each other."""
    form = ">HHIIHH" if order == "big" else "<HHIIHH"
    code, channels, rate, a_second, block, bits = struct.unpack(form, chunk)
    if code in PLAIN and (block != channels * -(-bits // 8) or a_second != rate * block):
        raise InputError(
            f"the header of {name} contradicts itself: {channels} channels of {bits} bits at {rate} Hz, but {block} "
            f"bytes for one sample of each and {a_second} bytes a second. {CONVERT}"
        )


def as_float(samples: np.ndarray) -> np.ndarray:
    """Samples as float32 in [-1, 1]: integers are divided by their full scale (uint8 is centred on 128, as in WAV)."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i" and samples.itemsize <= 4:
        return (samples / float(2 ** (8 * samples.itemsize - 1))).astype(np.float32)
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large becomes infinite, which is refused later
            return samples.astype(np.float32)
    raise InputError(
        f"samples of type {samples.dtype} have no agreed full scale; give floats in [-1, 1], "
        "or integers as int8, int16, int32 or uint8"
    )


def prepare(sound: Sound, sample_rate: int | None = None) -> np.ndarray:
    """A sound as the encoder expects it: (samples,) float32 at 16 kHz, channels averaged, at most 30 s of it.

    sound: a path or the bytes of a WAV file (sample_rate=None), or an array (samples,) or (samples, channels) with its
    sample_rate in Hz. A longer sound is cut as the reference cuts it, with a warning. Raises InputError.
    """
    if isinstance(sound, str | os.PathLike | bytes):
        if sample_rate is not None:
            raise InputError("a sound file says its own sample rate: leave sample_rate out")
        waveform, rate = load(sound)
    else:
        if sample_rate is None:
            raise InputError("an array of samples needs its sample_rate in Hz, for example log_mel(waveform, 16000)")
        waveform, rate = as_float(array_of(sound)), checked_rate(sample_rate, "the sound")
    waveform = mono(waveform)
    seconds = len(waveform) / rate
    waveform = waveform[: 31 * rate]  # what will be heard, and some more, so that resampling never works in vain
    check(waveform)
    if rate != SAMPLE_RATE:
        from scipy.signal import resample_poly

        waveform = resample_poly(waveform, SAMPLE_RATE, rate).astype(np.float32)
    if len(waveform) > LONGEST:
        warnings.warn(f"the sound lasts {seconds:.1f} s; only its first 30 s are heard", stacklevel=3)
    return waveform[:LONGEST]


def array_of(sound: np.ndarray | list) -> np.ndarray:
    """The samples as an array; InputError for lists that make none."""
    try:
        return np.asarray(sound)
    except ValueError as error:
        raise InputError(f"the samples make no array (samples,) or (samples, channels): {error}") from error


def mono(waveform: np.ndarray) -> np.ndarray:
    """(samples,) or (samples, channels) -> (samples,), the mean of the channels."""
    if waveform.ndim == 1:
        return waveform
    if waveform.ndim == 2 and 1 <= waveform.shape[1] <= 32:
        return waveform.mean(axis=1)
    hint = "; transpose it" if waveform.ndim == 2 else ""
    raise InputError(f"a waveform is (samples,) or (samples, channels), this one is {waveform.shape}{hint}")


def checked_rate(rate: float, name: str) -> int:
    """The sample rate as an int, or InputError if no recording can have it."""
    if not (isinstance(rate, int | float | np.number) and 1000 <= rate <= 384_000 and int(rate) == rate):
        raise InputError(f"{name} has a sample rate of {rate!r}; expected a whole number of Hz from 1000 to 384000")
    return int(rate)


def check(waveform: np.ndarray) -> None:
    """InputError for a sound without samples, with NaN or infinity, or that is clearly not scaled to [-1, 1]."""
    if len(waveform) == 0:
        raise InputError("the sound is empty: it has no samples")
    bad = np.flatnonzero(~np.isfinite(waveform))
    if len(bad):
        raise InputError(f"{len(bad)} of {len(waveform)} samples are NaN or infinite, the first at index {bad[0]}")
    peak = float(np.abs(waveform).max())
    if peak > 64:
        raise InputError(f"samples reach {peak:.0f}, expected [-1, 1]: divide 16-bit samples by 32768")
