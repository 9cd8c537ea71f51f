"""The logit lens on the reader's own text: what each layer would say next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma import lens, plots
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, Reader, choice, end_at, slider, text
from minigemma.model import Gemma4

VIEWS = {"one position, its likeliest tokens": "one", "positions side by side": "several"}
LIKELIEST, BEFORE = 4, 8  # tokens a layer; positions that end with the chosen one


def logit_lens(model: Gemma4, sentence: str, position: int | None = None) -> Explorer:
    """The next token read out after every layer of a range, for one position of a text or for those before it too.

    position: the token after which is read (default: the last). watch: a word whose rank is followed; with nothing
    typed, the token that the model itself finds likeliest. The text is read once.
    """
    read, deepest = Reader(model, *lens.TRACED, keep=2), len(model.schedule)
    names = ["embedding", *map(str, range(deepest))]

    def fit(controls: Mapping[str, Any]) -> None:
        end_at(controls["position"], len(read(controls["sentence"].value).tokens) - 1)

    def draw(sentence, position, lowest, highest, watch, view) -> Figure:
        tokens, trace, note = read(sentence)
        stream = lens.streams(model, trace)
        rows = range(min(lowest, highest) + 1, max(lowest, highest) + 2)  # row 0 is the embedding
        labels = [names[row] for row in rows]
        if view == "several":
            at = range(max(0, position - BEFORE + 1), position + 1)
            words, chances = [[""] * len(tokens) for _ in rows], np.zeros((len(rows), len(tokens)), np.float32)
            for y, row in enumerate(rows):
                found = lens.read_out(model, stream[row, at])
                words[y][at.start : at.stop] = model.tokenizer.tokens(found.argmax(axis=-1))
                chances[y, at] = found.max(axis=-1)
            return plots.logit_lens(words, chances, tokens, layers=labels, positions=at)
        chances = lens.read_out(model, stream[rows, position])  # (layers, V)
        best = np.argsort(-chances, axis=-1, kind="stable")[:, :LIKELIEST]
        words = [model.tokenizer.tokens(ids) for ids in best]
        watched = _watched(model, watch, stream[-1:, position])
        title = f"Read after “{plots.style.printable(tokens[position])}” (position {position})"
        name = model.tokenizer.tokens([watched])[0]
        ranks = lens.ranks(chances, watched)
        return plots.lens_ranks(
            words, np.take_along_axis(chances, best, axis=-1), labels, ranks, name, title=title, note=note
        )

    last = len(read(sentence).tokens) - 1
    controls = {
        "sentence": text("text", sentence, rows=2),
        "position": slider("position", 0, last, last if position is None else position),
        "lowest": slider("from layer", -1, deepest - 1, -1),
        "highest": slider("to layer", 0, deepest - 1, deepest - 1),
        "watch": text("watch the rank of", ""),
        "view": choice("show", VIEWS),
    }
    note = "Layer -1 is the embedding. A word in mid-sentence begins with a space: type it too."
    return Explorer(draw, controls, note=note, adapt=fit)


def _watched(model: Gemma4, word: str, last: np.ndarray) -> int:
    """The first token of a word, or the likeliest token after the last layer, last (1, D)."""
    if not word:
        return int(lens.read_out(model, last)[0].argmax())
    ids = model.tokenizer.encode(word)
    if not len(ids):
        raise InputError(f"{word!r} has no token to watch.")
    return int(ids[0])
