"""A Gemma 3 config.json (``gemma3_text``) in the words of Gemma 4, and back.

Two spellings are in circulation here too: ``rope_theta``, ``rope_local_base_freq``, ``sliding_window_pattern`` in old
files, ``rope_parameters`` and ``layer_types`` in new ones. Missing keys mean what Gemma3TextConfig takes them to mean.
"""

from __future__ import annotations

from dataclasses import asdict

from ..config import GLOBAL, LOCAL, Config, interleave
from ..errors import ConfigError

MODEL_TYPE = "gemma3_text"
_DEFAULTS = {
    "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096,
    "max_position_embeddings": 131_072, "query_pre_attn_scalar": 256,
}  # fmt: skip
_ABSENT = {  # what only Gemma 4 has
    "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0, "attention_k_eq_v": False,
    "enable_moe_block": False, "use_double_wide_mlp": False, "per_layer_config": None,
}  # fmt: skip


def in_gemma4_words(config: dict) -> dict:
    """The text config with Gemma 4's keys; ConfigError for what no Gemma 3 text model computes."""
    text = {**_DEFAULTS, **{name: value for name, value in config.items() if value is not None}, **_ABSENT}
    for name in ("attn_logit_softcapping", "use_bidirectional_attention"):
        if text.pop(name, None):
            raise ConfigError(f"{name} is {config[name]!r:.80}; supported: null or false")
    scalar = text["query_pre_attn_scalar"]
    if isinstance(scalar, bool) or not isinstance(scalar, (int, float)) or not 0 < scalar < 1e9:
        raise ConfigError(f"query_pre_attn_scalar is {scalar!r:.80}; expected a positive number")
    return text | {
        "global_head_dim": text["head_dim"],
        "layer_types": text.get("layer_types") or _layer_types(text),
        "rope_parameters": _rotations(text),
    }


def in_gemma3_words(config: Config) -> dict:
    """The config.json of a Gemma 3 text model."""
    same = [
        *_DEFAULTS,
        "rms_norm_eps",
        "final_logit_softcapping",
        "tie_word_embeddings",
        "pad_token_id",
        "bos_token_id",
    ]
    return {name: value for name, value in asdict(config.text).items() if name in same} | {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": MODEL_TYPE,
        "layer_types": list(config.text.layer_types),
        "query_pre_attn_scalar": round(config.text.attention_scale**-2),
        "rope_parameters": {
            LOCAL: {"rope_type": "default", "rope_theta": config.text.rope_theta_local},
            GLOBAL: {"rope_type": "default", "rope_theta": config.text.rope_theta_global},
        },
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "eos_token_id": list(config.eos_token_ids),
    }


def _layer_types(text: dict) -> list[str] | None:
    """Five local layers, then a global one, and the last is what the pattern makes it."""
    layers, every = text["num_hidden_layers"], text.get("sliding_window_pattern", 6)
    if not isinstance(every, int) or every < 1:
        raise ConfigError(f"sliding_window_pattern is {every!r:.80}; expected a whole number from 1")
    return list(interleave(layers, every)) if isinstance(layers, int) and layers <= 10_000 else None


def _rotations(text: dict) -> dict:
    """Both kinds of layer turn all their pairs; whatever else a file says of them is left for the reader to refuse."""
    given, scaling = text.get("rope_parameters", {}), text.get("rope_scaling", {})
    if not isinstance(given, dict) or not isinstance(scaling, dict):
        raise ConfigError("rope_parameters and rope_scaling must be objects of keys and values")
    found = {}
    for kind, key, theta in ((LOCAL, "rope_local_base_freq", 10_000.0), (GLOBAL, "rope_theta", 1_000_000.0)):
        known = given.get(kind) or {}
        if not isinstance(known, dict):
            raise ConfigError(f"rope_parameters.{kind} is {known!r:.80}; expected an object of keys and values")
        found[kind] = {"rope_type": "default", "rope_theta": text.get(key, theta)} | known
    found[GLOBAL] |= scaling
    return found
