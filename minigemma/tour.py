"""The tour (``minigemma tour``): the shipped models read, see and hear something, and pictures show how."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from minigemma.evaluation.language import passage_ids, token_losses
from minigemma.gallery import GALLERY, draw, page
from minigemma.info import summary
from minigemma.model import Gemma4
from minigemma.studio import Studio

ASKED = {  # sample -> what a model needs for it, and what the sample is
    "scene": (("eyes",), "a drawn scene"),
    "digits": (("eyes",), "handwritten digits"),
    "story": ((), "a story, the fact far back"),
    "command": (("ears",), "a spoken command"),
    "both": (("eyes", "ears"), "a picture and a spoken question"),
    "recorded": (("ears",), "a real voice, unlike any in training"),
}
PICTURES = (
    "attention_grid", "attention_local", "attention_global", "recall", "kv_cache_parts", "router", "expert_load",
    "logit_lens", "image_attention", "sound_attention",
)  # fmt: skip


class Line(NamedTuple):
    """One thing that a model was given, and what came of it."""

    given: str
    question: str
    answer: str
    verdict: str


def tour(out: Path) -> None:
    """Load the models, ask them, draw; everything is printed and kept in ``out`` with an index.md.

    MINIGEMMA_CHECKPOINT in the environment takes the place of the shipped models; what it cannot do is skipped.
    """
    start = time.perf_counter()
    studio, report = Studio(), ["# Tour\n"]
    for name in studio.names:
        model = studio.load(name)
        title = f"{studio.name(model)}: {summary(model.config)}"
        print(title, flush=True)
        lines = []
        for line in tqdm(ask(studio, model), total=len(ASKED) + 1, desc=name, leave=False, disable=None):
            tqdm.write(f"  {line.given}: {line.question}\n      {line.answer}  [{line.verdict}]")
            lines.append(line)
        report += [f"## {title}\n", table(lines)]
    captions = draw([entry for entry in GALLERY if entry.name in PICTURES], studio, out)
    (out / "index.md").write_text("\n".join([*report, page(captions)]), encoding="utf-8")
    print(f"All of it: {out / 'index.md'} ({time.perf_counter() - start:.0f} s)")


def ask(studio: Studio, model: Gemma4) -> Iterator[Line]:
    """A sentence to go on with, then every sample that the model has the senses for."""
    yield continued(studio, model)
    for name, (needs, given) in ASKED.items():
        sample = studio.samples[name]
        question = sample["text"].rsplit(". ", 1)[-1]  # of a story only its end
        if "spoken" in sample:
            question = f"{question} (“{sample['spoken']}”)"
        if lacking := studio.lacks(model, *needs):
            yield Line(given, question, "-", f"skipped: {lacking}")
            continue
        answer = studio.run(model, name).answer
        right = answer == sample["answer"]
        yield Line(given, question, answer, "right" if right else f"wrong; it is: {sample['answer']}")


def continued(studio: Studio, model: Gemma4) -> Line:
    """A sentence never trained on: how a model goes on after its opening, and how well it predicts all of it."""
    text = studio.samples["sentence"]["text"]
    opening = text.rsplit(",", 2)[0] + ","
    said = model.tokenizer.decode(model.generate(passage_ids(model, opening), 10, stop=()), skip_special=True)
    run = studio.read(model)
    loss = token_losses(run.trace["logits"], passage_ids(model, text)).mean()
    verdict = f"it is: {text[len(opening) :].strip()}; {loss:.2f} nats a token over the whole sentence"
    return Line("a sentence to go on with", opening, said.strip().replace("\n", " "), verdict)


def table(lines: list[Line]) -> str:
    """Lines as a Markdown table."""
    rows = [" | ".join(field.replace("|", "\\|") for field in line) for line in lines]
    return "\n".join(["| given | asked | answered | |", "|---|---|---|---|", *(f"| {row} |" for row in rows), ""])
