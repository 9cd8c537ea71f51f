"""From what a person says, shows and plays to what the model reads: token ids, patches and log-mels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from minigemma import audio as hearing
from minigemma import vision as seeing
from minigemma.errors import InputError
from minigemma.model import Gemma4
from minigemma.tokenizer import Tokenizer
from minigemma.vision import Video
from minigemma.vision.placeholders import VIDEO

Picture = tuple[np.ndarray, np.ndarray]  # patches (N, 768), positions (N, 2)


class Prompt(NamedTuple):
    """What ``forward`` and ``generate`` take: ``model.generate(**prompt._asdict())``."""

    token_ids: list[int]
    images: list[Picture]
    audio: list[np.ndarray]


def make_prompt(
    model: Gemma4,
    text: str,
    images: Sequence[Any] = (),
    audio: Sequence[Any] = (),
    system: str | None = None,
    thinking: bool = False,
    soft_tokens: int | None = None,
) -> Prompt:
    """One user turn, ready to be answered. Pictures come first, then sounds, then the text.

    images: paths, bytes, Pillow images, uint8 arrays, or a ``vision.Video``. audio: paths, bytes or (waveform, sample
    rate) pairs. soft_tokens: the most soft tokens an image may become; None takes the checkpoint's own budget.
    """
    pictures, sounds = look(model, images, soft_tokens), listen(audio)
    return render(model, [*system_message(system), user_message(text, pictures, sounds)], pictures, sounds, thinking)


def answer_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """New ids as a person reads them, piece by piece: without special tokens, but with the marks around thoughts."""
    marks = {tokenizer.special(name) for name in ("soc_token", "eoc_token") if name in tokenizer.file.names}
    return tokenizer.stream(i for i in ids if i in marks or i not in tokenizer.special_ids)


def system_message(system: str | None) -> list[dict]:
    """A system turn, if there is anything to say in it."""
    return [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []


def user_message(text: str, pictures: Sequence[Picture | Video] = (), sounds: Sequence[np.ndarray] = ()) -> dict:
    """A user turn in the form chat templates expect, with an item for each picture, video and sound."""
    items = [{"type": "video" if isinstance(picture, Video) else "image"} for picture in pictures]
    return {
        "role": "user",
        "content": [*items, *[{"type": "audio"}] * len(sounds), {"type": "text", "text": text}],
    }


def look(model: Gemma4, images: Sequence[Any], soft_tokens: int | None = None) -> list[Picture | Video]:
    """Images as the vision encoder reads them; videos are prepared already."""
    if isinstance(images, str | bytes | PathLike):
        raise InputError(f"images is {images!r:.100}; give a list of images, also for one")
    budget = soft_tokens or model.config.default_soft_tokens
    return [image if isinstance(image, Video) else seeing.prepare(image, budget) for image in images]


def listen(audio: Sequence[Any]) -> list[np.ndarray]:
    """Sounds as the audio encoder reads them."""
    if isinstance(audio, str | bytes | PathLike):
        raise InputError(f"audio is {audio!r:.100}; give a list of sounds, also for one")
    return [hearing.log_mel(*sound) if isinstance(sound, tuple) else hearing.log_mel(sound) for sound in audio]


def render(
    model: Gemma4,
    messages: Sequence[dict],
    pictures: Sequence[Picture | Video] = (),
    sounds: Sequence[np.ndarray] = (),
    thinking: bool = False,
) -> Prompt:
    """A conversation whose model is to speak next, with its pictures and sounds in the order they stand in it."""
    tokenizer, videos = model.tokenizer, [picture for picture in pictures if isinstance(picture, Video)]
    still = [picture for picture in pictures if not isinstance(picture, Video)]
    text = _with_videos(tokenizer.apply_chat(messages, thinking=thinking), videos)
    ids = tokenizer.expand_placeholders(
        tokenizer.encode(text),
        [seeing.soft_token_count(positions) for _, positions in still],
        [hearing.soft_token_count(len(mel)) for mel in sounds],
    )
    frames = [frame for picture in pictures for frame in (picture.frames if isinstance(picture, Video) else [picture])]
    return Prompt(ids, frames, list(sounds))


def _with_videos(text: str, videos: Sequence[Video]) -> str:
    """Each video's stamps and frames where its placeholder stands; like the reference, before text becomes ids."""
    first, *rest = text.split(VIDEO)
    if len(rest) != len(videos):
        raise InputError(f"the text has {len(rest)} {VIDEO}, but {len(videos)} videos were given; each stands for one")
    return first + "".join(video.text + part for video, part in zip(videos, rest, strict=True))
