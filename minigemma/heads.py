"""What attention heads do, in numbers: five habits, each the share of attention that goes where the habit says.

Trained decoders have such heads; random ones do not. Sources: Elhage et al. 2021, "A Mathematical Framework for
Transformer Circuits"; Olsson et al. 2022 (induction heads); Xiao et al. 2023 (attention sinks).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigemma.errors import InputError
from minigemma.trace import Edit


def habit_masks(token_ids: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """{habit: (T, T) bool}: the keys at which a query with this habit looks.

    sink: the first token, whatever it is. itself. previous token. same token: earlier places of the query's own token.
    induction: the tokens that came right after those places ("what followed last time?").
    The first token counts as a sink only.

    >>> habit_masks([2, 7, 8, 7])["induction"].astype(int)
    array([[0, 0, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 1, 0]])
    """
    ids = np.asarray(token_ids)
    if ids.ndim != 1 or len(ids) < 2:
        raise InputError(f"token_ids has shape {ids.shape}; expected a list of at least two ids")
    query, key = np.arange(len(ids))[:, None], np.arange(len(ids))
    same = (ids[:, None] == ids) & (key < query) & (key > 0)
    return {
        "sink": (key == 0) & (query > 0),
        "itself": (key == query) & (key > 0),
        "previous token": (key == query - 1) & (key > 0),
        "same token": same,
        "induction": np.roll(same, 1, axis=1) & (key < query),
    }


def habits(patterns: Sequence[np.ndarray], token_ids: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """{habit: (L, H)}: attention on the habit's keys, mean over the queries that have such keys (NaN: none has).

    patterns: (H, T, T) for each of L layers. For the last two habits the text must repeat some of its tokens.
    """
    expected = (len(token_ids), len(token_ids))
    wrong = next((p.shape for p in patterns if p.ndim != 3 or p.shape[1:] != expected), None)
    if wrong is not None or not len(patterns):
        raise InputError(f"patterns of shape {wrong}; expected (heads, {expected[0]}, {expected[1]}) for each layer")
    return {
        name: np.array([_share(pattern, mask) for pattern in patterns]) for name, mask in habit_masks(token_ids).items()
    }


def _share(pattern: np.ndarray, mask: np.ndarray) -> np.ndarray:
    queries = mask.any(axis=1)
    if not queries.any():
        return np.full(len(pattern), np.nan)
    return np.einsum("hts,ts->h", pattern[:, queries], mask[queries]) / queries.sum()


def mean_distance(patterns: Sequence[np.ndarray]) -> np.ndarray:
    """(L, H): how many tokens back each head looks on average, the first key (a sink) left out."""
    found = []
    for pattern in patterns:
        T = pattern.shape[-1]
        back = np.arange(T)[:, None] - np.arange(T)
        weight = pattern[:, :, 1:].sum(axis=(1, 2))
        found.append((pattern * back)[:, :, 1:].sum(axis=(1, 2)) / np.maximum(weight, 1e-30))
    return np.array(found)


def ranked(scores: np.ndarray) -> list[tuple[int, int]]:
    """Every (layer, head), by falling score (L, H)."""
    scores = np.nan_to_num(scores, nan=-np.inf)
    places = np.unravel_index(np.argsort(-scores, axis=None, kind="stable"), scores.shape)
    return [(int(layer), int(head)) for layer, head in zip(*places, strict=True)]


def look_away(chosen: Sequence[tuple[int, int]], keys: np.ndarray) -> dict[str, Edit]:
    """Edits for a Trace: the chosen (layer, head)s may not look at ``keys`` (T, T); what else they look at grows.

    Gentler than switching a head off, which also takes away all it does besides.
    """
    by_layer: dict[int, list[int]] = {}
    for layer, head in chosen:
        by_layer.setdefault(layer, []).append(head)

    def edit(heads: list[int]) -> Edit:
        def without(pattern: np.ndarray) -> np.ndarray:
            pattern = pattern.copy()
            pattern[heads] = np.where(keys, 0, pattern[heads])
            pattern[heads] /= np.maximum(pattern[heads].sum(axis=-1, keepdims=True), np.float32(1e-30))
            return pattern

        return without

    return {f"layers.{layer}.attention.pattern": edit(heads) for layer, heads in by_layer.items()}
