"""Which positions of a prompt are words, which a picture, which a sound; and how attention divides among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigemma.config import Config

SENSES = ("text", "image", "audio")  # as 0, 1 and 2 in a row of token types


def token_sources(config: Config, token_ids: Sequence[int] | np.ndarray) -> list[str]:
    """Where the vector at each position comes from: "text", "image" (video too) or "audio".

    Only placeholders count: the marks before and after a picture or a sound are text, with rows of the table.
    """
    soft = {config.image_token_id: "image", config.video_token_id: "image", config.audio_token_id: "audio"}
    return [soft.get(int(i), "text") for i in token_ids]


def token_types(config: Config, token_ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """The same as numbers, (T,): 0 text, 1 image, 2 audio."""
    return np.array([SENSES.index(source) for source in token_sources(config, token_ids)])


def source_shares(weights: np.ndarray, sources: Sequence[str]) -> dict[str, np.ndarray]:
    """How attention divides: weights (..., S) over S positions -> {source: (...)}; together one for each row."""
    kinds = np.array(sources)
    return {source: weights[..., kinds == source].sum(axis=-1) for source in SENSES}
