"""Choosing the next token, again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from minigemma.errors import InputError
from minigemma.ops import softmax


def next_token_probabilities(
    logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> np.ndarray:
    """The distribution a token is drawn from: logits (V,) -> probabilities (V,), in the reference's order of steps.

    temperature divides the logits; top_k keeps the k likeliest tokens (and those tied with the last of them); top_p
    keeps the fewest likeliest tokens whose probabilities reach p, and always one.
    """
    logits = logits.astype(np.float64) / temperature
    if top_k is not None and top_k < len(logits):
        logits = np.where(logits < np.partition(logits, -top_k)[-top_k], -np.inf, logits)
    probabilities = softmax(logits)
    if top_p is not None and top_p < 1.0:
        order = np.argsort(probabilities, kind="stable")  # rising; HF drops the tail whose sum is at most 1 - p
        dropped = order[np.cumsum(probabilities[order]) <= 1.0 - top_p]
        probabilities[dropped[dropped != order[-1]]] = 0.0
        probabilities /= probabilities.sum()
    return probabilities


def check_sampling(max_new_tokens: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Refuse options that mean nothing, naming the one at fault."""
    if not isinstance(max_new_tokens, Integral) or max_new_tokens < 0:
        raise InputError(f"max_new_tokens is {max_new_tokens!r}; give 0 or more")
    if not isinstance(temperature, Real) or not 0 <= temperature < math.inf:
        raise InputError(f"temperature is {temperature!r}; give 0 (greedy) or a positive number")
    if top_k is not None and (not isinstance(top_k, Integral) or top_k < 1):
        raise InputError(f"top_k is {top_k!r}; give 1 or more, or None for no limit")
    if top_p is not None and (not isinstance(top_p, Real) or not 0 < top_p <= 1):
        raise InputError(f"top_p is {top_p!r}; give a number above 0 and at most 1, or None for no limit")


class Sampler:
    """Picks a token from logits (V,): the largest at temperature 0, else a draw that ``seed`` makes repeatable.

    suppress: ids that are never picked.
    """

    def __init__(
        self,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        suppress: Sequence[int] = (),
    ):
        self.temperature, self.top_k, self.top_p, self.suppress = temperature, top_k, top_p, list(suppress)
        self.random = np.random.default_rng(seed)

    def __call__(self, logits: np.ndarray) -> int:
        if self.suppress:
            logits = logits.copy()
            logits[[i for i in self.suppress if i < len(logits)]] = -np.inf
        if self.temperature == 0:
            return int(logits.argmax())
        probabilities = next_token_probabilities(logits, self.temperature, self.top_k, self.top_p)
        return int(self.random.choice(len(probabilities), p=probabilities))
