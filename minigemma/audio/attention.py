"""Local attention by blocks: 12 queries against the 24 keys around them, with relative positions.

A token sees itself and the 11 before it. Scores for all pairs of tokens would mostly be thrown away, so they are only
made inside blocks, and time and memory grow with T, not with T².
"""

from __future__ import annotations

import math

import numpy as np

from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig
from minigemma.ops import clipped_linear, linear, soft_cap, softmax
from minigemma.trace import Watch, unwatched

KEY_SCALE = math.log(1 + math.e) / math.log(2)  # 1.9, softplus(1) / softplus(0): a constant in both implementations


def attention(
    x: np.ndarray, positions: np.ndarray, weights: Weights, config: AudioConfig, watch: Watch = unwatched
) -> np.ndarray:
    """Local attention with learned scales and relative positions: (T, D) -> (T, D). Source: Gemma4AudioAttention."""
    heads = (-1, config.num_attention_heads, config.hidden_size // config.num_attention_heads)
    scale = query_scale(weights["per_dim_scale"])  # (K,)
    queries = watch("queries", clipped_linear(x, weights.under("q_proj.")).reshape(heads) * scale)  # (T, H, K)
    keys = watch("keys", clipped_linear(x, weights.under("k_proj.")).reshape(heads) * KEY_SCALE)  # (T, H, K)
    values = watch("values", clipped_linear(x, weights.under("v_proj.")).reshape(heads))  # (T, H, K)
    distances = watch("relative_keys", relative_keys(positions, weights, config))  # (R, H, K)
    mixed = watch("heads", attend_in_blocks(queries, keys, values, distances, config, watch))  # (T, H, K)
    return watch("output", clipped_linear(mixed.reshape(len(x), -1), weights.under("post.")))


def query_scale(per_dim_scale: np.ndarray) -> np.ndarray:
    """What each dimension of a query is multiplied by: softplus(s) / (ln 2 · √K), (K,) -> (K,).

    softplus(s) = ln(1 + eˢ) is positive for any s, and ln 2 for s = 0, where the scale is the usual 1/√K.
    """
    return np.logaddexp(np.float32(0), per_dim_scale) * np.float32(len(per_dim_scale) ** -0.5 / math.log(2))


def attend_in_blocks(
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    distances: np.ndarray,
    config: AudioConfig,
    watch: Watch = unwatched,
) -> np.ndarray:
    """Blocks of C queries against the S keys around them; no (T, T) array. ``naive.attend`` is the same with one.

    queries, keys, values (T, H, K), distances (R, H, K) -> (T, H, K). Scores are what a query finds in a key plus
    what it finds in the distance to it (Transformer-XL, Dai et al. 2019, terms a + b), capped by tanh.
    """
    past, context = reach(config)
    q = query_blocks(queries, config.attention_chunk_size)  # (H, B, C, K)
    k = context_blocks(keys, past, context, config.attention_chunk_size)  # (H, B, S, K)
    v = context_blocks(values, past, context, config.attention_chunk_size)  # (H, B, S, K)
    content = watch("content", q @ k.swapaxes(-1, -2))  # (H, B, C, S)
    distance = watch("distance", q @ distances.transpose(1, 2, 0)[:, None])  # (H, B, C, R)
    distance = watch("distance_shifted", relative_shift(distance, context))  # (H, B, C, S)
    scores = soft_cap(content + distance, config.attention_logit_cap)
    seen = visible(len(queries), config)  # (B, C, S)
    pattern = softmax(np.where(seen, scores, np.float32(config.attention_invalid_logits_value)))
    if watch.wants("pattern"):
        full = watch("pattern", over_tokens(pattern, seen, config))  # (H, T, T)
        return (full @ values.swapaxes(0, 1)).swapaxes(0, 1)
    mixed = (pattern @ v).transpose(1, 2, 0, 3)  # (B, C, H, K)
    return mixed.reshape(-1, *queries.shape[1:])[: len(queries)]


def reach(config: AudioConfig) -> tuple[int, int]:
    """How many keys before its first query a block holds, and how many it holds in all: 12 and 24."""
    past = config.attention_context_left - 1
    return past, config.attention_chunk_size + past + config.attention_context_right


def query_blocks(x: np.ndarray, chunk: int) -> np.ndarray:
    """(T, H, K) -> (H, B, C, K): B = ⌈T / C⌉ blocks side by side, the last filled up with zeros."""
    padded = np.pad(x, ((0, -len(x) % chunk), (0, 0), (0, 0)))
    return padded.reshape(-1, chunk, *x.shape[1:]).transpose(2, 0, 1, 3)


def context_blocks(x: np.ndarray, past: int, context: int, chunk: int) -> np.ndarray:
    """(T, H, K) -> (H, B, S, K): overlapping blocks, the b-th from token C·b - past on; zeros outside the sound."""
    padded = np.pad(x, ((past, context - past - 1), (0, 0), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, context, axis=0)[::chunk]  # (B, H, K, S), no copy
    return windows.transpose(1, 0, 3, 2)


def block_positions(tokens: int, config: AudioConfig) -> tuple[np.ndarray, np.ndarray]:
    """Where in the sound each query (B, C, 1) and each key (B, 1, S) of each block lies, in tokens."""
    past, context = reach(config)
    start = np.arange(0, tokens, config.attention_chunk_size)[:, None]  # (B, 1)
    return (start + np.arange(config.attention_chunk_size))[:, :, None], (start - past + np.arange(context))[:, None, :]


def visible(tokens: int, config: AudioConfig) -> np.ndarray:
    """(B, C, S) bool: which keys of its block a query may see: itself and the 11 before it.

    The config's attention_context_left is 13; transformers reads that as distances 0 to 11 (12 keys), Google's JAX code
    as 0 to 12 (13 keys). transformers is followed here.
    """
    past, _ = reach(config)
    query, key = block_positions(tokens, config)
    distance = query - key
    near = (distance >= 0) & (distance < past) | (distance < 0) & (-distance < config.attention_context_right)
    return near & (key >= 0) & (key < tokens) & (query < tokens)


def over_tokens(pattern: np.ndarray, seen: np.ndarray, config: AudioConfig) -> np.ndarray:
    """The blocks' patterns (H, B, C, S) laid out over the whole sound: (H, T, T), zero where nothing is seen."""
    tokens = int(seen.any(axis=-1).sum())
    query, key = (np.broadcast_to(where, seen.shape) for where in block_positions(tokens, config))
    full = np.zeros((len(pattern), tokens, tokens), pattern.dtype)
    full[:, query[seen], key[seen]] = pattern[:, seen]
    return full


def relative_positions(config: AudioConfig) -> np.ndarray:
    """(R, D): one row for each distance from S/2 = 12 tokens down to 0, D/2 sines and then D/2 cosines.

    Wavelengths go from 2π to 10,000 · 2π tokens in even ratios. Source: Gemma4AudioRelPositionalEncoding.
    """
    distance = np.arange(reach(config)[1] // 2, -1, -1, dtype=np.float32)[:, None]  # (R, 1)
    pairs = config.hidden_size // 2
    step = math.log(10_000.0) / max(pairs - 1, 1)
    angle = distance * np.exp(np.arange(pairs, dtype=np.float32) * np.float32(-step))  # (R, D/2)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)


def relative_keys(positions: np.ndarray, weights: Weights, config: AudioConfig) -> np.ndarray:
    """What a query meets in each distance: (R, D) -> (R, H, K), by a linear layer that is never clipped."""
    return linear(positions, weights["relative_k_proj.weight"]).reshape(len(positions), config.num_attention_heads, -1)


def relative_shift(products: np.ndarray, context: int) -> np.ndarray:
    """From "query against distance" to "query against key": (..., C, R) -> (..., C, S).

    Query i of a block finds row r of the distances at its key i + r. Rather than to gather, fill each row up to S + 1
    and cut the same numbers into rows of S: every row then begins one place later than the one above.
    Source: Dai et al. 2019, appendix B; ``naive.relative_shift`` is the same in loops.
    """
    *front, chunk, rows = products.shape
    padded = np.pad(products, [(0, 0)] * (products.ndim - 1) + [(0, context + 1 - rows)])
    flat = padded.reshape(*front, chunk * (context + 1))[..., : chunk * context]
    return flat.reshape(*front, chunk, context)
