"""The released Gemma 3 decoders, for comparing: what a config needs for schedules, caches and parameter counts.

From 4B up the angles of global layers are also divided by 8 (to stretch 16K tokens of training to 128K), which is not
computed here: of these, only 270M and 1B can be loaded. Source: the config.json files on the hub.
"""

from __future__ import annotations

from ..config import Config, TextConfig, interleave
from .hub import MODEL_TYPE


def _gemma3(
    layers: int, width: int, inner: int, heads: int, kv_heads: int, *, window: int = 1024, head_dim: int = 256,
    scale: int = 256, vocabulary: int = 262_208, context: int = 131_072,
) -> Config:  # fmt: skip
    text = TextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        layer_types=interleave(layers, 6),
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        num_global_key_value_heads=kv_heads,
        head_dim=head_dim,
        global_head_dim=head_dim,
        sliding_window=window,
        max_position_embeddings=context,
        attention_scale=scale**-0.5,
        value_norm=False,
        layer_scalar=False,
        rope_fraction_global=1.0,
        final_logit_softcapping=None,
    )
    return Config(text=text, model_type=MODEL_TYPE)


PRESETS: dict[str, Config] = {
    "270M": _gemma3(18, 640, 2048, 4, 1, window=512, vocabulary=262_144, context=32_768),
    "1B": _gemma3(26, 1152, 6912, 4, 1, window=512, vocabulary=262_144, context=32_768),
    "4B": _gemma3(34, 2560, 10_240, 8, 4),
    "12B": _gemma3(48, 3840, 15_360, 16, 8),
    "27B": _gemma3(62, 5376, 21_504, 32, 16, head_dim=128, scale=168),
}
