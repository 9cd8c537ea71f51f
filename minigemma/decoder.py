"""One layer of the decoder, and the stack of them.

Every branch is a sandwich: norm, compute, norm again, and only then added to the residual stream. At the end of the
layer the whole stream is multiplied by one learned number. Source: Gemma4TextDecoderLayer, Gemma4TextModel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigemma.attention import Rotation, attend, join_heads, make_keys_values, make_queries
from minigemma.cache import KeysValues, KVCache
from minigemma.checkpoint import Weights
from minigemma.config import TextConfig
from minigemma.feed_forward import feed_forward
from minigemma.interleaving import LayerSpec, visible_keys
from minigemma.moe import experts, route
from minigemma.ops import rms_norm
from minigemma.ple import inject
from minigemma.rope import rotation_frequencies, rotation_table
from minigemma.trace import Watch, unwatched

# the large tensors that every layer reads: the next layer's are read ahead (experts are once they are chosen)
READ_AHEAD = (
    *(f"self_attn.{part}_proj.weight" for part in "qkvo"),
    *(f"mlp.{part}_proj.weight" for part in ("gate", "up", "down")),
)
Seen = tuple[np.ndarray, np.ndarray]  # first and last key position each query sees, (T,) each


class Context:
    """What the layers of one forward pass share: positions, masks and rotations by kind, keys and values by layer."""

    def __init__(
        self,
        specs: Sequence[LayerSpec],
        positions: np.ndarray,
        block_end: np.ndarray | None = None,
        cache: KVCache | None = None,
    ):
        self.cache = cache
        self.seen: dict[str, Seen] = {}
        self.rotation: dict[str, Rotation] = {}
        self.sources = {spec.kv_source for spec in specs if spec.shares_kv}
        self.keys_values: dict[int, KeysValues] = {}  # of the layers that others share
        for spec in {spec.kind: spec for spec in specs}.values():
            # images are seen whole in local layers only; global layers stay causal
            self.seen[spec.kind] = visible_keys(positions, spec.window, block_end if spec.is_local else None)
            frequencies = rotation_frequencies(spec.head_dim, spec.rope_theta, spec.rope_fraction)
            self.rotation[spec.kind] = rotation_table(positions, frequencies)

    def add(self, layer: int, keys: np.ndarray, values: np.ndarray) -> KeysValues:
        """A layer's new keys and values behind its cached ones; kept for the layers that share them, if any do."""
        found = (keys, values, 0) if self.cache is None else self.cache.extend(layer, keys, values)
        if layer in self.sources:
            self.keys_values[layer] = found
        return found

    def last_only(self) -> None:
        """From here on only the last position is computed."""
        for kind in self.seen:
            first, last = self.seen[kind]
            cos, sin = self.rotation[kind]
            self.seen[kind], self.rotation[kind] = (first[-1:], last[-1:]), (cos[-1:], sin[-1:])


def self_attention(
    x: np.ndarray, spec: LayerSpec, weights: Weights, context: Context, eps: float, watch: Watch = unwatched
) -> np.ndarray:
    """x (T, D), normed -> (T, D). A layer that shares KV makes queries only and reads its source's keys and values."""
    rotation = context.rotation[spec.kind]
    queries = make_queries(x, spec, weights, rotation, eps, watch)
    if spec.shares_kv:
        keys, values, key_start = context.keys_values[spec.kv_source]
    else:
        keys, values, key_start = context.add(spec.index, *make_keys_values(x, spec, weights, rotation, eps, watch))
    heads = attend(queries, keys, values, *context.seen[spec.kind], watch, key_start)
    return join_heads(heads, weights, watch)


def mixture(
    x: np.ndarray, dense: np.ndarray, weights: Weights, top_k: int, eps: float, watch: Watch = unwatched
) -> np.ndarray:
    """Dense branch and experts, each normed, added: x (T, D) the residual stream, dense (T, D) -> (T, D)."""
    index, weight = route(x, weights.under("router."), top_k, eps, watch)
    chosen = experts(
        rms_norm(x, weights["pre_feedforward_layernorm_2.weight"], eps), index, weight, weights.under("experts.")
    )
    dense = watch("dense", rms_norm(dense, weights["post_feedforward_layernorm_1.weight"], eps))
    chosen = watch("experts", rms_norm(chosen, weights["post_feedforward_layernorm_2.weight"], eps))
    return dense + chosen


def layer(
    x: np.ndarray,
    spec: LayerSpec,
    weights: Weights,
    context: Context,
    config: TextConfig,
    ple: np.ndarray | None = None,
    watch: Watch = unwatched,
) -> np.ndarray:
    """One decoder layer: x (T, D) -> (T, D). weights below ``layers.i.``; ple (T, P), its per-layer embedding."""
    eps = config.rms_norm_eps
    x = watch("input", x)

    # 1. Attention
    a = watch("attention.input", rms_norm(x, weights["input_layernorm.weight"], eps))
    a = self_attention(a, spec, weights.under("self_attn."), context, eps, watch.under("attention"))
    x = x + watch("attention.added", rms_norm(a, weights["post_attention_layernorm.weight"], eps))
    x = watch("middle", x)

    # 2. Feed-forward, with experts beside it in a mixture layer
    f = watch("feed_forward.input", rms_norm(x, weights["pre_feedforward_layernorm.weight"], eps))
    f = feed_forward(f, weights.under("mlp."), watch.under("feed_forward"))
    if spec.experts:
        f = mixture(x, f, weights, config.top_k_experts, eps, watch.under("moe"))
    x = x + watch("feed_forward.added", rms_norm(f, weights["post_feedforward_layernorm.weight"], eps))

    # 3. Per-layer embedding
    if ple is not None:
        x = x + inject(x, ple, weights, eps, watch.under("ple"))

    # 4. The whole stream is scaled, not just the branches
    return watch("output", watch("before_scalar", x) * weights["layer_scalar"])


def run_layers(
    x: np.ndarray,
    specs: tuple[LayerSpec, ...],
    weights: Weights,
    context: Context,
    config: TextConfig,
    ple: np.ndarray | None = None,
    last_only: bool = False,
    watch: Watch = unwatched,
) -> np.ndarray:
    """The stack: x (T, D), ple (T, L, P) or None -> (T, D), or (1, D) when only the last position is wanted.

    The layers that share KV make no keys, so for the last position alone they need not run at the others.
    """
    for spec in specs:
        if last_only and spec.index == config.first_shared_layer:
            x, ple = x[-1:], None if ple is None else ple[-1:]
            context.last_only()
        upcoming = [f"layers.{spec.index + 1}.{part}" for part in READ_AHEAD]
        weights.prefetch(upcoming if spec is not specs[-1] else ["embed_tokens.weight"])  # the head comes last
        name = f"layers.{spec.index}"
        x = layer(
            x,
            spec,
            weights.under(name + "."),
            context,
            config,
            None if ple is None else ple[:, spec.index],
            watch.under(name),
        )
    return x[-1:] if last_only else x
