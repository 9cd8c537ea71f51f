"""The numbers behind the pictures of sound: lengths, spans, shapes, reach, costs. Exact for any weights.

Small pure functions, so that a notebook can call them, print them and assert on them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigemma.audio.attention import reach, visible
from minigemma.audio.mel import BINS, FFT, FLOOR, HOP, WINDOW, frame_count, frames, hann, mel_filter_bank
from minigemma.audio.subsampling import soft_token_count, token_frames
from minigemma.audio.waveform import LONGEST, SAMPLE_RATE
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.ops import soft_cap, softmax

TOKEN_SECONDS = 4 * HOP / SAMPLE_RATE  # from one soft token to the next: 0.04 s


class Lengths(NamedTuple):
    """How long a sound is at each stage."""

    samples: int  # at 16 kHz
    frames: int
    soft_tokens: int


def lengths(seconds: float) -> Lengths:
    """A sound of so many seconds, of which 30 are heard: 1 s is 16,000 samples, 99 frames, 25 soft tokens."""
    samples = min(round(seconds * SAMPLE_RATE), LONGEST)
    count = frame_count(samples)
    return Lengths(samples, count, soft_token_count(count))


class FrameStages(NamedTuple):
    """One mel frame on its way."""

    samples: np.ndarray  # (320,) 20 ms of sound, centred on sample 160 · frame
    windowed: np.ndarray  # (320,) faded in and out
    magnitudes: np.ndarray  # (257,) from 0 to 8 kHz, 31.25 Hz apart
    mel: np.ndarray  # (128,) gathered by the filters
    log_mel: np.ndarray  # (128,)


def frame_stages(waveform: np.ndarray, frame: int) -> FrameStages:
    """What becomes of one frame of a waveform (samples,) at 16 kHz; ``log_mel`` is row ``frame`` of the spectrogram."""
    count = frame_count(len(waveform))
    if not 0 <= frame < count:
        raise InputError(f"frame {frame} of a sound with {count} frames; expected 0 to {count - 1}")
    samples = frames(waveform)[frame]
    windowed = samples * hann()
    magnitudes = np.abs(np.fft.rfft(windowed, n=FFT))
    mel = magnitudes @ mel_filter_bank()
    return FrameStages(samples.copy(), windowed, magnitudes, mel, np.log(mel + FLOOR).astype(np.float32))


def token_samples(token: int) -> tuple[int, int]:
    """The samples that a soft token is made from before the Conformer, [first, last + 1): 7 frames, so 80 ms."""
    first, last = token_frames(token)
    return max(0, HOP * first - WINDOW // 2), HOP * last + WINDOW // 2


def frame_tokens(frame: int, tokens: int) -> tuple[int, int]:
    """The first and last of so many soft tokens that a mel frame goes into: one of them if 4 divides it, else two."""
    return -(-max(0, frame - 3) // 4), min((frame + 3) // 4, tokens - 1)


def stage_shapes(frames: int, config: AudioConfig, bins: int = BINS) -> dict[str, tuple[int, ...]]:
    """Shapes from spectrogram to encoder output, under the names of a trace."""
    half, tokens = -(-frames // 2), soft_token_count(frames)
    first, second = config.subsampling_conv_channels
    return {
        "mel": (frames, bins),
        "subsampling.conv0": (half, bins // 2, first),
        "subsampling.conv1": (tokens, bins // 4, second),
        "subsampling.output": (tokens, config.hidden_size),
        "output_projection": (tokens, config.output_proj_dims),
    }


def layer_reach(config: AudioConfig) -> tuple[int, int]:
    """How many tokens back a Conformer layer's attention and its convolution see: 11 and 4."""
    return config.attention_context_left - 2, config.conv_kernel_size - 1


def seconds_heard(config: AudioConfig) -> np.ndarray:
    """(layers + 1,): how far back a soft token has heard after each layer, in seconds; 7.2 after the twelfth."""
    return np.arange(config.num_hidden_layers + 1) * sum(layer_reach(config)) * TOKEN_SECONDS


def score_counts(tokens: int, config: AudioConfig) -> dict[str, int]:
    """Attention scores a head makes for so many soft tokens: every pair; in blocks; of those, the ones kept."""
    seen = visible(tokens, config)
    return {"every pair": tokens**2, "in blocks": seen.size, "kept": int(seen.sum())}


def scores_by_distance(distance: np.ndarray, tokens: int, config: AudioConfig) -> np.ndarray:
    """A trace's ``attention.distance`` (H, B, C, R) as (T, H, distances): what being 0, 1, … 11 tokens back adds."""
    flat = distance.reshape(len(distance), -1, distance.shape[-1])[:, :tokens]  # (H, T, R), row r is distance R - 1 - r
    return flat[:, :, ::-1][:, :, : reach(config)[0]].swapaxes(0, 1)


class QueryScores(NamedTuple):
    """One query of one head: what it finds in each key that it sees, from its own token (distance 0) back."""

    distance: np.ndarray  # (n,) 0, 1, …, at most 11
    content: np.ndarray  # (n,) query · key
    by_distance: np.ndarray  # (n,) query · what the distance stands for
    capped: np.ndarray  # (n,) their sum, between ±50
    weights: np.ndarray  # (n,) softmax of these


def query_scores(content: np.ndarray, shifted: np.ndarray, head: int, token: int, config: AudioConfig) -> QueryScores:
    """A query's scores from a trace: ``attention.content`` and ``.distance_shifted``, both (H, B, C, S)."""
    past, _ = reach(config)
    block, i = divmod(token, config.attention_chunk_size)
    distance = np.arange(min(token + 1, past))
    at = (head, block, i, i + past - distance)
    found = content[at], shifted[at]
    capped = soft_cap(found[0] + found[1], config.attention_logit_cap)
    return QueryScores(distance, *found, capped, softmax(capped))
