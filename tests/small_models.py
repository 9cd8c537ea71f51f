"""Small Gemma 4 models of all four shapes with random weights, made without torch.

Every number is chosen so that a mix-up fails loudly: heads * head_dim differs from the model width, local and global
layers differ in head width and (where the family allows it) KV heads, prompts are several windows long, and there are
at least two global layers and two KV-sharing layers of each kind.

Weights are drawn by tensor name from raw PCG64 bits, so the same name, shape and seed give the same numbers on every
machine and NumPy version, with or without torch: goldens store outputs only.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig, Config, TextConfig, VisionConfig, interleave
from minigemma.model import Gemma4
from minigemma.parameters import tensor_shapes

VOCABULARY = 97
TEXT_IDS = 80  # ids below this are text; the special ones follow
SPECIAL = {
    "image_token_id": 90,
    "audio_token_id": 91,
    "video_token_id": 92,
    "boi_token_id": 93,
    "eoi_token_id": 94,
    "boa_token_id": 95,
    "eoa_token_id": 96,
}


_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "max_position_embeddings": 512,
}

TEXT: dict[str, TextConfig] = {
    "e2b": TextConfig(  # locals 7, 9, 10 read layer 6, globals 8 and 11 read layer 5; these five are double-wide
        hidden_size=48,
        num_hidden_layers=12,
        layer_types=interleave(12, 3),
        intermediate_size=40,
        use_double_wide_mlp=True,
        num_attention_heads=4,
        num_key_value_heads=1,
        num_global_key_value_heads=1,
        head_dim=8,
        global_head_dim=16,
        sliding_window=5,
        hidden_size_per_layer_input=12,
        num_kv_shared_layers=5,
        **_COMMON,
    ),
    "e4b": TextConfig(  # locals 6, 8, 9, 10 read layer 5, globals 7 and 11 read layer 3
        hidden_size=56,
        num_hidden_layers=12,
        layer_types=interleave(12, 4),
        intermediate_size=72,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_global_key_value_heads=2,
        head_dim=12,
        global_head_dim=24,
        sliding_window=8,
        hidden_size_per_layer_input=10,
        num_kv_shared_layers=6,
        **_COMMON,
    ),
    "26b": TextConfig(
        hidden_size=52,
        num_hidden_layers=10,
        layer_types=interleave(10, 5),
        intermediate_size=36,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_global_key_value_heads=1,
        head_dim=8,
        global_head_dim=16,
        sliding_window=6,
        attention_k_eq_v=True,
        use_bidirectional_attention="vision",
        enable_moe_block=True,
        num_experts=12,
        top_k_experts=3,
        moe_intermediate_size=20,
        **_COMMON,
    ),
    "31b": TextConfig(
        hidden_size=60,
        num_hidden_layers=12,
        layer_types=interleave(12, 6),
        intermediate_size=88,
        num_attention_heads=8,
        num_key_value_heads=4,
        num_global_key_value_heads=2,
        head_dim=8,
        global_head_dim=24,
        sliding_window=4,
        attention_k_eq_v=True,
        use_bidirectional_attention="vision",
        **_COMMON,
    ),
}
SHAPES = tuple(TEXT)


def small_config(shape: str, towers: bool = False, **overrides: Any) -> Config:
    """A small model's config; ``overrides`` change fields of its text part. towers: with eyes (e-shapes: ears too)."""
    large = shape in ("26b", "31b")
    vision = VisionConfig(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        head_dim=12,
        intermediate_size=40,
        position_embedding_size=32,
        use_clipped_linears=not large,
        standardize=large,
    )
    audio = AudioConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        subsampling_conv_channels=(128, 4),  # the reference takes the first for the number of mel bins
        output_proj_dims=24,
    )
    return Config(
        text=dataclasses.replace(TEXT[shape], **overrides),
        vision=vision if towers else None,
        audio=audio if towers and not large else None,
        **SPECIAL,
    )


def _uniform(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    bits = np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(key.encode())]))
    raw = np.asarray(bits.random_raw(max(1, int(np.prod(shape)))))
    return ((raw >> np.uint64(11)) * 2.0**-53).reshape(shape)  # [0, 1)


