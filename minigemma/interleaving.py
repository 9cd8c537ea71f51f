"""Which layer does what: the schedule of local and global layers, and which keys each query may see.

Gemma 4 interleaves local attention (a sliding window) with global attention (everything so far), and the last layer is
always global. All that differs from layer to layer is worked out here, once, into a list that can be printed and drawn;
the code of a layer then has no variants in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigemma.config import GLOBAL, LOCAL, TextConfig


@dataclass(frozen=True)
class LayerSpec:
    """Everything about one layer that is known before the first token."""

    index: int
    kind: str  # LOCAL ("sliding_attention") or GLOBAL ("full_attention")
    window: int | None  # keys a query sees, itself included; None: all of them
    heads: int  # H
    kv_heads: int  # G
    head_dim: int  # K
    kv_source: int  # the layer whose keys and values are read: this one, unless it shares
    k_eq_v: bool  # values are made from the key projection
    attention_scale: float  # factor of the queries
    value_norm: bool  # values are RMS-normed
    feed_forward: int  # F
    experts: int  # E, 0 in a dense layer
    rope_theta: float
    rope_fraction: float  # share of a head's pairs that turn

    @property
    def is_local(self) -> bool:
        return self.kind == LOCAL

    @property
    def shares_kv(self) -> bool:
        """True where the layer has queries only and reads the keys and values of ``kv_source``."""
        return self.kv_source != self.index


def schedule(config: TextConfig) -> tuple[LayerSpec, ...]:
    """One LayerSpec a layer.

    A layer that shares KV reads the last earlier layer *of its own kind* that has its own (E2B: 13 for local layers,
    14 for global ones). Source: Gemma4TextConfig.kv_sharing_modes, Gemma4TextAttention.
    """
    kinds, shared = config.layer_types, config.first_shared_layer
    owner = {kind: max((i for i in range(shared) if kinds[i] == kind), default=-1) for kind in (LOCAL, GLOBAL)}
    return tuple(
        LayerSpec(
            index=i,
            kind=kind,
            window=config.sliding_window if kind == LOCAL else None,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads if kind == LOCAL else config.num_global_key_value_heads,
            head_dim=config.head_dim if kind == LOCAL else config.global_head_dim,
            kv_source=i if i < shared else owner[kind],
            k_eq_v=config.attention_k_eq_v and kind == GLOBAL,
            attention_scale=config.attention_scale,
            value_norm=config.value_norm,
            feed_forward=config.intermediate_size * (2 if config.use_double_wide_mlp and i >= shared else 1),
            experts=config.num_experts if config.enable_moe_block else 0,
            rope_theta=config.rope_theta_local if kind == LOCAL else config.rope_theta_global,
            rope_fraction=1.0 if kind == LOCAL else config.rope_fraction_global,
        )
        for i, kind in enumerate(kinds)
    )


def format_schedule(specs: tuple[LayerSpec, ...]) -> str:
    """The schedule as a table to print, one line a layer."""
    lines = ["layer  kind    sees   heads Q/KV x width   KV from   V from   feed-forward   experts"]
    for s in specs:
        kind = "local" if s.is_local else "GLOBAL"
        sees = "all" if s.window is None else str(s.window)
        heads = f"{s.heads}/{s.kv_heads} x {s.head_dim}"
        source = f"layer {s.kv_source}" if s.shares_kv else "own"
        value = "-" if s.shares_kv else "k_proj" if s.k_eq_v else "v_proj"
        experts = str(s.experts) if s.experts else "-"
        lines.append(
            f"{s.index:>5}  {kind:<6}  {sees:>5}  {heads:^18}   {source:<8}  {value:<7}"
            f"  {s.feed_forward:>11}    {experts:>6}"
        )
    return "\n".join(lines)


def visible_keys(
    positions: np.ndarray, window: int | None, block_end: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The first and last key position that each query sees. positions (T,) -> first (T,), last (T,), both inclusive.

    Every mask of Gemma 4 is one unbroken interval of keys a query, so two vectors say it all:

    >>> first, last = visible_keys(np.arange(5), window=3)
    >>> interval_mask(first, last, 5).astype(int)
    array([[1, 0, 0, 0, 0],
           [1, 1, 0, 0, 0],
           [1, 1, 1, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 1, 1, 1]])

    window: how many keys back a query sees, itself included (None: all). block_end (T,): for the tokens of an image,
    the position of its last token, which they all see (26B-A4B and 31B, local layers only); elsewhere the position
    itself. The window bounds the past, also inside an image: AND(window, OR(causal, same image)).
    Source: create_masks_for_vision_model. (DeepMind's JAX code bounds the future by the window too; transformers wins.)
    """
    first = np.zeros_like(positions) if window is None else np.maximum(positions - window + 1, 0)
    last = positions if block_end is None else np.maximum(positions, block_end)
    return first, last


def image_block_ends(is_image: np.ndarray, start: int = 0) -> np.ndarray:
    """The position of the last token of the image that each token belongs to; a text token's own position otherwise.

    is_image (T,) bool, start the position of the first token. An image is an unbroken run of placeholders.

    >>> image_block_ends(np.array([False, True, True, True, False]))
    array([0, 3, 3, 3, 4])
    """
    position = np.arange(start, start + len(is_image))
    goes_on = is_image & np.append(is_image[1:], False)  # the next token is of the same image
    ends = np.where(goes_on, position[-1:], position)
    return np.minimum.accumulate(ends[::-1])[::-1]  # the first end at or after each token


def interval_mask(first: np.ndarray, last: np.ndarray, keys: int) -> np.ndarray:
    """The mask that two vectors stand for, as a picture: (T, S) bool, True where a query sees a key."""
    key = np.arange(keys)
    return (key >= first[:, None]) & (key <= last[:, None])
