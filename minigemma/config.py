"""What is known before the first token: the sizes of a model, as frozen dataclasses with the hub's own field names.

Letters used for shapes throughout the package: T tokens, S keys/values seen, D model width, H query heads, G KV heads,
K head width, F feed-forward width, E experts, L layers, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOCAL, GLOBAL = "sliding_attention", "full_attention"  # the hub's names of the two kinds of layer


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The decoder (``text_config`` on the hub; Gemma4TextConfig in the reference)."""

    vocab_size: int = 262_144  # V
    hidden_size: int  # D
    num_hidden_layers: int  # L
    layer_types: tuple[str, ...]  # LOCAL or GLOBAL, one a layer; the last is GLOBAL
    intermediate_size: int  # F
    use_double_wide_mlp: bool = False  # 2F in the layers that share KV
    num_attention_heads: int  # H
    num_key_value_heads: int  # G in local layers
    num_global_key_value_heads: int  # G in global layers
    head_dim: int = 256  # K in local layers
    global_head_dim: int = 512  # K in global layers
    sliding_window: int = 512  # keys a local query sees, itself included
    max_position_embeddings: int = 131_072  # the context, in tokens
    hidden_size_per_layer_input: int = 0  # width of a per-layer embedding; 0: the model has none
    vocab_size_per_layer_input: int = 262_144
    num_kv_shared_layers: int = 0  # the last so many layers reuse earlier keys and values
    attention_k_eq_v: bool = False  # global layers: values are made from the key projection
    attention_scale: float = 1.0  # factor of the queries; 1/sqrt(256) in Gemma 3, left to the learned norms in Gemma 4
    value_norm: bool = True  # values are RMS-normed, without a weight; not so in Gemma 3
    layer_scalar: bool = True  # a learned factor of the stream at the end of each layer; not stored (so 1) in Gemma 3
    use_bidirectional_attention: str | None = None  # "vision": tokens of one image see each other in local layers
    enable_moe_block: bool = False
    num_experts: int = 0  # E
    top_k_experts: int = 0
    moe_intermediate_size: int = 0
    rope_theta_local: float = 10_000.0
    rope_theta_global: float = 1_000_000.0
    rope_fraction_global: float = 0.25  # p of p-RoPE: the share of pairs that turn
    rms_norm_eps: float = 1e-6
    final_logit_softcapping: float | None = 30.0
    tie_word_embeddings: bool = True
    pad_token_id: int = 0
    eos_token_id: int = 1
    bos_token_id: int = 2

    @property
    def first_shared_layer(self) -> int:
        """Index of the first layer that has no keys and values of its own (L when there is none)."""
        return self.num_hidden_layers - self.num_kv_shared_layers


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """The vision transformer (``vision_config``; Gemma4VisionConfig)."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    head_dim: int
    intermediate_size: int
    patch_size: int = 16
    pooling_kernel_size: int = 3
    position_embedding_size: int = 10_240
    use_clipped_linears: bool = False
    standardize: bool = False
    rope_theta: float = 100.0
    rms_norm_eps: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """The sound encoder, a Conformer (``audio_config``; Gemma4AudioConfig)."""

    hidden_size: int = 1024
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    subsampling_conv_channels: tuple[int, int] = (128, 32)
    conv_kernel_size: int = 5
    residual_weight: float = 0.5
    attention_chunk_size: int = 12
    attention_context_left: int = 13
    attention_context_right: int = 0
    attention_logit_cap: float = 50.0
    attention_invalid_logits_value: float = -1e9
    use_clipped_linears: bool = True
    gradient_clipping: float = 1e10
    rms_norm_eps: float = 1e-6
    output_proj_dims: int = 1536


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the checkpoint's makers draw the next token (``generation_config.json``); temperature 0 is greedy."""

    temperature: float = 0.0
    top_k: int | None = None  # None: no limit
    top_p: float | None = None
    suppress_token_ids: tuple[int, ...] = ()  # never drawn


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole model: the decoder and, where present, its eyes and ears, with the ids that join them."""

    text: TextConfig
    model_type: str = "gemma4"  # or "gemma3_text": which file format; the arithmetic asks only the fields of ``text``
    vision: VisionConfig | None = None
    audio: AudioConfig | None = None
    image_token_id: int = 258_880
    boi_token_id: int = 255_999
    eoi_token_id: int = 258_882
    audio_token_id: int = 258_881
    boa_token_id: int = 256_000
    eoa_token_id: int = 258_883
    video_token_id: int = 258_884
    eos_token_ids: tuple[int, ...] = (1, 106)  # generation stops at any of these
    default_soft_tokens: int = 280  # the most soft tokens an image becomes unless told otherwise
    sampling: Sampling = Sampling()

    @classmethod
    def from_hub(cls, config: dict) -> Config:
        """A hub ``config.json``, already parsed, in either spelling; ConfigError where it cannot be a Gemma 4."""
        from .hub_config import from_hub

        return from_hub(config)


def interleave(layers: int, every: int) -> tuple[str, ...]:
    """``every - 1`` local layers, then a global one, repeated."""
    return tuple(GLOBAL if (i + 1) % every == 0 else LOCAL for i in range(layers))


_SMALL_EYE = VisionConfig(
    hidden_size=768,
    num_hidden_layers=16,
    num_attention_heads=12,
    head_dim=64,
    intermediate_size=3072,
    use_clipped_linears=True,
)
_LARGE_EYE = VisionConfig(
    hidden_size=1152,
    num_hidden_layers=27,
    num_attention_heads=16,
    head_dim=72,
    intermediate_size=4304,
    standardize=True,
)

PRESETS: dict[str, Config] = {
    "E2B": Config(
        text=TextConfig(
            hidden_size=1536,
            num_hidden_layers=35,
            layer_types=interleave(35, 5),
            intermediate_size=6144,
            use_double_wide_mlp=True,
            num_attention_heads=8,
            num_key_value_heads=1,
            num_global_key_value_heads=1,
            hidden_size_per_layer_input=256,
            num_kv_shared_layers=20,
        ),
        vision=_SMALL_EYE,
        audio=AudioConfig(),
    ),
    "E4B": Config(
        text=TextConfig(
            hidden_size=2560,
            num_hidden_layers=42,
            layer_types=interleave(42, 6),
            intermediate_size=10_240,
            num_attention_heads=8,
            num_key_value_heads=2,
            num_global_key_value_heads=2,
            hidden_size_per_layer_input=256,
            num_kv_shared_layers=18,
        ),
        vision=_SMALL_EYE,
        audio=AudioConfig(),
    ),
    "26B-A4B": Config(
        text=TextConfig(
            hidden_size=2816,
            num_hidden_layers=30,
            layer_types=interleave(30, 6),
            intermediate_size=2112,
            num_attention_heads=16,
            num_key_value_heads=8,
            num_global_key_value_heads=2,
            sliding_window=1024,
            max_position_embeddings=262_144,
            attention_k_eq_v=True,
            use_bidirectional_attention="vision",
            enable_moe_block=True,
            num_experts=128,
            top_k_experts=8,
            moe_intermediate_size=704,
        ),
        vision=_LARGE_EYE,
    ),
    "31B": Config(
        text=TextConfig(
            hidden_size=5376,
            num_hidden_layers=60,
            layer_types=interleave(60, 6),
            intermediate_size=21_504,
            num_attention_heads=32,
            num_key_value_heads=16,
            num_global_key_value_heads=4,
            sliding_window=1024,
            max_position_embeddings=262_144,
            attention_k_eq_v=True,
            use_bidirectional_attention="vision",
        ),
        vision=_LARGE_EYE,
    ),
}


def read_config(path: str | Path) -> Config:
    """The config of a checkpoint directory (or of one ``config.json``), with its processor and generation files."""
    from .hub_config import read_config

    return read_config(path)