_RANGES = {
    "layer_scalar": (0.5, 1.2),
    "q_norm": (0.4, 1.0),  # these two set how peaked attention is
    "k_norm": (0.4, 1.0),
    "scale": (0.5, 1.5),
    "per_expert_scale": (0.5, 1.5),
    "std_scale": (0.5, 1.5),
    "std_bias": (-0.5, 0.5),
    "bias": (-0.5, 0.5),
    "per_dim_scale": (-0.5, 0.5),
    "position_embedding_table": (-0.5, 0.5),
    "input_min": (-2.5, -1.0),
    "output_min": (-2.5, -1.0),
    "input_max": (1.0, 2.5),
    "output_max": (1.0, 2.5),
    "embed_tokens": (-0.5, 0.5),
    "embed_tokens_per_layer": (-0.5, 0.5),
    "router.proj": (-3.0, 3.0),  # the router divides by sqrt(D) itself
}


def draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The random tensor of this name, shape and seed, float32: norms, scalars, bounds away from neutral values."""
    key = name.removeprefix("model.").removeprefix("language_model.")
    parts = key.removesuffix(".weight").split(".")
    if (found := _RANGES.get(".".join(parts[-2:])) or _RANGES.get(parts[-1])) is not None:
        low, high = found
    elif "norm" in parts[-1]:
        low, high = 0.5, 1.5
    else:  # a linear layer or a convolution: keep the size of what goes through; experts have an axis more
        fan_in = shape[-1] if "experts" in key else int(np.prod(shape[1:]))
        low, high = -((3 / fan_in) ** 0.5), (3 / fan_in) ** 0.5
    tensor = np.asarray(low + (high - low) * _uniform(key, shape, seed), np.float32)
    if key == "embed_tokens.weight":
        tensor[TEXT_IDS:] *= np.float32(0.1)  # small logits: no greedy continuation chooses a placeholder
    return tensor


def draw_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Every tensor of a checkpoint."""
    return {name: draw(name, tuple(shape), seed) for name, shape in shapes.items()}


def draw_ids(length: int, seed: int) -> np.ndarray:
    """Text ids (T,), the pad id 0 among the possible ones."""
    return (_uniform("token ids", (length,), seed) * TEXT_IDS).astype(np.int64)


def draw_image(width: int, height: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of width x height patches (multiples of 3) -> patches (N, 768) in [0, 1), positions (N, 2) as x, y."""
    y, x = np.mgrid[:height, :width]
    positions = np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.int64)
    return _uniform("image", (width * height, 768), seed).astype(np.float32), positions


def draw_mel(frames: int, seed: int) -> np.ndarray:
    """A log-mel spectrogram (frames, 128)."""
    return (_uniform("mel", (frames, 128), seed) * 6 - 5).astype(np.float32)


def media_prompt(shape: str, seed: int) -> tuple[np.ndarray, list, list]:
    """Ids (T,), images and sounds: text, an image longer than the window, text, a small image, for e-shapes a sound.

    Token counts: patches / 9 an image; frames / 4, rounded up, a sound.
    """
    images = [draw_image(12, 6, seed), draw_image(3, 6, seed + 1)]  # 8 and 2 soft tokens
    audio = [draw_mel(37, seed)] if shape.startswith("e") else []  # 10 soft tokens
    text = iter(draw_ids(64, seed))
    take = lambda n: [int(next(text)) for _ in range(n)]  # noqa: E731
    wrap = lambda kind, n: [SPECIAL[f"bo{kind[0]}_token_id"]] + [SPECIAL[f"{kind}_token_id"]] * n  # noqa: E731
    ids = take(5)
    for patches, _ in images:
        ids += [*wrap("image", len(patches) // 9), SPECIAL["eoi_token_id"], *take(3)]
    for mel in audio:
        ids += [*wrap("audio", -(-len(mel) // 4)), SPECIAL["eoa_token_id"], *take(4)]
    return np.array(ids), images, audio


@cache
def random_gemma(shape: str, towers: bool = False, seed: int = 0, **overrides: Any) -> Gemma4:
    """A small model with random weights, made without torch. Kept, so do not change it."""
    config = small_config(shape, towers, **overrides)
    return Gemma4(config, Weights.of(draw_weights(tensor_shapes(config), seed)).under("model."))
