"""Asking a model and scoring it: an answer is right when greedy decoding would give it, word for word, and stop."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minigemma.evaluation.report import Table
from minigemma.model import Gemma4
from minigemma.prompt import Prompt
from minigemma.trace import Edit, Trace


@dataclass(frozen=True)
class Answer:
    """One question that was put to a model."""

    kind: str  # the row of the table it counts in
    form: str  # questions of one form have the same possible answers
    expected: str
    right: bool


def right(
    model: Gemma4, prompts: Sequence[Prompt], answers: Sequence[str], edit: Mapping[str, Edit] | None = None
) -> list[bool]:
    """Whether each prompt is answered right. The prompts share their images and sounds, and how they begin.

    The answer is fed in and every next token is compared with the likeliest one: greedy decoding would say exactly
    this if, and only if, all of them agree. The beginning is run once and its cache copied for each prompt.
    """
    trace = Trace(edit=edit) if edit else None
    shared = shared_length([prompt.token_ids[:-1] for prompt in prompts])
    cache = model.new_cache()
    if shared:
        beginning = prompts[0].token_ids[:shared]
        model.forward(beginning, prompts[0].images, prompts[0].audio, cache=cache, trace=trace, last_only=True)
    found = []
    for prompt, answer in zip(prompts, answers, strict=True):
        rest, wanted = prompt.token_ids[shared:], model.tokenizer.encode(answer)
        logits = model.forward([*rest, *wanted], cache=copy.deepcopy(cache), trace=trace)
        *said, last = logits[len(rest) - 1 :].argmax(axis=-1).tolist()
        found.append(said == list(wanted) and last in model.config.eos_token_ids)
    return found


def shared_length(sequences: Sequence[Sequence[int]]) -> int:
    """How many ids all sequences begin with."""
    differs = (i for i, ids in enumerate(zip(*sequences, strict=False)) if len(set(ids)) > 1)
    return next(differs, min(map(len, sequences)))


def say(model: Gemma4, prompt: Prompt, most: int = 24) -> str:
    """What the model answers, greedily."""
    ids = list(model.generate(**prompt._asdict(), max_new_tokens=most))
    return model.tokenizer.decode(ids, skip_special=True).strip()


def table(title: str, answers: Sequence[Answer], note: str = "") -> Table:
    """Share of right answers by kind, beside two ways to answer without looking: see ``blind``."""
    kinds: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        kinds[answer.kind].append(answer)
    if len(kinds) > 1:
        kinds["all"] = list(answers)
    blinds, rows = blind(answers), {}
    for kind, given in kinds.items():
        chance, frequent = np.mean([blinds[a.form, a.expected] for a in given], axis=0)
        rows[kind] = [float(np.mean([a.right for a in given])), len(given), float(chance), float(frequent)]
    columns = {"right": "{:.1%}", "asked": "{:d}", "chance": "{:.1%}", "most frequent": "{:.1%}"}
    return Table(title, columns, rows, note)


def blind(answers: Sequence[Answer]) -> dict[tuple[str, str], tuple[float, bool]]:
    """(form, expected) -> the chance to guess it among the answers to this form of question, and whether always giving
    the most frequent of them would be right."""
    forms: dict[str, Counter] = defaultdict(Counter)
    for answer in answers:
        forms[answer.form][answer.expected] += 1
    found = {}
    for form, counts in forms.items():
        favourite = counts.most_common(1)[0][0]
        for expected in counts:
            found[form, expected] = (1 / len(counts), expected == favourite)
    return found


def word_errors(said: str, expected: str) -> int:
    """How many words must be put in, taken out or changed to make one text the other (Levenshtein)."""
    given, wanted = said.split(), expected.split()
    row = list(range(len(wanted) + 1))
    for i, word in enumerate(given, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(wanted, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
