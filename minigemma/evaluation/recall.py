"""Facts recalled from further back than the window, and where that lives: the same with attention knocked out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minigemma.evaluation import sets
from minigemma.evaluation.report import Table, progress
from minigemma.evaluation.scoring import Answer, blind, right, shared_length
from minigemma.interleaving import LayerSpec
from minigemma.model import Gemma4
from minigemma.prompt import make_prompt
from minigemma.trace import Edit

BINS = (64, 128, 192, 256, 320)  # tokens from the fact to its answer; the window comes before them


def recall(model: Gemma4, limit: int | None = None) -> list[Table]:
    """Share of facts recalled by distance: intact, and with layers knocked out."""
    found = {name: _recalled(model, edit, name, limit) for name, edit in knock_outs(model).items()}
    intact = next(iter(found.values()))
    rows: dict[str, list] = {}
    blinds = blind([answer for _, answer in intact])
    chance = [1 / len(item["fits"]) for item in sets.stories()]
    for low, row in sorted({(low, answer.kind) for low, answer in intact}):
        inside = [i for i, (other, _) in enumerate(intact) if other == low]
        shares = [float(np.mean([answers[i][1].right for i in inside])) for answers in found.values()]
        frequent = [blinds[intact[i][1].form, intact[i][1].expected][1] for i in inside]
        rows[row] = [len(inside), float(np.mean([chance[i] for i in inside])), float(np.mean(frequent)), *shares]
    columns = {"asked": "{:d}", **dict.fromkeys(("chance", "most frequent", *found), "{:.1%}")}
    note = "chance: one of the words in this story that fit the question\n" + _explain(model)
    return [Table("Facts recalled, by tokens between fact and answer", columns, rows, note)]


def knock_outs(model: Gemma4) -> dict[str, Mapping[str, Edit] | None]:
    """What is done to the attention patterns, by name; None leaves them alone."""
    globals_, before = _pairs(model)
    window = model.config.text.sliding_window
    return {
        "intact": None,
        "global cut": _on(globals_, lambda pattern: within(pattern, window)),
        "global off": _on(globals_, lambda pattern: pattern * 0),
        "local off": _on(before, lambda pattern: pattern * 0),
    }


def within(pattern: np.ndarray, window: int) -> np.ndarray:
    """(H, T, S) as if the layer were local: keys a window back or more are not seen, and the rows sum to one again."""
    _, T, S = pattern.shape
    distance = np.arange(S - T, S)[:, None] - np.arange(S)
    kept = np.where(distance < window, pattern, 0)
    return kept / np.maximum(kept.sum(axis=-1, keepdims=True), 1e-9)


def distance(model: Gemma4, told: str, fact: str, question: str) -> int:
    """Tokens from the end of the fact to the answer, which begins after the question's turn."""
    end = told.index(fact) + len(fact)
    whole, without_question = (make_prompt(model, text).token_ids for text in (f"{told} {question}", told))
    after_fact = len(model.tokenizer.encode(told[end:]))
    return len(whole) - shared_length([whole, without_question]) + after_fact


def _recalled(model: Gemma4, edit, name: str, limit: int | None) -> list[tuple[int, Answer]]:
    """For every story the least distance of its bin, and the answer."""
    window = model.config.text.sliding_window
    answers = []
    for item in progress(sets.stories()[:limit], f"recall: {name}"):
        far = distance(model, item["told"], item["fact"], item["question"])
        ends = [0, window, *(end for end in BINS if end > window)]
        low = max(end for end in ends if far >= end)
        row = f"{low} and more" if low == ends[-1] else f"{low} to {ends[ends.index(low) + 1] - 1}"
        prompt = make_prompt(model, f"{item['told']} {item['question']}")
        [ok] = right(model, [prompt], [item["answer"]], edit)
        form = " ".join(item["question"].split()[:2])
        answers.append((low, Answer(row, form, item["answer"], ok)))
    return answers


def _pairs(model: Gemma4) -> tuple[list[LayerSpec], list[LayerSpec]]:
    """The global layers, and the local layer before each of them."""
    globals_ = [spec for spec in model.schedule if not spec.is_local]
    return globals_, [model.schedule[spec.index - 1] for spec in globals_]


def _on(specs: list[LayerSpec], change: Edit) -> dict[str, Edit]:
    return {f"layers.{spec.index}.attention.pattern": change for spec in specs}


def _explain(model: Gemma4) -> str:
    globals_, before = _pairs(model)
    numbers = [", ".join(str(spec.index) for spec in specs) for specs in (globals_, before)]
    return (
        f"global cut: the patterns of layers {numbers[0]} only as far back as the window; global off: they are zero\n"
        f"local off: the patterns of layers {numbers[1]} are zero instead"
    )
