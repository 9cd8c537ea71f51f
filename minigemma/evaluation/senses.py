"""Eyes and ears: digits, scenes, spoken words, and spoken questions about a picture."""

from __future__ import annotations

import numpy as np

from minigemma.evaluation import sets
from minigemma.evaluation.report import Table, progress
from minigemma.evaluation.scoring import Answer, right, say, table, word_errors
from minigemma.evaluation.sounds import RATE, with_noise
from minigemma.model import Gemma4
from minigemma.prompt import make_prompt

SPOKEN_WORDS, SPOKEN_QUESTION = "Write down what is said.", "Answer the spoken question."  # as in training
CLIPS = {"known": "known voices and speeds", "voice": "held-out voices", "speed": "held-out speeds"}


def sight(model: Gemma4, limit: int | None = None) -> list[Table]:
    """Digits; scenes by kind of question, at the aspects trained on and at one that never was."""
    return [
        table("Handwritten digits", look(model, "digits", limit), "digits: two in a row, right if both are"),
        table("Drawn scenes, aspects trained on", look(model, "scenes", limit)),
        table("Drawn scenes at 16:9, an aspect never trained on", look(model, "wide", limit)),
    ]


def look(model: Gemma4, part: str, limit: int | None = None) -> list[Answer]:
    """Every question of a set of held-out pictures ("digits", "scenes" or "wide"), each asked by itself."""
    answers = []
    for item in progress(sets.pictures()[part][:limit], f"pictures: {part}"):
        image = sets.draw(item["scene"])
        prompts = [make_prompt(model, question, [image]) for question, _, _ in item["asked"]]
        found = right(model, prompts, [answer for _, answer, _ in item["asked"]])
        for (question, answer, kind), ok in zip(item["asked"], found, strict=True):
            form = f"{kind} {'above' in question}"  # "left or right" and "above or below" have different answers
            answers.append(Answer(kind, form, answer, ok))
    return answers


def hearing(model: Gemma4, limit: int | None = None) -> list[Table]:
    """Spoken phrases written down, by set; then, if the model also sees, spoken questions about a picture."""
    answers: list[Answer] = []
    words: dict[str, tuple[int, int]] = {}  # by set: errors, words there were
    chosen = [i for part in CLIPS for i in [i for i, c in enumerate(sets.clips()) if c["set"] == part][:limit]]
    for i in progress(chosen, "spoken words"):
        expected, part = sets.clips()[i]["text"], CLIPS[sets.clips()[i]["set"]]
        prompt = make_prompt(model, SPOKEN_WORDS, audio=[clip(i)])
        [ok] = right(model, [prompt], [expected])
        answers.append(Answer(part, "", expected, ok))
        errors, total = words.get(part, (0, 0))
        missed = 0 if ok else word_errors(say(model, prompt), expected)
        words[part] = (errors + missed, total + len(expected.split()))
    heard = table("Spoken words", answers, "words: 1 - word error rate; noise 10 to 40 dB below the speech")
    heard.columns["words"] = "{:.1%}"
    for part, row in heard.rows.items():
        row.append(max(0.0, 1 - words[part][0] / words[part][1]) if part in words else None)
    return [heard, *([both(model, limit)] if model.config.vision else [])]


def both(model: Gemma4, limit: int | None = None) -> Table:
    """A picture and a spoken question about it in one prompt."""
    answers = []
    for item in progress(sets.pictures()["spoken"][:limit], "picture and sound"):
        [[question, answer, voices]] = item["asked"]
        prompt = make_prompt(model, SPOKEN_QUESTION, [sets.draw(item["scene"])], [clip(item["clip"])])
        [ok] = right(model, [prompt], [answer])
        answers.append(Answer(CLIPS[voices], " ".join(question.split()[:2]), answer, ok))
    return table("A picture and a spoken question about it", answers)


def clip(i: int) -> tuple[np.ndarray, int]:
    """A held-out clip with its noise, the same every time: samples and their rate."""
    return with_noise(sets.clips()[i]["sound"], np.random.default_rng([13, i])), RATE
