"""Video as the processor does it: up to 32 frames at a small budget, each with the time it was taken.

To the model a video is a list of pictures with a clock before each: ``00:03 <|image><|video|>...<image|>``. There is no
decoder here: frames come from whatever reads the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from minigemma.errors import InputError
from minigemma.vision.patches import prepare
from minigemma.vision.placeholders import soft_token_count, video_text

FRAMES = 32  # the most frames a video is sampled to
FRAME_BUDGET = 70  # soft tokens a frame


@dataclass(frozen=True)
class Video:
    """The sampled frames of a video, ready for the model.

    frames: what ``prepare`` makes of each, so ``images=video.frames`` is what ``forward`` needs; indices (n,) of the
    frames in the video; stamps: the time of each as mm:ss.
    """

    frames: tuple[tuple[np.ndarray, np.ndarray], ...]
    indices: np.ndarray
    stamps: tuple[str, ...]

    @property
    def soft_tokens(self) -> tuple[int, ...]:
        """How many soft tokens each frame becomes."""
        return tuple(soft_token_count(positions) for _, positions in self.frames)

    @property
    def text(self) -> str:
        """What stands for the video in a prompt, placeholders expanded."""
        return video_text(self.stamps, self.soft_tokens)


def prepare_video(
    frames: Sequence[Any], fps: float, soft_tokens: int = FRAME_BUDGET, max_frames: int | None = FRAMES
) -> Video:
    """Sample a video evenly and prepare every sampled frame.

    frames: a sequence of pictures (anything ``prepare`` takes), e.g. an array (frames, H, W, 3). fps: frames a second,
    from which the stamps are made (the reference takes 24 where it is not told). max_frames None keeps every frame.
    Source: Gemma4VideoProcessor, Gemma4Processor. (The reference resizes video with torch instead of Pillow: at most
    2 grey levels of 255 apart. Where it refuses a clip shorter than 32 frames, all of them are taken.)
    """
    if not hasattr(frames, "__len__"):
        raise InputError(f"a sequence of frames was expected, {type(frames).__name__} was given: try list(frames)")
    if not len(frames):
        raise InputError("a video without frames was given")
    if not (isinstance(fps, Real) and 0 < fps < math.inf):
        raise InputError(f"frames a second must be a positive number, {fps!r} was given (24 where nobody knows)")
    if max_frames is not None and max_frames < 1:
        raise InputError(f"at least one frame must be kept, max_frames={max_frames} was given")
    indices = sample_frames(len(frames), max_frames)
    return Video(tuple(prepare(frames[i], soft_tokens) for i in indices), indices, timestamps(indices, fps))


def sample_frames(total: int, most: int | None = FRAMES) -> np.ndarray:
    """Indices of ``most`` frames spread evenly over ``total``, the first included.

    >>> sample_frames(10, 4)
    array([0, 2, 5, 7])
    """
    count = total if most is None else min(most, total)
    return np.arange(count) * total // count


def timestamps(indices: np.ndarray, fps: float) -> tuple[str, ...]:
    """When each frame was taken, cut to whole seconds, as mm:ss.

    >>> timestamps(np.array([0, 36, 1500]), fps=24)
    ('00:00', '00:01', '01:02')
    """
    seconds = [int(i / fps) for i in indices.tolist()]
    return tuple(f"{s // 60:02d}:{s % 60:02d}" for s in seconds)
