"""Grouped-query attention as Gemma 4 has it: normed queries, keys and values, rotation, no 1/sqrt(K), K=V, windows.

Several query heads share one key/value head. Queries and keys are RMS-normed with a learned weight, which bounds
their product, so the scores are not scaled again; values are normed without a weight. In the global layers of the large
models there is no value projection: values are the *raw* key projection, normed (K=V), while keys go on to be weighted
and rotated. Source: Ainslie et al. 2023 (GQA); Gemma4TextAttention.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minigemma.interleaving import LayerSpec
from minigemma.ops import product, rms_norm, softmax
from minigemma.rope import rotate
from minigemma.trace import Watch, unwatched

Rotation = tuple[np.ndarray, np.ndarray]
SCORES_AT_ONCE = 2**22  # how many scores one block of queries may make: 16 MB


def make_queries(
    x: np.ndarray, spec: LayerSpec, weights: Mapping, rotation: Rotation, eps: float, watch: Watch = unwatched
) -> np.ndarray:
    """x (T, D) -> queries (T, H, K): projected, normed, rotated, scaled (by 1 in Gemma 4, by 1/sqrt(K) before)."""
    queries = watch(
        "queries_projected", product(x, weights, "q_proj.weight").reshape(len(x), spec.heads, spec.head_dim)
    )
    queries = watch("queries_normed", rms_norm(queries, weights["q_norm.weight"], eps))
    queries = rotate(queries, rotation)
    queries *= spec.attention_scale
    return watch("queries", queries)


def make_keys_values(
    x: np.ndarray, spec: LayerSpec, weights: Mapping, rotation: Rotation, eps: float, watch: Watch = unwatched
) -> tuple[np.ndarray, np.ndarray]:
    """x (T, D) -> keys (T, G, K), normed and rotated, and values (T, G, K), normed without weight and never rotated.

    (Gemma 3 takes its values as they are projected.)
    """
    shape = (len(x), spec.kv_heads, spec.head_dim)
    projected = watch("keys_projected", product(x, weights, "k_proj.weight").reshape(shape))
    values = projected if spec.k_eq_v else product(x, weights, "v_proj.weight").reshape(shape)
    values = watch("values_projected", values)

    keys = watch("keys_normed", rms_norm(projected, weights["k_norm.weight"], eps))
    values = rms_norm(values, None, eps) if spec.value_norm else values
    return watch("keys", rotate(keys, rotation)), watch("values", values)


def attend(
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    watch: Watch = unwatched,
    key_start: int = 0,
) -> np.ndarray:
    """Each query's weighted mean of the values it sees: (T, H, K), (S, G, K), (S, G, K) -> (T, H, K).

    first, last (T,): the interval of key positions a query sees (interleaving.visible_keys); row 0 of keys and values
    is position ``key_start``. Works in blocks of queries and touches only the keys a block can see, so a local layer
    costs time and memory in proportion to T; no (H, T, S) array exists unless a trace asks for "pattern" or "scores".
    """
    if watch.wants("scores") or watch.wants("pattern"):
        return attend_watched(queries, keys, values, first, last, watch, key_start)
    heads = np.empty_like(queries)
    for rows in query_blocks(first, last, queries.shape[1]):
        low, high = first[rows].min(), last[rows].max() + 1  # the keys this block sees
        seen = slice(low - key_start, high - key_start)
        scores = masked_scores(queries[rows], keys[seen], first[rows] - low, last[rows] - low)  # (H, t, s)
        heads[rows] = weighted_values(softmax(scores), values[seen])
    return heads


def attend_watched(
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    watch: Watch,
    key_start: int = 0,
) -> np.ndarray:
    """The same with every score in one array (H, T, S), keys in absolute positions, to be looked at and edited."""
    scores = masked_scores(queries, keys, first - key_start, last - key_start)
    forgotten = np.full((*scores.shape[:2], key_start), -np.inf, np.float32)  # keys that the cache has dropped
    scores = watch("scores", np.concatenate([forgotten, scores], axis=-1))
    pattern = watch("pattern", softmax(scores))
    return weighted_values(pattern[:, :, key_start:], values)


def query_blocks(first: np.ndarray, last: np.ndarray, heads: int) -> list[slice]:
    """Cut T queries into blocks of as many rows as SCORES_AT_ONCE allows, but small beside the widest interval.

    A block makes all scores between its queries and all keys that any of them sees: the fewer rows, the fewer in vain.
    """
    widest = int((last - first).max()) + 1
    rows = min(max(16, SCORES_AT_ONCE // (heads * widest)), max(64, widest // 8))
    return [slice(start, min(start + rows, len(first))) for start in range(0, len(first), rows)]


def masked_scores(queries: np.ndarray, keys: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Query · key for each head, -inf where a query may not look: (t, H, K), (s, G, K) -> (H, t, s). No 1/sqrt(K)."""
    (t, H, K), (s, G, _) = queries.shape, keys.shape
    grouped = queries.reshape(t, G, H // G, K).transpose(1, 2, 0, 3).reshape(G, -1, K)  # (G, H/G * t, K)
    scores = (grouped @ keys.transpose(1, 2, 0)).reshape(H, t, s)  # a group's heads share one product
    if first.max() > 0 or last.min() < s - 1:
        key = np.arange(s)
        np.copyto(scores, -np.inf, where=(key < first[:, None]) | (key > last[:, None]))
    return scores


def weighted_values(pattern: np.ndarray, values: np.ndarray) -> np.ndarray:
    """pattern (H, t, s), values (s, G, K) -> (t, H, K): head h reads the values of its group."""
    (H, t, s), (_, G, K) = pattern.shape, values.shape
    mixed = pattern.reshape(G, H // G * t, s) @ values.transpose(1, 0, 2)  # (G, H/G * t, K)
    return mixed.reshape(H, t, K).transpose(1, 0, 2)


def join_heads(heads: np.ndarray, weights: Mapping, watch: Watch = unwatched) -> np.ndarray:
    """The heads' outputs side by side, through the output projection: (T, H, K) -> (T, D)."""
    heads = watch("heads", heads)
    return watch("output", product(heads.reshape(len(heads), -1), weights, "o_proj.weight"))
