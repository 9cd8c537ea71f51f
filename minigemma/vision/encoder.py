"""The vision transformer: patches look at all patches, and know where they are from two tables and a 2-D rotation.

One layer is the decoder's sandwich (norm, compute, norm, add) without masks, caches or scalars. The small tower (E2B,
E4B) clamps what goes into and comes out of every linear layer; the large one (26B-A4B, 31B) standardises its soft
tokens at the end. N patches, D width, H heads, K head width, F feed-forward width, n soft tokens.

Names a trace records, below the caller's prefix, which is ``images.0``, ``images.1`` ... in a pass of the whole model
(a frame of a video is an image) and nothing in ``model.encode_image(patches, positions, trace)``:

    patch_embedding (N, D)                   pixels after their linear layer
    position_embedding (N, D)                the row of x plus the row of y
    layers.i.input (N, D)                    the residual stream before the layer
    layers.i.attention.input (N, D)          normed
    layers.i.attention.queries, keys, values (N, H, K)
    layers.i.attention.pattern (H, N, N)     made only if asked for, and so is .scores: 305 MB a layer at N = 2,520
    layers.i.attention.heads (N, H, K)       each head's weighted values
    layers.i.attention.output, added (N, D)  after the output projection; after the second norm
    layers.i.middle (N, D)                   the residual stream between attention and feed-forward
    layers.i.feed_forward.input (N, D), gate, inner (N, F), output, added (N, D)
    layers.i.output (N, D)                   the residual stream after the layer
    pooled (n, D)                            averaged over 3 x 3 patches, times √D
    standardised (n, D)                      large tower only
    soft_tokens (n, D of the decoder)        projected; recorded by ``project``

Sources: Gemma4VisionModel, Gemma4VisionEncoderLayer, Gemma4VisionAttention, Gemma4VisionRotaryEmbedding.
"""

from __future__ import annotations

import numpy as np

from minigemma.attention import Rotation, attend
from minigemma.checkpoint import Weights
from minigemma.config import VisionConfig
from minigemma.errors import InputError
from minigemma.ops import clipped_linear, gelu, linear, rms_norm
from minigemma.rope import rotate, rotation_frequencies, rotation_table
from minigemma.threads import each_value, in_blocks
from minigemma.trace import Watch, unwatched
from minigemma.vision.pooling import pool_patches, standardise

SCORES_AT_ONCE = 2**21  # 8 MB, which stay in the processor's cache from the product to the exponential and back


def encode(
    patches: np.ndarray, positions: np.ndarray, weights: Weights, config: VisionConfig, watch: Watch = unwatched
) -> np.ndarray:
    """Patches (N, 768) in [0, 1] at positions (N, 2) as (x, y) -> soft tokens (n, D), pooled and standardised.

    weights: below ``model.vision_tower.``. One image, no padding; ``project`` takes the result into the decoder.
    InputError if the patches do not fit the tower, or lie outside its position table.
    """
    check(patches, positions, config)
    x = embed(patches, positions, weights.under("patch_embedder."), watch)  # (N, D)
    rotations = rotations_2d(positions, config)
    for i in range(config.num_hidden_layers):
        x = layer(x, rotations, weights.under(f"encoder.layers.{i}."), config, watch.under(f"layers.{i}"))
    soft = watch("pooled", pool_patches(x, positions, config.pooling_kernel_size))  # (n, D)
    if config.standardize:
        soft = watch("standardised", standardise(soft, weights["std_bias"], weights["std_scale"]))
    return soft


def check(patches: np.ndarray, positions: np.ndarray, config: VisionConfig) -> None:
    """Raise InputError, saying what was given and expected, if the tower cannot read these patches."""
    width = 3 * config.patch_size**2
    if patches.ndim != 2 or not len(patches) or patches.shape[1] != width or positions.shape != (len(patches), 2):
        raise InputError(
            f"patches {patches.shape} and positions {positions.shape} were given, (N, {width}) and (N, 2) expected: "
            "make them with minigemma.vision.prepare"
        )
    if positions.dtype.kind not in "iu":
        raise InputError(f"positions are whole numbers of patches (x, y); {positions.dtype} was given")
    if positions.min() < 0:
        raise InputError("a position is negative: drop padding first, keep = positions[:, 0] >= 0")
    if (most := int(positions.max()) + 1) > config.position_embedding_size:
        raise InputError(
            f"the picture is {most} patches long, this tower has positions for {config.position_embedding_size}: "
            "use a smaller budget of soft tokens, or crop the picture to a less extreme shape"
        )


def embed(patches: np.ndarray, positions: np.ndarray, weights: Weights, watch: Watch = unwatched) -> np.ndarray:
    """Pixels from [0, 1] to [-1, 1], through a linear layer, plus a learned row for x and one for y: -> (N, D)."""
    pixels = 2 * (patches - np.float32(0.5))
    tables = weights["position_embedding_table"]  # (2, places, D)
    content = watch("patch_embedding", linear(pixels, weights["input_proj.weight"]))
    place = watch("position_embedding", tables[0, positions[:, 0]] + tables[1, positions[:, 1]])
    return content + place


