"""Two strided convolutions over the spectrogram: 10 ms frames become 40 ms tokens, 128 mel bins become 32."""

from __future__ import annotations

import numpy as np

from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.ops import layer_norm, linear
from minigemma.trace import Watch, unwatched

TILE = 32  # steps in time convolved at once


def soft_token_count(frames: int) -> int:
    """How many soft tokens so many mel frames become: halved twice, rounded up (25 tokens a second)."""
    return -(-frames // 4)


def token_frames(token: int) -> tuple[int, int]:
    """The first and last mel frame that a soft token is made from before the Conformer: 4k - 3 to 4k + 3."""
    return max(0, 4 * token - 3), 4 * token + 3


def subsample(mel: np.ndarray, weights: Weights, config: AudioConfig, watch: Watch = unwatched) -> np.ndarray:
    """(frames, bins) -> (T, D). Twice: convolution, LayerNorm over the channels, ReLU; then a linear layer.

    The reference multiplies padding by zero before each convolution. Here nothing is padded but the border that the
    convolution itself needs, which is zero as well, so that the two agree in every real token.
    Source: Gemma4AudioSubSampleConvProjection.
    """
    check(mel, weights["input_proj_linear.weight"].shape[1] // config.subsampling_conv_channels[1] * 4)
    x = mel[:, :, None]  # (frames, bins, 1): an image with one channel
    for i in range(2):
        x = convolve(x, weights[f"layer{i}.conv.weight"])  # (frames / 2, bins / 2, C), then / 4
        x = layer_norm(x, weights[f"layer{i}.norm.weight"], config.rms_norm_eps)
        x = watch(f"conv{i}", np.maximum(x, 0))
    x = x.reshape(len(x), -1)  # (T, bins / 4 * C), frequency by frequency
    return watch("output", linear(x, weights["input_proj_linear.weight"]))  # (T, D)


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A 3 × 3 convolution with stride 2 and a border of one zero, as one matrix product over patches.

    x (time, frequency, channels in), kernel (channels out, channels in, 3, 3) -> (time / 2, frequency / 2, channels
    out), rounded up. ``naive.convolve`` is the same in loops.
    """
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))[::2, ::2]  # (T, F, C, 3, 3), a view
    patches = patches.transpose(0, 1, 3, 4, 2)  # channels last, as they lie in memory: quicker to copy
    columns = kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))  # (9 · C, channels out)
    out = np.empty((*patches.shape[:2], len(kernel)), x.dtype)
    for start in range(0, len(out), TILE):  # a few times at once, so that the copied patches stay in the CPU's cache
        rows = patches[start : start + TILE].reshape(-1, len(columns))  # each patch is one row
        out[start : start + TILE] = (rows @ columns).reshape(-1, *out.shape[1:])
    return out


def check(mel: np.ndarray, bins: int) -> None:
    """InputError unless mel is (frames, bins), finite, with at least one frame."""
    if mel.ndim != 2 or mel.shape[1] != bins or len(mel) == 0:
        raise InputError(f"expected a log-mel-spectrogram (frames, {bins}) with a frame or more, got {mel.shape}")
    if not np.isfinite(mel).all():
        raise InputError("the log-mel-spectrogram holds NaN or infinity")
