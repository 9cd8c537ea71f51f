"""Exercises of the notebook on local and global attention."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma import naive
from minigemma.exercises import Verdict, judge_function

T, WINDOW = 9, 4


def check_mask(function: Callable[[int, int], np.ndarray]) -> Verdict:
    """``function(T, W)`` -> (T, T) bool: who sees whom in a local layer."""
    query, key = np.arange(T)[:, None], np.arange(T)
    mistakes = [
        (
            (key <= query) & (query - key <= WINDOW),
            f"Your tokens see {WINDOW + 1} keys: a token itself is one of the W.",
        ),
        (np.abs(query - key) < WINDOW, "Your tokens see the future: a key must not come after its query."),
        (query - key < WINDOW, "The window is right, but your tokens see the future as well."),
        (key <= query, "That is the global mask: the window is missing."),
        (naive.mask(T, WINDOW).T, "Rows are queries, columns are keys: yours is the other way round."),
    ]
    good = "Every row has at most W cells, the diagonal one included."
    return judge_function(function, (T, WINDOW), naive.mask(T, WINDOW), good, mistakes)


def check_pairs(function: Callable[[int, int], int]) -> Verdict:
    """``function(T, W)`` -> how many (query, key) pairs a local layer computes over T tokens."""
    mistakes = {
        T * WINDOW: "The first W - 1 tokens see fewer than W keys: there is not so much before them.",
        T * (T + 1) // 2: "That is the global layer: every token with all before it.",
        T * T: "That counts the pairs that a causal mask hides, too.",
    }
    good = f"At {T} tokens that is small change; at 131,072 it is the difference between possible and not."
    expected = int(naive.mask(T, WINDOW).sum())
    return judge_function(function, (T, WINDOW), expected, good, mistakes, tolerance=0)


def check_reach(function: Callable[[int, int], int]) -> Verdict:
    """``function(L, W)`` -> how many tokens, itself included, can have reached a position through L local layers."""
    layers = 5
    mistakes = {
        layers * WINDOW: "Each layer adds W - 1 tokens, not W: the token itself was there before.",
        1 + layers * WINDOW: "Nearly: each layer adds W - 1 tokens, since a token is in its own window.",
        WINDOW**layers: "Windows are laid end to end, so reach grows by a sum and not by a product.",
        layers * (WINDOW - 1): "Nearly: before the first layer a position already knows one token, its own.",
    }
    good = "One token of its own, and W - 1 more a layer."
    return judge_function(function, (layers, WINDOW), 1 + layers * (WINDOW - 1), good, mistakes, tolerance=0)


def check_image_mask(function: Callable[[np.ndarray, int], np.ndarray]) -> Verdict:
    """``function(image, W)`` -> (T, T) bool. image (T,): which picture a token belongs to, -1 for text."""
    image = np.array([-1, 0, 0, 0, 0, 0, 1, 1, -1, -1])
    window, length = 3, len(image)
    query, key = np.arange(length)[:, None], np.arange(length)
    causal, inside = key <= query, query - key < window
    same = (image[:, None] == image) & (image >= 0)
    any_image = (image[:, None] >= 0) & (image >= 0)
    mistakes = [
        (causal & inside, "Tokens of one image see each other, later ones too; that is missing."),
        ((causal & inside) | same, "The window bounds the past inside an image, too: AND(window, OR(causal, same))."),
        (inside & (causal | any_image), "Your two images see each other: compare their numbers."),
        (inside & (causal | (image[:, None] == image)), "Text tokens share the number -1, but they are no image."),
    ]  # fmt: skip
    good = "AND(window, OR(causal, same image)): the rule of 26B-A4B and 31B, in local layers only."
    return judge_function(function, (image, window), naive.mask(length, window, image), good, mistakes)
