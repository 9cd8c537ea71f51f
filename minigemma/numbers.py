"""The numbers behind the pictures that are exact for any weights: bytes, reach, pairs, wavelengths, parameters.

Small pure functions of a config, so that a notebook can call them, print them and assert on them. A "what if" (no
sharing, every layer global, plain multi-head attention) is a config changed with ``dataclasses.replace``.
Bytes count bfloat16 (2 bytes a number) unless told otherwise; GiB = 2³⁰ bytes; 1K of context = 1,024 tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minigemma.config import GLOBAL, LOCAL, Config, TextConfig
from minigemma.errors import InputError
from minigemma.interleaving import interval_mask, visible_keys
from minigemma.parameters import parameter_count
from minigemma.rope import rotate, rotation_frequencies, rotation_table

GIB = 2**30
BFLOAT16 = 2  # bytes a number

# What a global layer must keep for each number of its key and value rows, where values are made from the key
# projection (K=V): both tensors as the reference does; the values and the rotated part of the keys; one tensor that is
# scaled and rotated again at every use.
KEEP = {"keys and values": 1.0, "values + rotated keys": 0.625, "one tensor": 0.5}


def rms(x: np.ndarray) -> float:
    """Root mean square of all numbers of an array: the "size" of activations in the pictures."""
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64)))))


# --- keys and values -------------------------------------------------------------------------------------------------


def kv_row_bytes(heads: int, width: int, bytes_per_number: float = BFLOAT16) -> float:
    """Bytes of one token's keys and values in one layer: 2 · G · K numbers."""
    return 2 * heads * width * bytes_per_number


def kv_heads(text: TextConfig, kind: str) -> tuple[int, int]:
    """(G, K): KV heads and their width in a layer of this kind."""
    if kind == GLOBAL:
        return text.num_global_key_value_heads, text.global_head_dim
    return text.num_key_value_heads, text.head_dim


def kv_cache_bytes(
    text: TextConfig, context: int, bytes_per_number: float = BFLOAT16, keep: str = "keys and values"
) -> dict[str, float]:
    """Bytes of a full cache after ``context`` tokens: {LOCAL: …, GLOBAL: …}.

    A local layer keeps its last ``sliding_window`` tokens, a global layer all; a layer that shares KV keeps none.
    keep: what global layers store, a key of ``KEEP``; less than keys and values needs K=V.
    """
    if keep not in KEEP:
        raise InputError(f"keep is {keep!r}; expected one of {', '.join(map(repr, KEEP))}")
    total = {LOCAL: 0.0, GLOBAL: 0.0}
    for kind in text.layer_types[: text.first_shared_layer]:
        rows = context if kind == GLOBAL else min(context, text.sliding_window)
        share = KEEP[keep] if kind == GLOBAL else 1.0
        total[kind] += rows * kv_row_bytes(*kv_heads(text, kind), bytes_per_number) * share
    return total


def without_sharing(text: TextConfig) -> TextConfig:
    """The same model with keys and values of its own in every layer."""
    return replace(text, num_kv_shared_layers=0)


def all_global(text: TextConfig, heads: int, width: int) -> TextConfig:
    """The same depth with full attention everywhere, ``heads`` KV heads of ``width``."""
    kinds = (GLOBAL,) * text.num_hidden_layers
    return replace(text, layer_types=kinds, num_global_key_value_heads=heads, global_head_dim=width)


def kv_ladder(text: TextConfig, bytes_per_number: float = BFLOAT16) -> dict[str, float]:
    """Bytes a token costs in one global layer, from plain multi-head attention down to what K=V allows.

    Steps: one KV head a query head, as many as a local layer has, as many as a global layer has, wider heads, then
    (with K=V only) the two smaller ways of storing. Made for 31B, where all six differ.
    """
    queries, width, wide = text.num_attention_heads, text.head_dim, text.global_head_dim
    local, few = text.num_key_value_heads, text.num_global_key_value_heads
    steps = {
        f"one KV head a query head ({queries} × {width})": kv_row_bytes(queries, width, bytes_per_number),
        f"GQA {queries // local}:1, as in local layers ({local} × {width})": kv_row_bytes(
            local, width, bytes_per_number
        ),
        f"GQA {queries // few}:1 ({few} × {width})": kv_row_bytes(few, width, bytes_per_number),
        f"heads twice as wide ({few} × {wide})": kv_row_bytes(few, wide, bytes_per_number),
    }
    if text.attention_k_eq_v:
        stored = kv_row_bytes(few, wide, bytes_per_number)
        steps["K=V: values + rotated quarter of keys"] = stored * KEEP["values + rotated keys"]
        steps["K=V: one tensor, rotated at every use"] = stored * KEEP["one tensor"]
    return steps


def cache_ladder(
    text: TextConfig, context: int, bytes_per_number: float = BFLOAT16, keep: str = "keys and values"
) -> dict[str, float]:
    """Bytes of a whole model's cache after ``context`` tokens, from plain attention down to what the model keeps.

    Steps: every layer global with one KV head a query head, as many KV heads as the global layers have, windows in the
    local layers, keys and values shared between layers, and ``keep``; those that change nothing are left out.
    """
    queries, (few, wide) = text.num_attention_heads, kv_heads(text, GLOBAL)
    own, shared = without_sharing(text), text.num_kv_shared_layers
    models = {
        f"all global, {queries} KV heads of {wide}": all_global(own, queries, wide),
        f"all global, {few} KV head{'s' * (few > 1)} of {wide}": all_global(own, few, wide),
        "local layers: a window": own,
        f"{shared} layers share": text,
    }
    steps = {
        name: sum(kv_cache_bytes(model, context, bytes_per_number).values())
        for name, model in models.items()
        if shared or model is not text
    }
    if keep != "keys and values":
        steps[f"K=V: {keep}"] = sum(kv_cache_bytes(text, context, bytes_per_number, keep).values())
    return steps


