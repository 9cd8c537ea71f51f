"""The obvious way to compute what the package computes cleverly: short, slow, and the yardstick of its tests.

The clever versions are in interleaving (masks as intervals), attention (in blocks), moe (grouped by expert) and cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minigemma.checkpoint import Weights
from minigemma.ops import gelu, linear, softmax

if TYPE_CHECKING:
    from minigemma.model import Gemma4


def mask(tokens: int, window: int | None = None, image: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Who sees whom, by the rule as it is said: inside the window, and either not later or of the same image.

    image (T,): the number of the image a token belongs to, -1 for text. -> (T, T) bool, rows are queries.
    """
    query, key = np.arange(tokens)[:, None], np.arange(tokens)
    see = key <= query
    if image is not None:
        image = np.asarray(image)
        see |= (image[:, None] == image) & (image >= 0)
    return see if window is None else see & (query - key < window)


def attend(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One head at a time, every score made: queries (T, H, K), keys, values (S, G, K), mask (T, S) -> (T, H, K)."""
    heads, group = np.empty_like(queries), queries.shape[1] // keys.shape[1]  # H / G query heads read one KV head
    for h in range(queries.shape[1]):
        scores = queries[:, h] @ keys[:, h // group].T  # (T, S)
        heads[:, h] = softmax(np.where(mask, scores, -np.inf)) @ values[:, h // group]
    return heads


def experts(x: np.ndarray, index: np.ndarray, weight: np.ndarray, weights: Weights) -> np.ndarray:
    """Every expert on every token; what was not chosen counts zero times: x (T, D), index, weight (T, k) -> (T, D)."""
    output = np.zeros_like(x)
    for expert, (gate_up, down) in enumerate(zip(weights["gate_up_proj"], weights["down_proj"], strict=True)):
        gate, up = np.split(linear(x, gate_up), 2, axis=-1)  # (T, F) each
        share = np.where(index == expert, weight, 0).sum(axis=-1, keepdims=True)  # (T, 1)
        output += share * linear(gelu(gate) * up, down)
    return output


def generate(model: Gemma4, token_ids: Sequence[int], max_new_tokens: int) -> list[int]:
    """Greedy, and the whole text anew for every token: no cache."""
    ids = list(token_ids)
    for _ in range(max_new_tokens):
        ids.append(int(model.forward(ids)[-1].argmax()))
    return ids[len(token_ids) :]
