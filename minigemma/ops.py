"""The handful of operations everything else is made of, on float32 arrays whose last axis is the features."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from minigemma.threads import each_value, in_blocks


def rms_norm(x: np.ndarray, weight: np.ndarray | None = None, eps: float = 1e-6) -> np.ndarray:
    """Divide each vector by its root mean square, then scale it: ``x / sqrt(mean(x²) + eps) * weight``.

    x (..., D), weight (D,) or None for Gemma 4's scale-free norms (values, router, projectors).
    Unlike Gemma 1-3 the factor is ``weight``, not ``1 + weight``. Source: Zhang & Sennrich 2019; Gemma4RMSNorm.
    """
    normed = np.empty_like(x)

    def norm(x: np.ndarray, normed: np.ndarray) -> None:
        mean_square = np.vecdot(x, x)[..., None] / x.shape[-1]  # (..., 1)
        np.divide(x, np.sqrt(mean_square + eps), out=normed)
        if weight is not None:
            normed *= weight

    in_blocks(norm, x, normed)
    return normed


def layer_norm(x: np.ndarray, weight: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    """Subtract the mean, divide by the standard deviation, scale. x (..., D), weight (D,); Gemma 4 has no bias here."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...d,...d->...", centred, centred)[..., None] / x.shape[-1]
    centred *= 1.0 / np.sqrt(variance + np.float32(eps))  # in place: the sound encoder norms large arrays
    centred *= weight
    return centred


def gelu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """GELU in its tanh form (Hendrycks & Gimpel 2016, eq. 2), the one Gemma 4 uses everywhere. out: may be x."""
    y, scale = np.empty_like(x) if out is None else out, math.sqrt(2.0 / math.pi)

    def activate(x: np.ndarray, y: np.ndarray) -> None:
        inner = x * x
        inner *= 0.044715 * scale
        inner += scale
        inner *= x
        np.tanh(inner, out=inner)
        inner += 1.0
        inner *= 0.5
        np.multiply(inner, x, out=y)

    each_value(activate, x, y)
    return y


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ), through tanh so that no exponential overflows."""
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1.0))


def silu(x: np.ndarray) -> np.ndarray:
    """x · sigmoid(x), the activation of the sound encoder."""
    return x * sigmoid(x)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """exp(x) / Σ exp(x) along ``axis``; the maximum is subtracted first, so nothing overflows."""
    e = x - x.max(axis=axis, keepdims=True)
    np.exp(e, out=e)
    e /= e.sum(axis=axis, keepdims=True)
    return e


def soft_cap(x: np.ndarray, cap: float | None, out: np.ndarray | None = None) -> np.ndarray:
    """Squeeze x smoothly into (-cap, cap): ``cap * tanh(x / cap)``. None leaves x as it is. out: as in NumPy."""
    if cap is None:
        return x
    capped = np.divide(x, cap, out=out)
    np.tanh(capped, out=capped)
    capped *= cap
    return capped


FEW = 256  # tokens; up to here BLAS is 10 to 40 % faster with the larger matrix on the left
WIDER = 4  # times as wide as x: such a result stays as BLAS made it; to copy it would cost a fifth


def linear(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``x @ weight.T``: x (..., in), weight (out, in) as checkpoints store it -> (..., out). No bias in Gemma 4."""
    if x.ndim == 2 and 1 < len(x) <= FEW:
        return laid_out((weight @ x.T).T, x.shape[1])
    return x @ weight.T


def laid_out(y: np.ndarray, inputs: int) -> np.ndarray:
    """y (T, out), perhaps column after column in memory -> row after row, unless it is WIDER than its ``inputs``."""
    return y if y.shape[1] >= WIDER * inputs else np.ascontiguousarray(y)


def product(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """``linear(x, weights[name])``; a matrix that is not kept in memory passes through it in tiles: x (T, in)."""
    in_tiles = getattr(weights, "product", None)
    return in_tiles(x, name) if in_tiles else linear(x, weights[name])


def clip(x: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """x with values below ``low`` and above ``high`` replaced by these. out: as in NumPy."""
    out = np.empty_like(x) if out is None else out
    each_value(lambda x, y: np.clip(x, low, high, out=y), x, out)
    return out


def clipped_linear(x: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """A linear layer of the encoders, whose input and output are clamped to bounds learned in training.

    weights: ``linear.weight`` (out, in) and, where the checkpoint clips, the scalars ``input_min``, ``input_max``,
    ``output_min``, ``output_max``. x (..., in) -> (..., out). Source: Gemma4ClippableLinear.
    """
    if "input_min" not in weights:
        return linear(x, weights["linear.weight"])
    y = linear(clip(x, weights["input_min"], weights["input_max"]), weights["linear.weight"])
    return clip(y, weights["output_min"], weights["output_max"], out=y)


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    """‖ours - reference‖ / ‖reference‖, in float64: the measure of agreement in tests, verify and notebooks."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    norm = float(np.linalg.norm(reference))
    difference = float(np.linalg.norm(ours - reference))
    return difference / norm if norm else difference
