"""The window: who sees whom, and how it moves with its cache as a text grows."""

from __future__ import annotations

from matplotlib.figure import Figure

from minigemma import plots
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, slider, text
from minigemma.model import Gemma4


def window_masks(length: int = 16, window: int = 6) -> Explorer:
    """The masks of a local and a global layer: how long, how wide, which query's row, and which tokens are an image."""

    def fit(controls) -> None:
        last = controls["length"].value - 1
        controls["query"].max = last
        controls["first"].max = last
        controls["image"].max = last + 1 - controls["first"].value

    def draw(length, window, query, image, first) -> Figure:
        return plots.mask_pair(length, window, query, image=(first, image) if image else None)

    controls = {
        "length": slider("tokens T", 1, 40, length),
        "window": slider("window W", 1, 40, window),
        "query": slider("query", 0, length - 1, length // 2),
        "image": slider("image tokens", 0, length - length // 4),
        "first": slider("image begins at", 0, length - 1, length // 4),
    }
    return Explorer(draw, controls, adapt=fit)


def moving_window(model: Gemma4, sentence: str, window: int = 4) -> Explorer:
    """A text token by token: what the newest one sees, and the cache of a local layer as a ring of W slots."""

    def draw(sentence, window) -> Figure:
        tokens = model.tokenizer.tokens(model.tokenizer.encode(sentence))
        if not tokens:
            raise InputError("There is no text: type a word or two.")
        return plots.generation_window(tokens, window)

    return Explorer(draw, {"sentence": text("text", sentence), "window": slider("window W", 1, 12, window)})