# --- who sees whom ---------------------------------------------------------------------------------------------------


def visible(length: int, window: int | None = None) -> np.ndarray:
    """(T, T) bool: which keys each query of a causal layer sees; with a window, its last ``window``, itself counted."""
    return interval_mask(*visible_keys(np.arange(length), window), length)


def attended_pairs(length: int, window: int | None = None) -> int:
    """How many (query, key) pairs a causal layer computes over ``length`` tokens; window None: all earlier tokens."""
    reach = length if window is None else min(window, length)
    return reach * (reach + 1) // 2 + (length - reach) * reach


def receptive_field(kinds: Sequence[str], window: int) -> list[float]:
    """After each layer, how many tokens (itself included) can have reached one position: 1 + L·(W-1), ∞ once global."""
    reach, seen = [], 1.0
    for kind in kinds:
        seen = math.inf if kind == GLOBAL else seen + window - 1
        reach.append(seen)
    return reach


def influence(kinds: Sequence[str], window: int, length: int) -> np.ndarray:
    """(L, T): how much of each token is in the last position after each layer, if attention were even.

    The product of the layers' uniform patterns, without residuals: a picture of dilution, not of a trained model.
    """
    rows = []
    mixed = np.eye(length)
    patterns = {}
    for kind in (LOCAL, GLOBAL):
        mask = visible(length, window if kind == LOCAL else None)
        patterns[kind] = mask / mask.sum(axis=1, keepdims=True)  # (T, T)
    for kind in kinds:
        mixed = patterns[kind] @ mixed  # (T, T)
        rows.append(mixed[-1])
    return np.array(rows)


def ring_buffer(step: int, window: int) -> list[int | None]:
    """Which token lies in each slot of a local layer's cache after token ``step``: token t goes to t mod W."""
    newest = [step - (step - slot) % window for slot in range(window)]
    return [token if token >= 0 else None for token in newest]


# --- rotation --------------------------------------------------------------------------------------------------------


def rope_variants(text: TextConfig) -> dict[str, np.ndarray]:
    """Radians a token for each pair (K/2,): local layers, global layers if every pair turned, and p-RoPE as it is."""
    width, theta, p = text.global_head_dim, text.rope_theta_global, text.rope_fraction_global
    return {
        "local, full RoPE": rotation_frequencies(text.head_dim, text.rope_theta_local),
        "global, if full RoPE": rotation_frequencies(width, theta),
        f"global, p-RoPE p = {p:g}": rotation_frequencies(width, theta, p),
    }


def wavelengths(frequencies: np.ndarray) -> np.ndarray:
    """Tokens in one full turn of each pair, 2π / frequency; ∞ for a pair that never turns."""
    with np.errstate(divide="ignore"):
        return 2 * np.pi / frequencies.astype(np.float64)


def unfinished_turns(frequencies: np.ndarray, context: int) -> int:
    """How many of the turning pairs make less than one full turn in ``context`` tokens."""
    return int(np.count_nonzero((frequencies > 0) & (wavelengths(frequencies) > context)))


def mean_cosine(frequencies: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Mean of cos(frequency · distance) over pairs: how well a vector still matches its own copy that far away."""
    return np.cos(np.multiply.outer(np.asarray(distances, np.float64), frequencies)).mean(axis=-1)


def scores_by_position(query: np.ndarray, key: np.ndarray, frequencies: np.ndarray, length: int) -> np.ndarray:
    """(M, N): q · k with one query (K,) turned to position m and one key (K,) turned to n, for 0 … length - 1."""
    rotation = rotation_table(np.arange(length), frequencies)
    queries, keys = (rotate(np.tile(v, (length, 1, 1)), rotation)[:, 0] for v in (query, key))  # (length, K)
    return queries @ keys.T


# --- experts ---------------------------------------------------------------------------------------------------------


def expert_parameters(text: TextConfig) -> int:
    """Parameters of one expert: gate, up and down."""
    return 3 * text.hidden_size * text.moe_intermediate_size


def idle_parameters(text: TextConfig) -> int:
    """Parameters of the experts that one token does not use, over all layers."""
    return (text.num_experts - text.top_k_experts) * expert_parameters(text) * text.num_hidden_layers


def active_parameters(text: TextConfig) -> tuple[int, int]:
    """(active, total) parameters of the decoder for one token, with the embedding, without layer scalars (buffers)."""
    total = sum(parameter_count(Config(text=text)).values()) - text.num_hidden_layers
    return total - idle_parameters(text), total


def feed_forward_width(text: TextConfig) -> int:
    """Feed-forward width one token passes through in a layer: the dense branch and its chosen experts."""
    return text.intermediate_size + text.top_k_experts * text.moe_intermediate_size


def expected_experts(tokens: float | np.ndarray, experts: int = 128, chosen: int = 8) -> float | np.ndarray:
    """How many different experts n tokens wake if each picks ``chosen`` of them evenly: E·(1 - (1 - k/E)ⁿ)."""
    return experts * (1 - (1 - chosen / experts) ** tokens)


# --- per-layer embeddings --------------------------------------------------------------------------------------------


def ple_bytes_per_token(text: TextConfig, bytes_per_number: float = BFLOAT16) -> float:
    """Bytes fetched for one token: one row of L · 256 numbers, all layers at once."""
    return float(text.num_hidden_layers * text.hidden_size_per_layer_input * bytes_per_number)


def ple_table_bytes(text: TextConfig, bytes_per_number: float = BFLOAT16) -> float:
    """Bytes of the whole table of per-layer embeddings."""
    return text.vocab_size_per_layer_input * ple_bytes_per_token(text, bytes_per_number)
