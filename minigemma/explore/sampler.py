"""Temperature, top-k and top-p on the next token of the reader's own text."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, stops, text
from minigemma.generate import next_token_probabilities
from minigemma.model import Gemma4
from minigemma.ops import softmax

SHOWN = 12
TEMPERATURES = {"0 (greedy)": 0.0} | {f"{t:g}": t for t in (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)}
TOP_K = {str(k): k for k in (1, 2, 3, 5, 8, 12, 20, 40, 64, 100)} | {"all": 0}
TOP_P = {f"{p:g}": p for p in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)}


def sampler(model: Gemma4, sentence: str) -> Explorer:
    """What the next token of a text is drawn from: the model's own probabilities, and what three controls make of them.

    The likeliest tokens are drawn; the title counts all that are left. The text is read once.
    """

    @lru_cache(maxsize=4)
    def last_logits(sentence: str) -> np.ndarray:
        ids = [model.config.text.bos_token_id, *model.tokenizer.encode(sentence)]
        return model.forward(ids, last_only=True)[-1]

    def draw(sentence: str, temperature: float, top_k: int, top_p: float) -> Figure:
        if not sentence.strip():
            raise InputError("There is no text to read: type a word or two.")
        logits = last_logits(sentence)
        before = softmax(logits)
        if temperature == 0:
            after = (np.arange(len(logits)) == logits.argmax()).astype(float)
        else:
            after = next_token_probabilities(logits, temperature, top_k or None, top_p)
        best = np.argsort(-before, kind="stable")[:SHOWN]
        kept = np.count_nonzero(after)
        title = f"{kept:,} of {len(logits):,} tokens can be drawn; the model gave them {before[after > 0].sum():.1%}"
        chances = {"as the model gives them": before[best], "as they are drawn": after[best]}
        return plots.next_tokens(chances, model.tokenizer.tokens(best), title=title)

    controls = {
        "sentence": text("text", sentence, rows=2),
        "temperature": stops("temperature", TEMPERATURES, 1.0),
        "top_k": stops("top-k", TOP_K, 0),
        "top_p": stops("top-p", TOP_P, 0.9),
    }
    return Explorer(draw, controls)
