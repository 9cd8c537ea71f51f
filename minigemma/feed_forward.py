"""The feed-forward network: a gated one, GeGLU (Shazeer 2020; Gemma4TextMLP)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minigemma.ops import gelu, product
from minigemma.threads import each_value
from minigemma.trace import Watch, unwatched


def feed_forward(x: np.ndarray, weights: Mapping, watch: Watch = unwatched) -> np.ndarray:
    """``down(gelu(gate(x)) * up(x))``: x (T, D) -> (T, D), through an inner width F."""
    gate = product(x, weights, "gate_proj.weight")  # (T, F)
    gate = watch("gate", gelu(gate, out=gate))  # in place: the widest activations of the model
    up = product(x, weights, "up_proj.weight")
    each_value(np.multiply, gate, up, gate)  # gate *= up, on every core
    return watch("output", product(watch("inner", gate), weights, "down_proj.weight"))
