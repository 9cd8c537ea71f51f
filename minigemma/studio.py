"""The models and examples that pictures are drawn from, each loaded or run when it is first asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minigemma.config import Config
from minigemma.errors import InputError
from minigemma.model import SHIPPED, Gemma4, load, shipped_names
from minigemma.prompt import Prompt, make_prompt
from minigemma.trace import Trace

SAMPLES = SHIPPED / "samples"
WATCHED = ("layers.*.attention.pattern", "layers.*.moe.expert_index", "audio.0.*")  # where there is an image or a sound
NEEDS: dict[str, tuple[str, Callable[[Config], bool]]] = {
    "eyes": ("sees no pictures", lambda config: config.vision is not None),
    "ears": ("hears no sounds", lambda config: config.audio is not None),
    "experts": ("has no mixture of experts", lambda config: config.text.enable_moe_block),
    "ple": ("has no per-layer embeddings", lambda config: config.text.hidden_size_per_layer_input > 0),
}


class Run(NamedTuple):
    """A sample put to a model: its prompt, what the model answered, and a traced pass over both."""

    prompt: Prompt
    answer_ids: list[int]
    answer: str
    tokens: list[str]  # labels of prompt and answer
    trace: Trace

    @property
    def answering(self) -> slice:
        """The positions at which the answer's tokens were predicted."""
        before = len(self.prompt.token_ids) - 1
        return slice(before, before + len(self.answer_ids))


class Studio:
    """Models by what they can do, and what they made of the samples.

    checkpoint: the only model to use, a directory or a shipped name; None takes MINIGEMMA_CHECKPOINT from the
    environment, else the shipped ones: the first of them that has what a picture needs.
    """

    def __init__(self, checkpoint: str | None = None):
        only = checkpoint or os.environ.get("MINIGEMMA_CHECKPOINT")
        self.names = [only] if only else sorted(shipped_names(), reverse=True)  # mini-e, mini-a4b, mini-31b
        self._models: dict[str, Gemma4] = {}
        self._runs: dict[tuple[str, str], Run] = {}

    def load(self, name: str) -> Gemma4:
        """One of ``names``, loaded once."""
        if name not in self._models:
            self._models[name] = load(name)
        return self._models[name]

    def model(self, *needs: str) -> Gemma4:
        """The first model that has all ``needs`` (keys of NEEDS); InputError says what the last one lacks."""
        lacking = "no checkpoint is shipped with this installation"
        for name in self.names:
            lacking = self.lacks(self.load(name), *needs)
            if not lacking:
                return self.load(name)
        raise InputError(lacking)

    def lacks(self, model: Gemma4, *needs: str) -> str:
        """What a model cannot do of what is needed, as a sentence; "" if it can do all."""
        missing = [NEEDS[need][0] for need in needs if not NEEDS[need][1](model.config)]
        return f"{self.name(model)} {' and '.join(missing)}" if missing else ""

    def name(self, model: Gemma4) -> str:
        """What a model is called in titles."""
        return model.directory.name if model.directory else "a model made from arrays"

    @cached_property
    def samples(self) -> dict[str, dict]:
        """Ready examples by name: {text, answer, images, audio: files in SAMPLES}."""
        return {sample["name"]: sample for sample in json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))}

    def prompt(self, model: Gemma4, name: str) -> Prompt:
        """A sample as the model reads it."""
        sample = self.samples[name]
        images, audio = ([SAMPLES / file for file in sample.get(kind, [])] for kind in ("images", "audio"))
        return make_prompt(model, sample["text"], images, audio)

    def run(self, model: Gemma4, name: str) -> Run:
        """A sample answered greedily, then watched once more from beginning to end; remembered."""
        key = (str(model.directory), name)
        if key not in self._runs:
            prompt = self.prompt(model, name)
            answer = list(model.generate(**prompt._asdict(), max_new_tokens=24))
            ids, trace = [*prompt.token_ids, *answer], Trace(*WATCHED)
            model.forward(ids, prompt.images, prompt.audio, trace=trace)
            said = model.tokenizer.decode(answer, skip_special=True).strip()
            self._runs[key] = Run(prompt, answer, said, model.tokenizer.tokens(ids), trace)
        return self._runs[key]

    def read(self, model: Gemma4, name: str = "sentence") -> Run:
        """A sample's text alone, without a turn and without an answer, everything traced; remembered."""
        key = (str(model.directory), f"{name} as text")
        if key not in self._runs:
            ids, trace = [model.config.text.bos_token_id, *model.tokenizer.encode(self.samples[name]["text"])], Trace()
            model.forward(ids, trace=trace)
            self._runs[key] = Run(Prompt(ids, [], []), [], "", model.tokenizer.tokens(ids), trace)
        return self._runs[key]

    def experts_by_domain(self, model: Gemma4, layer: int) -> dict[str, np.ndarray]:
        """Chosen experts (T, k) of one layer for a passage of each domain."""
        chosen = {}
        for domain, passage in self.samples["domains"]["texts"].items():
            trace = Trace(f"layers.{layer}.moe.expert_index")
            model.forward([model.config.text.bos_token_id, *model.tokenizer.encode(passage)], trace=trace)
            [chosen[domain]] = trace.values()
        return chosen

    def looked(self, model: Gemma4, name: str, kind: str) -> np.ndarray:
        """Where the answer looked: (Q, n), its Q tokens' attention to the n soft tokens of an "image" or the "audio".

        The mean over all heads of the global layers, which alone see everything.
        """
        run = self.run(model, name)
        placeholder = model.config.image_token_id if kind == "image" else model.config.audio_token_id
        soft = np.flatnonzero(np.array(run.prompt.token_ids) == placeholder)
        layers = [spec.index for spec in model.schedule if not spec.is_local]
        patterns = (run.trace[f"layers.{i}.attention.pattern"][:, run.answering, soft] for i in layers)
        return np.mean([pattern.mean(axis=0) for pattern in patterns], axis=0)
