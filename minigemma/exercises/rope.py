"""Exercises of the notebook on rotary positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma import numbers
from minigemma.exercises import Verdict, judge_function
from minigemma.rope import rotate, rotation_frequencies, rotation_table

WIDTH, THETA, SHARE = 16, 10_000.0, 0.25


def check_frequencies(function: Callable[[int, float, float], np.ndarray]) -> Verdict:
    """``function(K, theta, p)`` -> (K/2,) radians a token; the last ``1 - p`` of the pairs do not turn."""
    expected = rotation_frequencies(WIDTH, THETA, SHARE)
    turning = int(np.count_nonzero(expected))
    squeezed = np.zeros(WIDTH // 2)
    squeezed[:turning] = rotation_frequencies(2 * turning, THETA)
    mistakes = [
        (squeezed, "You squeezed the whole range into the pairs that turn: the exponent's denominator stays K."),
        (rotation_frequencies(WIDTH, THETA), "Every pair turns; the last 1 - p of them should have frequency 0."),
        (np.where(np.arange(WIDTH // 2) < turning, 0, rotation_frequencies(WIDTH, THETA)),
         "The fast pairs turn and the slow ones stand still, not the other way round."),
        (np.roll(expected, WIDTH // 2 - turning), "The fast pairs come first."),
    ]  # fmt: skip
    good = "p-RoPE prunes: the pairs that turn keep the frequencies they had."
    return judge_function(function, (WIDTH, THETA, SHARE), expected, good, mistakes)


def check_rotate(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Verdict:
    """``function(x, angles)`` -> (T, K): pair i of x (T, K) is (i, i + K/2) and turns by angles (T, K/2)."""
    rng = np.random.default_rng(0)
    x, angles = rng.normal(size=(5, 8)).astype(np.float32), rng.uniform(0, 3, size=(5, 4)).astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)
    even, odd = x[:, 0::2], x[:, 1::2]
    neighbours = np.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1).reshape(5, 8)
    a, b = np.split(x, 2, axis=-1)
    mistakes = [
        (neighbours, "You paired neighbours, (2i, 2i + 1); Gemma pairs (i, i + K/2)."),
        (rotate(x[:, None], (cos, -sin))[:, 0], "That turns the other way: a cos - b sin, b cos + a sin."),
        (np.concatenate([a * cos - b * sin, a * cos + b * sin], axis=-1),
         "The second half is b cos + a sin; check that lengths stay the same."),
        (np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(5, 8),
         "The pairs are turned right; put them back as they were: all first members, then all second ones."),
    ]  # fmt: skip
    good = "Every pair keeps its length."
    return judge_function(function, (x, angles), rotate(x[:, None], (cos, sin))[:, 0], good, mistakes)


def check_unfinished(function: Callable[[np.ndarray, int], int]) -> Verdict:
    """``function(frequencies, context)`` -> how many turning pairs make less than one full turn in the context."""
    frequencies, context = rotation_frequencies(512, 1e6), 131_072
    pruned = rotation_frequencies(512, 1e6, 0.25)
    expected = [numbers.unfinished_turns(frequencies, context), numbers.unfinished_turns(pruned, context)]
    standing = int(np.count_nonzero(pruned == 0))
    turns = np.count_nonzero((frequencies > 0) & (frequencies * context < 1))
    mistakes = [
        ([expected[0], standing], "A pair that never turns is not a turning pair: leave frequency 0 out."),
        ([turns, 0], "A full turn is 2π radians, not 1."),
        ([len(frequencies) - expected[0], np.count_nonzero(pruned)], "You counted the pairs that do finish a turn."),
    ]
    good = "That many slow pairs tell positions apart nowhere in the context; p-RoPE has none of them."
    return judge_function(
        lambda: [function(frequencies, context), function(pruned, context)], (), expected, good, mistakes, 0
    )


def check_score(function: Callable[[np.ndarray, np.ndarray, int, np.ndarray], float]) -> Verdict:
    """``function(q, k, distance, frequencies)`` -> the score of a query ``distance`` tokens after its key."""
    rng = np.random.default_rng(3)
    query, key = rng.normal(size=(2, 8)).astype(np.float32)
    frequencies, distance = rotation_frequencies(8, 100.0), 5
    scores = numbers.scores_by_position(query, key, frequencies, 10)
    mistakes = {
        float(query @ key): "The rotation is missing.",
        float(scores[0, distance]): "That is a query before its key: turn the query forward, or the key backward.",
    }
    good = "Only the difference of the positions matters, so one of the two need not be turned at all."
    return judge_function(function, (query, key, distance, frequencies), scores[distance, 0], good, mistakes)


def turned(vector: np.ndarray, position: int, frequencies: np.ndarray) -> np.ndarray:
    """One vector (K,) turned to one position."""
    return rotate(vector[None, None], rotation_table(np.array([position]), frequencies))[0, 0]
