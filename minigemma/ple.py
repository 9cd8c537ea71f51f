"""Per-layer embeddings (E2B, E4B): a second, small embedding of every token for every layer.

One row of a large table holds a token's vectors for all layers, so a model with a 5 GB table reads 18 KB of it per
token. Each vector is mixed with a projection of the token's ordinary embedding, and at the end of its layer gates a
small correction to the residual stream. Source: Gemma4TextModel.get_per_layer_inputs, project_per_layer_inputs.
"""

from __future__ import annotations

import math

import numpy as np

from minigemma.checkpoint import Weights
from minigemma.ops import gelu, linear, product, rms_norm
from minigemma.trace import Watch, unwatched


def per_layer_inputs(
    token_ids: np.ndarray, embeddings: np.ndarray, weights: Weights, layers: int, eps: float, watch: Watch = unwatched
) -> np.ndarray:
    """The vectors every layer will be given: token_ids (T,), embeddings (T, D) -> (T, L, P).

    token_ids: the pad id stands where an image or a sound is. embeddings: what enters layer 0, soft tokens included.
    """
    T, D = embeddings.shape
    token = weights.rows("embed_tokens_per_layer.weight", token_ids).reshape(T, layers, -1)  # (T, L, P)
    token *= math.sqrt(token.shape[-1])  # in place, here and below: for a long prompt these are large
    token = watch("token_part", token)

    context = product(embeddings, weights, "per_layer_model_projection.weight")
    context *= D**-0.5
    context = rms_norm(context.reshape(token.shape), weights["per_layer_projection_norm.weight"], eps)
    context = watch("context_part", context)
    inputs = context + token
    inputs *= 2**-0.5
    return watch("inputs", inputs)


def inject(x: np.ndarray, ple: np.ndarray, weights: Weights, eps: float, watch: Watch = unwatched) -> np.ndarray:
    """What one layer adds to the stream: x (T, D), ple (T, P), this layer's vectors -> (T, D)."""
    gate = watch("gate", gelu(linear(x, weights["per_layer_input_gate.weight"])))  # (T, P)
    output = linear(gate * ple, weights["per_layer_projection.weight"])
    return watch("added", rms_norm(output, weights["post_per_layer_input_norm.weight"], eps))
