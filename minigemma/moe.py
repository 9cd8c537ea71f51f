"""Mixture of experts (26B-A4B): a router sends each token to a few of many small feed-forward networks.

The router looks at the residual stream through a norm of its own; softmax over all experts, keep the top k, renormalise
so that they sum to one, and only then multiply each by its expert's learned scale. The dense feed-forward of the layer
runs beside the experts for every token. Sources: Shazeer et al. 2017; Gemma4TextRouter, Gemma4TextExperts.
"""

from __future__ import annotations

import numpy as np

from minigemma.checkpoint import Weights
from minigemma.ops import gelu, linear, rms_norm, softmax
from minigemma.trace import Watch, unwatched


def route(
    x: np.ndarray, weights: Weights, top_k: int, eps: float, watch: Watch = unwatched
) -> tuple[np.ndarray, np.ndarray]:
    """Choose experts: x (T, D), the residual stream itself -> expert_index (T, k), expert_weight (T, k).

    The most probable expert comes first; of equals, the one with the lower number.
    """
    x = rms_norm(x, None, eps) * weights["scale"] * np.float32(x.shape[-1] ** -0.5)
    scores = watch("router_scores", linear(x, weights["proj.weight"]))  # (T, E)
    probabilities = watch("router_probabilities", softmax(scores))

    index = watch("expert_index", np.argsort(-probabilities, axis=-1, kind="stable")[:, :top_k])
    weight = probabilities[np.arange(len(x))[:, None], index]  # (T, k)
    weight /= weight.sum(axis=-1, keepdims=True)
    return index, watch("expert_weight", weight * weights["per_expert_scale"][index])


def experts(x: np.ndarray, index: np.ndarray, weight: np.ndarray, weights: Weights) -> np.ndarray:
    """The chosen experts' outputs, weighted and summed: x (T, D), index and weight (T, k) -> (T, D).

    Tokens are grouped by expert, so each chosen expert is one matrix product, and the others are not even read.
    """
    output = np.zeros_like(x)
    chosen = np.flatnonzero(np.bincount(index.ravel())).tolist()
    weights.prefetch(["gate_up_proj", "down_proj"], only=chosen)
    for expert in chosen:
        tokens, slot = np.nonzero(index == expert)
        gate_up = weights.product(x[tokens], "gate_up_proj", expert)  # (t, 2F): the gate first, then up
        width = gate_up.shape[-1] // 2
        inner = gelu(gate_up[:, :width]) * gate_up[:, width:] * weight[tokens, slot, None]
        output[tokens] += weights.product(inner, "down_proj", expert)
    return output
