"""What counting reaches: unigrams and 3-grams of the training text, scored on the held-out passages."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from . import text
from .data import DOMAINS, Data

DISCOUNT = 0.75


class Counts:
    """How often each run of ``order`` ids occurs in a stream (n,), and how its context goes on."""

    def __init__(self, stream: np.ndarray, order: int, vocabulary: int):
        self.order, self.vocabulary = order, vocabulary
        windows = np.lib.stride_tricks.sliding_window_view(stream, order)
        self.runs, self.count = np.unique(self._key(windows), return_counts=True)
        self.contexts, first = np.unique(self.runs // vocabulary, return_index=True)
        self.total = np.add.reduceat(self.count, first)
        self.kinds = np.diff(np.append(first, len(self.runs)))  # different ids that follow each context

    def _key(self, windows: np.ndarray) -> np.ndarray:
        return windows.astype(np.int64) @ (self.vocabulary ** np.arange(self.order - 1, -1, -1))

    def mixed(self, windows: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Probability of the last id of each run (n, order): absolute discounting, what is left goes to ``lower``."""
        key = self._key(windows)
        count = _look_up(self.runs, self.count, key)
        total = _look_up(self.contexts, self.total, key // self.vocabulary)
        kinds = _look_up(self.contexts, self.kinds, key // self.vocabulary)
        seen = np.maximum(total, 1)
        return np.where(total > 0, np.maximum(count - DISCOUNT, 0) / seen + DISCOUNT * kinds / seen * lower, lower)


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def nats(stream: np.ndarray, rows: list[np.ndarray], vocabulary: int, orders: int) -> float:
    """Mean loss per token of ``rows`` under n-grams of up to ``orders`` ids; a row's first token is the given bos."""
    counts = [Counts(stream, order, vocabulary) for order in range(1, orders + 1)]
    total, tokens = 0.0, 0
    for row in rows:
        p = np.full(len(row) - 1, 1 / vocabulary)
        for c in counts:
            padded = np.concatenate([np.full(max(c.order - 2, 0), row[0]), row])
            p = c.mixed(np.lib.stride_tricks.sliding_window_view(padded, c.order)[-len(p) :], p)
        total, tokens = total - float(np.log(p).sum()), tokens + len(p)
    return total / tokens


def baselines(tokenizer: Tokenizer, passages: dict[str, list[str]]) -> dict:
    """Nats per token of each domain's n-grams on its passages. They hold for this tokenizer only, so it is named."""
    streams = Data(tokenizer, Path(), "train", audio=False).streams
    stories = "".join(p for i in range(20_000) for p, _ in text.story(text.Random(i), 6, 8))
    streams["stories"] = np.array([i for e in tokenizer.encode_batch(stories.splitlines(True)) for i in e.ids])
    found = {}
    for domain in (*DOMAINS, "stories"):
        rows = [np.array([tokenizer.token_to_id("<bos>"), *e.ids]) for e in tokenizer.encode_batch(passages[domain])]
        size = tokenizer.get_vocab_size()
        found[domain] = {
            "unigram": round(nats(streams[domain], rows, size, 1), 4),
            "3-gram": round(nats(streams[domain], rows, size, 3), 4),
        }
    return {"tokenizer": fingerprint(tokenizer.get_vocab()), "nats": found}


def fingerprint(vocabulary: dict[str, int]) -> str:
    """A short name for a tokenizer: a hash of its entries in order."""
    return hashlib.sha256("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)).encode()).hexdigest()[:16]
