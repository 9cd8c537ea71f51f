"""Turns with one model. The KV cache is kept, so that each turn costs only what is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from minigemma.chat import without_thoughts
from minigemma.model import Gemma4
from minigemma.prompt import Picture, Prompt, answer_text, listen, look, render, system_message, user_message
from minigemma.vision import Video


class Conversation:
    """What was said, shown and played so far, and the cache that holds it.

    The whole conversation is rendered anew each time (the template may drop earlier thoughts). Where what the cache
    holds is the beginning of it, only the rest is run; otherwise the cache is started afresh.
    """

    def __init__(self, model: Gemma4, system: str | None = None, thinking: bool = False):
        self.model, self.thinking = model, thinking
        self.messages = system_message(system)
        self.pictures: list[Picture | Video] = []
        self.sounds: list[np.ndarray] = []
        self.cache = model.new_cache()
        self.cached_ids: list[int] = []  # what the cache holds: nothing, or all up to the last answer
        self.cached_images = 0

    def say(self, text: str, images: Sequence[Any] = (), audio: Sequence[Any] = (), **sampling: Any) -> Iterator[str]:
        """Send a message; yields the answer piece by piece. sampling: as ``Gemma4.generate`` takes it.

        The turn becomes part of the conversation when its answer is complete, so an error leaves it as it was.
        """
        new_pictures, new_sounds = look(self.model, images), listen(audio)
        pictures, sounds = [*self.pictures, *new_pictures], [*self.sounds, *new_sounds]
        messages = [*self.messages, user_message(text, new_pictures, new_sounds)]
        prompt = render(self.model, messages, pictures, sounds, self.thinking)
        return self._answer(messages, pictures, sounds, prompt, sampling)

    def _answer(self, messages, pictures, sounds, prompt: Prompt, sampling: dict) -> Iterator[str]:
        tokenizer, said = self.model.tokenizer, list[int]()
        new = self._unread(prompt)
        self.cached_ids = []  # until the answer is complete the cache holds part of it
        ids = self.model.generate(**new._asdict(), cache=self.cache, **sampling)
        yield from answer_text(tokenizer, _noted(ids, said))
        self.cached_ids, self.cached_images = [*prompt.token_ids, *said][: self.cache.length], len(prompt.images)
        reply = without_thoughts("".join(answer_text(tokenizer, said)))
        self.messages = [*messages, {"role": "assistant", "content": [{"type": "text", "text": reply}]}]
        self.pictures, self.sounds = pictures, sounds

    def _unread(self, prompt: Prompt) -> Prompt:
        """What the cache does not hold; all of the prompt, and an empty cache, where it holds something else."""
        known = len(self.cached_ids)
        if known and len(prompt.token_ids) > known and prompt.token_ids[:known] == self.cached_ids:
            return Prompt(
                prompt.token_ids[known:], prompt.images[self.cached_images :], prompt.audio[len(self.sounds) :]
            )
        self.cache = self.model.new_cache()
        return prompt


def _noted(ids: Iterable[int], notes: list[int]) -> Iterator[int]:
    for i in ids:
        notes.append(i)
        yield i
