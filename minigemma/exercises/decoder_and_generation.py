"""Exercises of the notebook on the decoder and on generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.generate import next_token_probabilities
from minigemma.ops import gelu, rms_norm, soft_cap, softmax

Map = Callable[[np.ndarray], np.ndarray]  # (T, D) -> (T, D)


def check_layer(function: Callable[[np.ndarray, Map, Map, Mapping[str, Map], float], np.ndarray]) -> Verdict:
    """``function(x, attention, feed_forward, norms, scalar)`` -> (T, D): one layer, its parts given as functions.

    norms: "input", "post_attention", "pre_feedforward", "post_feedforward".
    """
    rng = np.random.default_rng(0)
    x, mix, wide = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 6), (4, 4), (6, 6)))
    names = ("input", "post_attention", "pre_feedforward", "post_feedforward")
    norms = {name: _norm(weight) for name, weight in zip(names, rng.uniform(0.5, 2, size=(4, 6)), strict=True)}
    parts = (lambda x: mix @ x, lambda x: gelu(x @ wide))
    scalar = 0.4

    def layer(branch: Callable[[np.ndarray, Map, Map, Map], np.ndarray]) -> np.ndarray:
        y = branch(x, parts[0], norms["input"], norms["post_attention"])
        return branch(y, parts[1], norms["pre_feedforward"], norms["post_feedforward"])

    def sandwich(x, part, before, after):
        return x + after(part(before(x)))

    right = layer(sandwich) * scalar
    mistakes = [
        (layer(sandwich), "The layer scalar is missing: at the end the whole stream is multiplied by it."),
        (layer(lambda x, part, before, after: x + scalar * after(part(before(x)))),
         "The scalar multiplies the whole stream at the layer's end, not the branches."),
        (layer(lambda x, part, before, after: x + part(before(x))) * scalar,
         "A branch is normed once more before it is added: post_attention and post_feedforward are missing."),
        (layer(lambda x, part, before, after: after(x + part(before(x)))) * scalar,
         "The second norm is taken of the branch alone, and only then it is added to the stream."),
        (layer(lambda x, part, before, after: after(part(before(x)))) * scalar,
         "The branch is added to the stream; yours replaces it."),
    ]  # fmt: skip
    good = "Norm, compute, norm again, add; and the whole stream is scaled at the end."
    return judge_function(function, (x, *parts, norms, scalar), right, good, mistakes)


def check_read_out(function: Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]) -> Verdict:
    """``function(x, weight, table, cap)`` -> (T, V): the next token's probabilities from the stream."""
    rng = np.random.default_rng(1)
    x, table, weight = 3 * rng.normal(size=(3, 8)), rng.normal(size=(5, 8)), rng.uniform(0.5, 4, size=8)
    cap = 6.0
    scores = rms_norm(x, weight) @ table.T
    mistakes = [
        (softmax(scores), "The soft cap is missing: cap · tanh(logits / cap)."),
        (softmax(np.clip(scores, -cap, cap)), "The soft cap bends the scores; yours cuts them off."),
        (softmax(soft_cap(x @ table.T, cap)), "The final norm is missing."),
        (soft_cap(scores, cap), "These are the logits; probabilities come from their softmax."),
        (softmax(soft_cap(scores, cap), axis=0), "That is a softmax over positions; each position has its own."),
        (softmax(soft_cap(scores * np.sqrt(8), cap)), "√D multiplies the embedding on its way in, not on its way out."),
    ]
    good = "The table that turned ids into vectors turns vectors into scores."
    return judge_function(function, (x, weight, table, cap), softmax(soft_cap(scores, cap)), good, mistakes)


def check_top_p(function: Callable[[np.ndarray, float], np.ndarray]) -> Verdict:
    """``function(probabilities, p)`` -> (V,): the fewest likeliest tokens whose probabilities reach p, summing to 1."""
    probabilities, p = np.array([0.1, 0.4, 0.05, 0.25, 0.2]), 0.8
    expected = next_token_probabilities(np.log(probabilities), 1.0, None, p)

    def kept(ids: list[int], share: float | None = None) -> np.ndarray:
        left = np.where(np.isin(np.arange(5), ids), probabilities, 0)
        return left / (share or left.sum())

    mistakes = [
        (kept([1, 3, 4], 1.0), "The right tokens are left; divide by their sum, so that they sum to 1 again."),
        (kept([1, 3]), "One too few: the token that carries the sum over p is kept too."),
        (kept([1, 3, 4, 0]), "One too many: these reach p before the last of them is added."),
        (kept([0, 2, 3, 4]), "Begin with the likeliest token, not with the least likely."),
        (np.sort(expected)[::-1], "Right numbers, wrong places: put them back where their tokens stand."),
    ]  # fmt: skip
    good = "A sure model keeps few tokens, an unsure one many."
    return judge_function(function, (probabilities, p), expected, good, mistakes)


def check_positions(function: Callable[[int, int], tuple[int, int]]) -> Verdict:
    """``function(P, N)`` -> (with, without): positions computed for N new tokens after P, with a KV cache and without.

    The last new token is not read again: nothing follows it.
    """
    P, N = 50, 100
    without = N * P + N * (N - 1) // 2
    mistakes = [
        ((P + N, without), "With the cache: the last new token is written, but never read."),
        ((P + N, without + P + N), "The last new token is written, but never read; in both counts."),
        ((P + N - 1, N * P), "Without a cache the text read gets longer with every new token."),
        ((P + N - 1, without + N), "Without a cache: the first of the N passes reads P tokens, the last P + N - 1."),
        ((N, without), "With the cache: the prompt has to be read once, too."),
        ((N - 1, without), "With the cache: the prompt has to be read once, too."),
        ((without, P + N - 1), "The other way round: first with the cache, then without."),
    ]
    good = "One count grows with N, the other with N²."
    return judge_function(function, (P, N), (P + N - 1, without), good, mistakes, 0)


def _norm(weight: np.ndarray) -> Map:
    return lambda x: rms_norm(x, weight.astype(np.float32))
