"""Exercises of the notebook on the Conformer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma.audio.conformer import depthwise
from minigemma.exercises import Verdict, judge_function
from minigemma.ops import rms_norm

KEYS, BACK = 12, 15  # keys a query sees; tokens back that one layer hears, 11 by attention and 4 by convolution


def check_keys(function: Callable[[int], tuple[int, int]]) -> Verdict:
    """``function(query)`` -> (first, last) soft token that it sees in one layer's attention."""
    queries = (0, 5, 11, 12, 30, 35)

    def of(first, last=lambda t: t):
        return [(first(t), last(t)) for t in queries]

    mistakes = [
        (of(lambda t: max(0, t - KEYS)), "That is 13 keys. The query itself counts as one of the 12."),
        (of(lambda t: t - KEYS + 1), "Nothing stands before token 0."),
        (of(lambda t: t // KEYS * KEYS), "A block's own 12 are not all: the keys reach back into the block before."),
        (of(lambda t: max(0, t // KEYS * KEYS - KEYS), lambda t: t // KEYS * KEYS + KEYS - 1),
         "Those are the 24 keys that a block computes with; the mask leaves a query 12 of them."),
        (of(lambda t: max(0, t // KEYS * KEYS - KEYS)),
         "That is where the block begins. Every query has a window of its own."),
        (of(lambda t: max(0, t - 5), lambda t: t + 6), "Nothing looks ahead."),
    ]  # fmt: skip
    good = "Blocks are how it is computed; what a query sees does not depend on where a block begins."
    expected = of(lambda t: max(0, t - KEYS + 1))
    return judge_function(lambda: [function(t) for t in queries], (), expected, good, mistakes, 0)


def check_reach(function: Callable[[int], float]) -> Verdict:
    """``function(layers)`` -> how many seconds before its own token one has heard after so many layers."""
    layers = np.array([1, 3, 12])
    seconds = 0.04
    mistakes = [
        (16 * layers * seconds, "The token itself is no step back: attention reaches 11, the convolution 4."),
        (17 * layers * seconds, "The token itself is no step back: attention reaches 11, the convolution 4."),
        (11 * layers * seconds, "The convolution reaches back, too, by 4 tokens in every layer."),
        (12 * layers * seconds, "12 keys are 11 steps back; and the convolution adds its own."),
        (11 * 4 * layers * seconds, "The two follow one another, so their steps add up."),
        (15**layers * seconds, "Each layer adds its steps; it does not multiply."),
        (BACK * layers, "That is in tokens; one is 0.04 s."),
        (BACK * layers * 0.01, "A soft token is 40 ms, a mel frame 10."),
    ]
    good = "7.2 s after the twelfth layer. The decoder behind it sees the whole sound."
    return judge_function(lambda: [function(int(n)) for n in layers], (), BACK * layers * seconds, good, mistakes)


def check_convolution(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Verdict:
    """``function(x, kernel)``: x (T, D), kernel (D, 5) -> (T, D), causal, every channel on its own."""
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(9, 3)), rng.normal(size=(3, 5))
    padded = np.pad(x, ((2, 2), (0, 0)))
    centred = sum(padded[j : j + len(x)] * kernel[:, j] for j in range(5))
    ahead = np.pad(x, ((0, 4), (0, 0)))
    mistakes = [
        (centred, "Your kernel is centred, so it looks two tokens ahead; put all four zeros in front."),
        (depthwise(x, kernel[:, ::-1]), "The kernel is turned around: its last number belongs to the token itself."),
        (sum(ahead[j : j + len(x)] * kernel[:, j] for j in range(5)), "It looks ahead; the zeros belong in front."),
        (depthwise(x, np.broadcast_to(kernel.sum(axis=0), kernel.shape)),
         "Every channel has its own five numbers, and the channels are not mixed."),
    ]  # fmt: skip
    good = "Five numbers a channel: that is the whole convolution."
    return judge_function(function, (x, kernel), depthwise(x, kernel), good, mistakes)


def check_layer(function: Callable[..., np.ndarray]) -> Verdict:
    """``function(x, ff1, attention, convolution, ff2, norm)`` -> (T, D): a layer from its parts, which norm themselves.

    The feed-forwards are given whole: halving what they say is left to the function.
    """
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 4)).astype(np.float32)
    matrices = rng.normal(size=(4, 4, 4)).astype(np.float32)
    parts = [lambda h, matrix=matrix: np.tanh(h @ matrix) for matrix in matrices]

    def norm(h):
        return rms_norm(h, None)

    def run(order=(0, 1, 2, 3), shares=(0.5, 1, 1, 0.5), last=norm, keep=True):
        h = x
        for i in order:
            h = (h if keep else 0) + shares[i] * parts[i](h)
        return last(h)

    aside = x + sum(share * part(x) for share, part in zip((0.5, 1, 1, 0.5), parts, strict=True))
    mistakes = [
        (run(shares=(1, 1, 1, 1)), "The two feed-forwards count half: ½ · ff(x)."),
        (run(shares=(0.5,) * 4), "Only the feed-forwards are halved."),
        (run(order=(0, 2, 1, 3)), "Attention comes before the convolution."),
        (run(last=lambda h: h), "The norm at the end is missing."),
        (run(keep=False), "Each part is added to the stream; you replaced it."),
        (norm(aside), "Each part reads what the parts before it have left, not the layer's input."),
    ]
    good = "Half a feed-forward, attention, convolution, half a feed-forward: a bun with two fillings."
    return judge_function(function, (x, *parts, norm), run(), good, mistakes)
