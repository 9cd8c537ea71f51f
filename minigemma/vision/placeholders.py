"""What stands for pictures in a prompt: one placeholder a soft token, between a begin and an end marker.

In text a user writes one ``<|image|>``; the processor expands it to ``<|image>`` + n x ``<|image|>`` + ``<image|>``.
The encoder's soft tokens then take the places of the placeholders. Source: Gemma4Processor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigemma.config import Config

BEGIN, IMAGE, VIDEO, END = "<|image>", "<|image|>", "<|video|>", "<image|>"
TEXT_TYPE, IMAGE_TYPE, VIDEO_TYPE, AUDIO_TYPE = 0, 1, 2, 3  # the reference's mm_token_type_ids


def soft_token_count(positions: np.ndarray, pool: int = 3) -> int:
    """How many soft tokens patches at positions (N, 2) become."""
    return len(positions) // pool**2


def image_text(soft_tokens: int) -> str:
    """An image in a prompt.

    >>> image_text(3)
    '<|image><|image|><|image|><|image|><image|>'
    """
    return BEGIN + IMAGE * soft_tokens + END


def video_text(stamps: Sequence[str], soft_tokens: Sequence[int]) -> str:
    """A video in a prompt: every frame with its time, joined by spaces.

    >>> video_text(["00:00", "00:01"], [2, 2])
    '00:00 <|image><|video|><|video|><image|> 00:01 <|image><|video|><|video|><image|>'
    """
    return " ".join(f"{stamp} {BEGIN}{VIDEO * n}{END}" for stamp, n in zip(stamps, soft_tokens, strict=True))


def image_ids(soft_tokens: int, config: Config) -> list[int]:
    """``image_text`` as token ids."""
    return [config.boi_token_id, *[config.image_token_id] * soft_tokens, config.eoi_token_id]


def token_types(token_ids: Sequence[int] | np.ndarray, config: Config) -> np.ndarray:
    """0 text, 1 image, 2 video, 3 audio: ids (T,) -> (T,) int. The markers around them are text."""
    ids = np.asarray(token_ids)
    types = np.full(ids.shape, TEXT_TYPE)
    types[ids == config.image_token_id] = IMAGE_TYPE
    types[ids == config.video_token_id] = VIDEO_TYPE
    types[ids == config.audio_token_id] = AUDIO_TYPE
    return types
