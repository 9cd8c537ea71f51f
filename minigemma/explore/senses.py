"""A question, a picture and a sound of the reader's choice in one prompt; any token's attention over all of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, choice, end_at, slider, text
from minigemma.model import Gemma4
from minigemma.prompt import Prompt, make_prompt
from minigemma.senses import token_sources
from minigemma.studio import SAMPLES
from minigemma.trace import Trace

PICTURES = {"none": "", **{name: name for name in ("both.png", "scene.png", "digits.png")}}
SOUNDS = {"none": "", "both.wav (a spoken question)": "both.wav", "command.wav": "command.wav"}
GLOBAL, ANSWER, KEEP = -1, 12, 4  # all global layers; new tokens at most; readings kept


class Answered(NamedTuple):
    """A prompt with its answer, and a traced pass over both."""

    prompt: Prompt
    tokens: list[str]
    sources: list[str]
    trace: Trace
    answer: str


class Asker:
    """Puts prompts to a model; the last few readings are kept, so that only drawing follows a move."""

    def __init__(self, model: Gemma4):
        self.model = model
        self._kept: OrderedDict[tuple[str, str, str], Answered] = OrderedDict()

    def __call__(self, question: str, picture: str, sound: str) -> Answered:
        """question, and names of files of ``SAMPLES`` or paths; "" is no picture, no sound."""
        key = (question, picture, sound)
        if key not in self._kept:
            self._kept[key] = self._ask(question, picture, sound)
        self._kept.move_to_end(key)
        while len(self._kept) > KEEP:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _ask(self, question: str, picture: str, sound: str) -> Answered:
        if not (question.strip() or picture or sound):
            raise InputError("There is nothing to ask: type a question, or choose a picture or a sound.")
        model = self.model
        images, audio = ([SAMPLES / name] if name else [] for name in (picture, sound))
        prompt = make_prompt(model, question, images, audio)
        new = list(model.generate(**prompt._asdict(), max_new_tokens=ANSWER))
        ids, trace = [*prompt.token_ids, *new], Trace("layers.*.attention.pattern")
        model.forward(ids, prompt.images, prompt.audio, trace=trace)
        answer = model.tokenizer.decode(new, skip_special=True).strip()
        return Answered(prompt, model.tokenizer.tokens(ids), token_sources(model.config, ids), trace, answer)


def three_senses(
    model: Gemma4,
    question: str = "Answer the spoken question.",
    picture: str = "both.png",
    sound: str = "both.wav",
) -> Explorer:
    """Ask about a sample picture, a sample sound, or both, and follow one token's attention over all of the prompt.

    What the model has no sense for is not offered.
    """
    ask = Asker(model)
    picture = picture if model.config.vision is not None else ""
    sound = sound if model.config.audio is not None else ""

    def asked(controls: Mapping[str, Any]) -> Answered:
        return ask(*(controls[name].value if name in controls else "" for name in ("question", "picture", "sound")))

    def fit(controls: Mapping[str, Any]) -> None:
        read = asked(controls)
        end_at(controls["token"], len(read.tokens) - 1)

    def draw(question: str, token: int, layer: int, picture: str = "", sound: str = "") -> Figure:
        read = ask(question, picture, sound)
        chosen = [layer] if layer != GLOBAL else [spec.index for spec in model.schedule if not spec.is_local]
        rows = [read.trace[f"layers.{i}.attention.pattern"][:, token].mean(axis=0) for i in chosen]
        where = "all global layers" if layer == GLOBAL else f"layer {layer}"
        name = plots.style.printable(read.tokens[token])
        title = f"Answer: “{read.answer}”. “{name}” at {token} looks at (mean of heads, {where}):"
        image, positions = (SAMPLES / picture, read.prompt.images[0][1]) if picture else (None, None)
        mel = read.prompt.audio[0] if sound else None
        options: dict[str, Any] = {"image": image, "positions": positions, "mel": mel, "title": title}
        return plots.senses_view(np.mean(rows, axis=0), read.tokens, read.sources, token, **options)

    first = ask(question, picture, sound)
    controls: dict[str, Any] = {"question": text("question", question)}
    if model.config.vision is not None:
        controls["picture"] = choice("picture", PICTURES, picture)
    if model.config.audio is not None:
        controls["sound"] = choice("sound", SOUNDS, sound)
    controls["token"] = slider("token", 0, len(first.tokens) - 1, len(first.prompt.token_ids) - 1)
    kinds = {f"{spec.index} ({'local' if spec.is_local else 'global'})": spec.index for spec in model.schedule}
    controls["layer"] = choice("layer", {"all global": GLOBAL, **kinds}, GLOBAL)
    return Explorer(draw, controls, adapt=fit)
