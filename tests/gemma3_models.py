"""Small Gemma 3 text models with random weights, made without torch: hub configs, tensors as the hub stores them."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_models import VOCABULARY, draw

from minigemma.checkpoint import Weights
from minigemma.config import Config
from minigemma.gemma3.weights import Gemma3Weights
from minigemma.model import Gemma4
from minigemma.parameters import tensor_shapes

# every number such that a mix-up fails: heads * head_dim is not the width, 1/sqrt(24) is not 1/sqrt(head_dim)
_COMMON: dict[str, Any] = {
    "architectures": ["Gemma3ForCausalLM"],
    "model_type": "gemma3_text",
    "vocab_size": VOCABULARY,
    "hidden_size": 56,
    "intermediate_size": 40,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "query_pre_attn_scalar": 24,
    "max_position_embeddings": 512,
    "sliding_window": 5,
    "hidden_activation": "gelu_pytorch_tanh",
    "attention_bias": False,
    "rms_norm_eps": 1e-6,
    "pad_token_id": 0,
    "eos_token_id": [1, 106],
    "bos_token_id": 2,
}
HUB = {
    "local last": _COMMON | {"num_hidden_layers": 8, "sliding_window_pattern": 3, "rope_theta": 70_000.0,
                             "rope_local_base_freq": 900.0, "rope_scaling": None},  # the older spelling
    "global last": _COMMON | {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "final_logit_softcapping": 20.0,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
            "full_attention": {"rope_type": "default", "rope_theta": 80_000.0},
        },
    },
}  # fmt: skip


def draw_stored(config: Config, seed: int) -> dict[str, np.ndarray]:
    """Every tensor under its whole-model name, norms as the hub stores them: their distance from 1."""
    drawn = {name: draw(name, shape, seed) for name, shape in tensor_shapes(config).items()}
    return {name: array - 1 if name.endswith("norm.weight") else array for name, array in drawn.items()}


def small_gemma3(shape: str, seed: int) -> Gemma4:
    config = Config.from_hub(HUB[shape])
    stored = Weights.of(draw_stored(config, seed))
    return Gemma4(config, Weights(Gemma3Weights(stored, config.text.num_hidden_layers), "model."))
