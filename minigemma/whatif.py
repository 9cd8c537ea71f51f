"""What if one rule of Gemma 4 were broken? The same model with one line of its code changed, and what becomes of it.

Each rule (``whatif_rules``) names a function of the package, a piece of its source, and what a typical mistake has in
its place. A changed model runs with the mistake and leaves everything as it was, also after an error:

>>> model = mg.load("mini-e")
>>> wrong = changed(model, "scale")  # scores divided by √K
>>> wrong.forward(ids)  # and generate, encode_image ...; model.forward(ids) is right before, after and in between
>>> with broken("floor"):  # for what happens before a model is asked, such as making a mel-spectrogram
...     mel = mg.audio.log_mel("sound.wav")

The code that is changed carries no trace of this: a function's code object is exchanged while a changed model runs, so
every module that imported the function sees it. One thread at a time, for that reason.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from minigemma.errors import InputError
from minigemma.evaluation.language import token_losses
from minigemma.interleaving import schedule
from minigemma.model import Gemma4
from minigemma.ops import relative_error
from minigemma.trace import Trace
from minigemma.whatif_rules import RULES, Rule

SAME = 1e-6  # relative difference up to which two float32 tensors count as the same


def rules(model: Gemma4, part: str | None = None) -> dict[str, Rule]:
    """The rules that this model follows, by name. part: "text", "picture" or "sound"; None: all."""
    return {name: rule for name, rule in RULES.items() if rule.needs(model.config) and part in (None, rule.part)}


def find(*names: str) -> list[Rule]:
    """Rules by name; InputError says which there are."""
    for name in names:
        if name not in RULES:
            raise InputError(f"there is no rule {name!r}; there are {', '.join(RULES)}")
    return [RULES[name] for name in names]


@contextmanager
def broken(*names: str) -> Iterator[None]:
    """While inside, these rules are broken for everything in the package. Give several at once, do not nest them."""
    wanted: dict[Callable, list[tuple[str, str]]] = {}
    for rule in find(*names):
        wanted.setdefault(rule.function, []).append((rule.right, rule.wrong))
    codes = {function: _changed_code(function, tuple(edits)) for function, edits in wanted.items()}
    kept: dict[Any, CodeType] = {function: function.__code__ for function in codes}  # type: ignore[attr-defined]
    try:
        for function, code in codes.items():
            function.__code__ = code  # type: ignore[attr-defined]
        yield
    finally:
        for function, code in kept.items():
            function.__code__ = code


@lru_cache(maxsize=256)
def _changed_code(function: Callable, edits: tuple[tuple[str, str], ...]) -> CodeType:
    """The code of a function after edits of its source, at the same place in the same file."""
    lines, first = inspect.getsourcelines(function)
    text = textwrap.dedent("".join(lines))
    for right, wrong in edits:
        if text.count(right) != 1:
            raise InputError(f"{function.__qualname__} has not once: {right}")
        text = text.replace(right, wrong)
    namespace = dict(function.__globals__)  # type: ignore[attr-defined]
    exec(compile("\n" * (first - 1) + text, inspect.getfile(function), "exec"), namespace)
    return namespace[function.__name__].__code__


def _while_broken(method: Callable) -> Any:
    """A method of ``Gemma4`` as ``Changed`` has it: it runs with the rules broken."""

    @wraps(method)
    def run(self: Changed, *args: Any, **options: Any) -> Any:
        with broken(*self.broken):
            return method(self, *args, **options)

    return run


class Changed(Gemma4):
    """A model that shares weights and tokenizer with another, and breaks rules whenever it runs."""

    def __init__(self, model: Gemma4, names: Sequence[str]):
        self.__dict__.update(model.__dict__)
        self.broken = tuple(names)
        if any(rule.function is schedule for rule in find(*names)):
            with broken(*names):
                self.schedule = schedule(self.config.text)

    forward = _while_broken(Gemma4.forward)
    logits = _while_broken(Gemma4.logits)
    encode_image = _while_broken(Gemma4.encode_image)
    encode_audio = _while_broken(Gemma4.encode_audio)


def changed(model: Gemma4, *names: str) -> Changed:
    """The model with these rules broken; it is used like the model itself. InputError for a rule it does not follow."""
    for rule in find(*names):
        if not rule.needs(model.config):
            raise InputError(f"this checkpoint has nothing to break there: {rule.name!r} is that {rule.rule}")
    return Changed(model, names)


def differences(right: Mapping[str, np.ndarray], wrong: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Relative difference of every tensor that both traces hold, in the order they were made; inf for another shape."""
    return {name: difference(right[name], wrong[name]) for name in right if name in wrong}


def difference(right: np.ndarray, wrong: np.ndarray) -> float:
    """Relative difference of two tensors; scores count where they are finite, which must be the same places."""
    if right.shape != wrong.shape or not np.array_equal(np.isfinite(right), np.isfinite(wrong)):
        return np.inf
    seen = np.isfinite(right)
    return relative_error(wrong[seen], right[seen])


def first_difference(found: Mapping[str, float], same: float = SAME) -> str | None:
    """The first tensor of ``differences`` that is not the same."""
    return next((name for name, difference in found.items() if not difference <= same), None)


def stages(model: Gemma4) -> list[str]:
    """Where a forward pass is looked at from outside: the stream before and after every layer, and the logits."""
    return ["embedding", *(f"layers.{spec.index}.output" for spec in model.schedule), "logits"]


def label(stage: str) -> str:
    """A stage as a picture calls it: "layer 3" for the stream after it."""
    return f"layer {stage.split('.')[1]}" if stage.startswith("layers.") else stage


def compare(model: Gemma4, wrong: Gemma4, ids: Sequence[int] | np.ndarray, *names: str, **media: Any) -> dict:
    """``differences`` of one forward pass of each model. names: what to trace; none: the ``stages``."""
    traces = [Trace(*(names or stages(model))) for _ in range(2)]
    for each, trace in zip((model, wrong), traces, strict=True):
        each.forward(ids, trace=trace, **media)
    return differences(*traces)


def loss(model: Gemma4, texts: Sequence[np.ndarray]) -> float:
    """Mean nats a token on texts, each the ids (T,) with bos in front."""
    return float(np.concatenate([token_losses(model.forward(ids), ids) for ids in texts]).mean())


def line_of(rule: Rule) -> tuple[str, int, str]:
    """Where a rule stands: the file, the number of the line, and the line itself."""
    lines, first = inspect.getsourcelines(rule.function)
    offset = "".join(lines).split(rule.right)[0].count("\n")
    path = Path(inspect.getfile(rule.function))
    package = Path(__file__).parents[1]
    return path.relative_to(package).as_posix(), first + offset, lines[offset].strip()


class Shown:
    """A rule as a notebook shows it: in words, where it stands, and the line with the mistake below the right one."""

    def __init__(self, rule: Rule):
        self.rule = rule
        self.file, self.number, self.right = line_of(rule)
        self.wrong = self.right.replace(rule.right, rule.wrong)

    def __repr__(self) -> str:
        return f"{self.file}, line {self.number}: {self.rule.rule}\n- {self.right}\n+ {self.wrong}"

    def _repr_markdown_(self) -> str:
        where = f"`{self.file}`, line {self.number}"
        diff = f"```diff\n- {self.right}\n+ {self.wrong}\n```"
        return f"**The rule:** {self.rule.rule}. **The mistake:** {self.rule.mistake}. ({where})\n{diff}"


def show(name: str) -> Shown:
    """One rule and its mistake, as the last line of a cell."""
    return Shown(find(name)[0])
