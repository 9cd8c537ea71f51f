"""The shipped shapes, small: every mechanism of the released E2B, 26B-A4B and 31B switched on; the hub's own keys."""

from __future__ import annotations

import copy
from typing import Any

LOCAL, GLOBAL = "sliding_attention", "full_attention"


def _pattern(layers: int, every: int) -> list[str]:
    return [GLOBAL if (i + 1) % every == 0 else LOCAL for i in range(layers)]


_TEXT: dict[str, Any] = {
    "model_type": "gemma4_text",
    "vocab_size": 2048,
    "hidden_size": 128,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 4096,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
    "use_cache": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "final_logit_softcapping": 30.0,
    "rope_parameters": {
        GLOBAL: {"partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0, "rope_type": "proportional"},
        LOCAL: {"rope_theta": 10_000.0, "rope_type": "default"},
    },
    "vocab_size_per_layer_input": 2048,
    "dtype": "bfloat16",
}
_VISION: dict[str, Any] = {
    "model_type": "gemma4_vision",
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 24,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 131072,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"},
    "pooling_kernel_size": 3,
    "patch_size": 16,
    "position_embedding_size": 1024,
    "default_output_length": 70,
    "initializer_range": 0.02,
    "dtype": "bfloat16",
}
_AUDIO: dict[str, Any] = {
    "model_type": "gemma4_audio",
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "hidden_act": "silu",
    "subsampling_conv_channels": [128, 16],
    "conv_kernel_size": 5,
    "residual_weight": 0.5,
    "attention_chunk_size": 12,
    "attention_context_left": 13,
    "attention_context_right": 0,
    "attention_logit_cap": 50.0,
    "attention_invalid_logits_value": -1e9,
    "use_clipped_linears": True,
    "rms_norm_eps": 1e-6,
    "gradient_clipping": 1e10,
    "output_proj_dims": 128,
    "initializer_range": 0.02,
    "dtype": "bfloat16",
}

_SHAPES: dict[str, dict[str, Any]] = {
    "mini-e": {
        "text": {
            "num_hidden_layers": 10,
            "layer_types": _pattern(10, 5),
            "intermediate_size": 256,
            "use_double_wide_mlp": True,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "num_global_key_value_heads": None,
            "head_dim": 32,
            "global_head_dim": 64,
            "sliding_window": 32,
            "hidden_size_per_layer_input": 16,
            "num_kv_shared_layers": 5,
            "attention_k_eq_v": False,
            "use_bidirectional_attention": None,
            "enable_moe_block": False,
            "num_experts": None,
            "top_k_experts": None,
            "moe_intermediate_size": None,
        },
        "vision": {"use_clipped_linears": True, "standardize": False},
        "audio": {},
    },
    "mini-a4b": {
        "text": {
            "num_hidden_layers": 12,
            "layer_types": _pattern(12, 6),
            "intermediate_size": 192,
            "use_double_wide_mlp": False,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_global_key_value_heads": 1,
            "head_dim": 32,
            "global_head_dim": 64,
            "sliding_window": 32,
            "hidden_size_per_layer_input": 0,
            "num_kv_shared_layers": 0,
            "attention_k_eq_v": True,
            "use_bidirectional_attention": "vision",
            "enable_moe_block": True,
            "num_experts": 16,
            "top_k_experts": 4,
            "moe_intermediate_size": 40,
        },
        "vision": {"use_clipped_linears": False, "standardize": True},
        "audio": None,
    },
}
_SHAPES["mini-31b"] = copy.deepcopy(_SHAPES["mini-a4b"])  # as the released ones: dense where the other has experts
_SHAPES["mini-31b"]["text"] |= {
    "intermediate_size": 512,
    "enable_moe_block": False,
    "num_experts": None,
    "top_k_experts": None,
    "moe_intermediate_size": None,
}
NAMES = tuple(_SHAPES)


def config(name: str, ids: dict[str, int]) -> dict[str, Any]:
    """The hub-form ``config.json`` of a shipped shape. ids: special token -> id."""
    shape = copy.deepcopy(_SHAPES[name])
    end = ids["<turn|>"]
    return {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "model_type": "gemma4",
        "dtype": "bfloat16",
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "eos_token_id": [1, end],
        "boi_token_id": ids["<|image>"],
        "eoi_token_id": ids["<image|>"],
        "image_token_id": ids["<|image|>"],
        "boa_token_id": ids["<|audio>"],
        "eoa_token_index": ids["<audio|>"],
        "audio_token_id": ids["<|audio|>"],
        "video_token_id": ids["<|video|>"],
        "vision_soft_tokens_per_image": 70,
        "text_config": copy.deepcopy(_TEXT) | shape["text"],
        "vision_config": copy.deepcopy(_VISION) | shape["vision"],
        "audio_config": None if shape["audio"] is None else copy.deepcopy(_AUDIO) | shape["audio"],
    }
