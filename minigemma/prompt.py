"""From what a person says, shows and plays to what the model reads: token ids, patches and log-mels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigemma import audio as hearing
from minigemma import vision as seeing
from minigemma.model import Gemma4


class Prompt(NamedTuple):
    """What ``forward`` and ``generate`` take: ``model.generate(*prompt[:1], images=prompt.images, ...)``."""

    token_ids: list[int]
    images: list[tuple[np.ndarray, np.ndarray]]
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

    images: paths, bytes, Pillow images or uint8 arrays. audio: paths, bytes or (waveform, sample rate) pairs.
    soft_tokens: the most soft tokens an image may become; None takes the checkpoint's own budget.
    """
    message = user_message(text, len(images), len(audio))
    return render(model, [*system_message(system), message], images, audio, thinking, soft_tokens)


def user_message(text: str, images: int = 0, audio: int = 0) -> dict:
    """A user turn in the form chat templates expect."""
    items = [{"type": "image"}] * images + [{"type": "audio"}] * audio + [{"type": "text", "text": text}]
    return {"role": "user", "content": items}


def system_message(system: str | None) -> list[dict]:
    return [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []


def render(
    model: Gemma4,
    messages: Sequence[dict],
    images: Sequence[Any] = (),
    audio: Sequence[Any] = (),
    thinking: bool = False,
    soft_tokens: int | None = None,
) -> Prompt:
    """A whole conversation, with its pictures and sounds in the order they stand in it."""
    budget = soft_tokens or model.config.default_soft_tokens
    pictures = [seeing.prepare(image, budget) for image in images]
    sounds = [hearing.log_mel(*sound) if isinstance(sound, tuple) else hearing.log_mel(sound) for sound in audio]
    ids = model.tokenizer.encode(model.tokenizer.apply_chat(messages, thinking=thinking))
    ids = model.tokenizer.expand_placeholders(
        ids,
        [seeing.soft_token_count(positions) for _, positions in pictures],
        [hearing.soft_token_count(len(mel)) for mel in sounds],
    )
    return Prompt(ids, pictures, sounds)


class Conversation:
    """Turns with one model; the KV cache is kept, so that each turn costs only what is new.

    The whole conversation is rendered anew each time (the template may drop earlier thoughts). Where what the cache
    holds is the beginning of it, only the rest is run; otherwise the cache is started afresh.
    """

    def __init__(self, model: Gemma4, system: str | None = None, thinking: bool = False):
        self.model, self.thinking = model, thinking
        self.messages = system_message(system)
        self.images: list[Any] = []
        self.audio: list[Any] = []
        self.cache, self.cached_ids = model.new_cache(), []

    def say(self, text: str, images: Sequence[Any] = (), audio: Sequence[Any] = (), **sampling: Any) -> Iterator[str]:
        """Send a message; yields the answer piece by piece. sampling: as ``Gemma4.generate`` takes it.

        The turn becomes part of the conversation when its answer is complete, so an error leaves it as it was.
        """
        messages = [*self.messages, user_message(text, len(images), len(audio))]
        all_images, all_audio = [*self.images, *images], [*self.audio, *audio]
        prompt = render(self.model, messages, all_images, all_audio, self.thinking)
        return self._answer(messages, all_images, all_audio, prompt, sampling)

    def _answer(self, messages, images, audio, prompt: Prompt, sampling) -> Iterator[str]:
        known = len(self.cached_ids)
        if not known or prompt.token_ids[:known] != self.cached_ids or len(prompt.token_ids) == known:
            self.cache, self.cached_ids, known = self.model.new_cache(), [], 0
        old_images, old_audio = (len(self.images), len(self.audio)) if known else (0, 0)

        tokenizer, answer = self.model.tokenizer, []
        ids = self.model.generate(
            prompt.token_ids[known:], images=prompt.images[old_images:], audio=prompt.audio[old_audio:],
            cache=self.cache, **sampling,
        )  # fmt: skip

        def listen() -> Iterator[int]:
            for token in ids:
                answer.append(token)
                yield token

        self.cached_ids = []  # until the answer is complete the cache holds part of it
        yield from tokenizer.stream(listen())
        self.cached_ids = [*prompt.token_ids, *answer][: self.cache.length]
        reply = tokenizer.decode(answer, skip_special=True)
        self.messages = [*messages, {"role": "assistant", "content": [{"type": "text", "text": reply}]}]
        self.images, self.audio = images, audio
