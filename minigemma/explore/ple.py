"""Per-layer embeddings on the reader's own text: a token's vectors, and what the model says without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, Reader, slider, text, toggle
from minigemma.model import Gemma4
from minigemma.ops import softmax
from minigemma.trace import Edit, Trace

SHOWN = 6  # next tokens in a picture


def ple_vectors(model: Gemma4, sentence: str, token: int = 1) -> Explorer:
    """Token part, context part and their mixture for one token of a text, a line a layer."""
    _check(model)
    read = Reader(model, "ple.*")

    def fit(controls: Mapping[str, Any]) -> None:
        controls["token"].max = len(read(controls["sentence"].value).tokens) - 1

    def draw(sentence: str, token: int) -> Figure:
        tokens, trace, _ = read(sentence)
        parts = (trace[f"ple.{name}"][token] for name in ("token_part", "context_part", "inputs"))
        return plots.ple_parts(*parts, title=f"“{plots.style.printable(tokens[token])}”: its vectors for every layer")

    controls = {
        "sentence": text("text", sentence, rows=2),
        "token": slider("token", 0, len(read(sentence).tokens) - 1, token),
    }
    return Explorer(draw, controls, adapt=fit)


def ple_switches(model: Gemma4, sentence: str) -> Explorer:
    """The likeliest next tokens of a text, with parts of the per-layer embeddings switched off."""
    _check(model)

    def chances(sentence: str, edits: Mapping[str, Edit]) -> np.ndarray:
        ids = [model.config.text.bos_token_id, *model.tokenizer.encode(sentence)]
        return softmax(model.forward(ids, trace=Trace(edit=edits) if edits else None, last_only=True)[-1])

    def draw(sentence: str, token_part: bool, context_part: bool) -> Figure:
        if not sentence.strip():
            raise InputError("There is no text to read: type a word or two.")
        kept = {"token": token_part, "context": context_part}
        edits: dict[str, Edit] = {f"ple.{name}_part": np.zeros_like for name, keep in kept.items() if not keep}
        found = {"as trained": chances(sentence, {}), "switched": chances(sentence, edits)}
        best = np.argsort(-np.maximum(*found.values()), kind="stable")[:SHOWN]
        return plots.next_tokens({name: p[best] for name, p in found.items()}, model.tokenizer.tokens(best))

    controls = {
        "sentence": text("text", sentence, rows=2),
        "token_part": toggle("token part", True),
        "context_part": toggle("context part", True),
    }
    return Explorer(draw, controls)


def _check(model: Gemma4) -> None:
    if not model.config.text.hidden_size_per_layer_input:
        raise InputError("This checkpoint has no per-layer embeddings; E2B, E4B and mini-e have.")