def rotations_2d(positions: np.ndarray, config: VisionConfig) -> tuple[Rotation, Rotation]:
    """Cosines and sines for x and for y, each two arrays (N, K/4): every half of a head has its own little RoPE."""
    frequencies = rotation_frequencies(config.head_dim // 2, config.rope_theta)  # (K/4,)
    return rotation_table(positions[:, 0], frequencies), rotation_table(positions[:, 1], frequencies)


def rotate_2d(x: np.ndarray, rotations: tuple[Rotation, Rotation]) -> np.ndarray:
    """Turn the first half of every head by the patch's x, the second by its y. x (N, H, K) -> (N, H, K)."""
    halves = np.split(x, 2, axis=-1)
    return np.concatenate([rotate(half, rotation) for half, rotation in zip(halves, rotations, strict=True)], axis=-1)


def layer(
    x: np.ndarray,
    rotations: tuple[Rotation, Rotation],
    weights: Weights,
    config: VisionConfig,
    watch: Watch = unwatched,
) -> np.ndarray:
    """One layer: x (N, D) -> (N, D). weights below ``encoder.layers.i.``."""
    eps = config.rms_norm_eps
    x = watch("input", x)
    a = watch("attention.input", rms_norm(x, weights["input_layernorm.weight"], eps))
    a = self_attention(a, rotations, weights.under("self_attn."), config, watch.under("attention"))
    x = x + watch("attention.added", rms_norm(a, weights["post_attention_layernorm.weight"], eps))
    x = watch("middle", x)
    f = watch("feed_forward.input", rms_norm(x, weights["pre_feedforward_layernorm.weight"], eps))
    f = feed_forward(f, weights.under("mlp."), watch.under("feed_forward"))
    x = x + watch("feed_forward.added", rms_norm(f, weights["post_feedforward_layernorm.weight"], eps))
    return watch("output", x)


def self_attention(
    x: np.ndarray,
    rotations: tuple[Rotation, Rotation],
    weights: Weights,
    config: VisionConfig,
    watch: Watch = unwatched,
) -> np.ndarray:
    """Every patch looks at every patch: x (N, D), normed -> (N, D). Queries and keys are normed, scores not scaled."""
    N, eps = len(x), config.rms_norm_eps

    def heads_of(name: str) -> np.ndarray:
        return clipped_linear(x, weights.under(name)).reshape(N, config.num_attention_heads, config.head_dim)

    queries = watch("queries", rotate_2d(rms_norm(heads_of("q_proj."), weights["q_norm.weight"], eps), rotations))
    keys = watch("keys", rotate_2d(rms_norm(heads_of("k_proj."), weights["k_norm.weight"], eps), rotations))
    values = watch("values", rms_norm(heads_of("v_proj."), None, eps))  # (N, H, K), never rotated
    heads = watch("heads", look_everywhere(queries, keys, values, watch))  # (N, H, K)
    return watch("output", clipped_linear(heads.reshape(N, -1), weights.under("o_proj.")))


def look_everywhere(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, watch: Watch = unwatched) -> np.ndarray:
    """Each patch's weighted mean of all patches' values: three (N, H, K) -> (N, H, K). ``attend`` without a mask.

    One head and a block of queries at a time: whole matrices for BLAS, and never more than 8 MB of scores.
    """
    N, H, _ = queries.shape
    if watch.wants("pattern") or watch.wants("scores"):
        return attend(queries, keys, values, np.zeros(N, int), np.full(N, N - 1), watch)
    heads = np.empty_like(queries)
    step = min(N, -(-SCORES_AT_ONCE // N))  # queries in a block
    room, total = np.empty((step, N), np.float32), np.empty((step, 1), np.float32)

    def weigh(scores: np.ndarray, total: np.ndarray) -> None:
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        np.einsum("nk->n", scores, out=total[:, 0])

    for head in range(H):
        q, k, v = (np.ascontiguousarray(each[:, head]) for each in (queries, keys, values))  # (N, K) each
        k = np.ascontiguousarray(k.T)
        for start in range(0, N, step):
            block = q[start : start + step]
            weights = np.matmul(block, k, out=room[: len(block)])  # (n, N)
            in_blocks(weigh, weights, total[: len(block)])
            heads[start : start + step, head] = (weights @ v) / total[: len(block)]
    return heads


def feed_forward(x: np.ndarray, weights: Weights, watch: Watch = unwatched) -> np.ndarray:
    """GeGLU with clamped linear layers: ``down(gelu(gate(x)) * up(x))``, x (N, D) -> (N, D)."""
    gate = clipped_linear(x, weights.under("gate_proj."))  # (N, F)
    gate = watch("gate", gelu(gate, out=gate))
    up = clipped_linear(x, weights.under("up_proj."))
    each_value(np.multiply, gate, up, gate)
    return watch("output", clipped_linear(watch("inner", gate), weights.under("down_proj.")))
