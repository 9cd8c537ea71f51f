"""Exercises of the notebook on the residual stream and its norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.layer_steps import fading
from minigemma.ops import rms_norm

EPS = 1e-6


def _vectors() -> tuple[np.ndarray, np.ndarray]:
    """x (3, 4), the middle one tiny, and a weight (4,)."""
    rng = np.random.default_rng(0)
    x = rng.normal(2, 1, size=(3, 4)).astype(np.float32)
    x[1] *= np.float32(5e-4)  # so small that eps counts
    return x, np.array([0.5, 1.0, 2.0, 1.5], np.float32)


def check_rms_norm(function: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> Verdict:
    """``function(x, weight, eps)`` -> RMSNorm of every row of x (T, D)."""
    x, weight = _vectors()
    square = np.mean(x**2, axis=-1, keepdims=True)
    centred = x - x.mean(axis=-1, keepdims=True)
    mistakes = [
        (x / np.sqrt(square + EPS) * (1 + weight), "Gemma 4 uses the weight as it is; 1 + weight was Gemma 1 to 3."),
        (x / (np.sqrt(square) + EPS) * weight, "The eps belongs inside the root: sqrt(mean + eps)."),
        (x / np.sqrt(square) * weight, "The eps is missing: it counts for very small vectors."),
        (centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + EPS) * weight,
         "That is LayerNorm: RMSNorm does not subtract the mean."),
        (x / np.sqrt(np.sum(x**2, axis=-1, keepdims=True) + EPS) * weight,
         "The mean of the squares, not their sum: the length should come out as √D, not as 1."),
        (x / np.sqrt(np.mean(x**2) + EPS) * weight, "Every row has a size of its own: mean along the last axis."),
        (x / np.sqrt(square + EPS), "The weight is missing."),
    ]  # fmt: skip
    good = "No mean is subtracted, and the weight is used as it is."
    return judge_function(function, (x, weight, EPS), rms_norm(x, weight, EPS), good, mistakes, 1e-5)


def check_sublayer(function: Callable[..., np.ndarray]) -> Verdict:
    """``function(x, compute, before, after, norm)`` -> the stream after a branch with its two norms."""
    rng = np.random.default_rng(1)
    x, matrix = rng.normal(size=(3, 4)).astype(np.float32) * 5, rng.normal(size=(4, 4)).astype(np.float32)
    before, after = rng.uniform(0.5, 1.5, size=(2, 4)).astype(np.float32)
    compute = lambda normed: np.tanh(normed @ matrix)  # noqa: E731
    branch = compute(rms_norm(x, before))
    mistakes = [
        (x + branch, "The second norm is missing: what the branch computed is normed before it is added."),
        (rms_norm(branch, after), "The stream is missing: the branch's result is added to x."),
        (rms_norm(x + branch, after), "Norm the branch, not the sum: nothing in the stream itself is normed."),
        (x + rms_norm(compute(x), after), "The first norm is missing: the branch reads the normed stream."),
        (rms_norm(x, before) + rms_norm(branch, after), "Add to x itself, not to its normed copy."),
        (x + rms_norm(compute(rms_norm(x, after)), before), "The two weights have changed places."),
    ]
    good = "The stream goes past untouched; only the branch is normed, twice."
    return judge_function(
        function, (x, compute, before, after, rms_norm), x + rms_norm(branch, after), good, mistakes, 1e-5
    )


def check_bound(function: Callable[[np.ndarray, np.ndarray], float]) -> Verdict:
    """``function(query_weight, key_weight)`` -> the largest score two normed vectors (K,) can have."""
    queries, keys = np.array([0.5, 2.0, 1.0, 0.25]), np.array([1.0, 0.25, 0.75, -1.0])
    K, products = len(queries), np.abs(queries * keys)
    mistakes = {
        float(K): "That is so for weights of 1: K times the cosine. Here the weights stretch the coordinates.",
        float(products.max()): "The normed vectors have length √K each, so K is a factor.",
        float(np.sqrt(K) * products.max()): "Both vectors have length √K: their product brings √K · √K.",
        float(K * queries.max() * keys.max()): "The largest weights must sit in the same coordinate to meet.",
        float(products.sum()): "Two vectors of ones do not do best: put all of the length into one coordinate.",
    }
    good = "All of both lengths in the coordinate where the weights' product is largest."
    return judge_function(function, (queries, keys), float(K * products.max()), good, mistakes)


def check_fading(function: Callable[[Sequence[float]], np.ndarray]) -> Verdict:
    """``function(scalars)`` -> (L,): the factor on what each layer added, by the end of the stack."""
    scalars = np.array([0.5, 0.8, 0.9, 0.25])
    later = np.append(fading(scalars)[1:], 1.0)
    mistakes = [
        (later, "A layer's own scalar comes after what it adds, so it counts too."),
        (np.cumprod(scalars), "That runs from the first layer; what layer i added meets the scalars of i, i + 1, …"),
        (scalars, "Each scalar multiplies the whole stream, with all that earlier layers added."),
        (np.full(4, np.prod(scalars)), "Only the embedding and the first layer's additions meet all the scalars."),
    ]
    good = "Early words fade, late ones weigh more."
    return judge_function(function, (scalars,), fading(scalars), good, mistakes)
