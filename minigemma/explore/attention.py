"""Every head of a model on the reader's own text: thumbnails, the chosen head, the chosen token's row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from minigemma import plots
from minigemma.explore.base import Explorer, Reader, choice, end_at, slider, text, toggle
from minigemma.model import Gemma4

SCALES = {"square root": "sqrt", "linear": "linear", "logarithmic": "log", "share of the row's largest": "row-max"}
COLOURS = ("viridis", "cividis", "magma", "Greys")


def attention_heads(model: Gemma4, sentence: str, layer: int = 0, head: int = 0) -> Explorer:
    """Layers × heads of a text, one of them large, and what one of its tokens looks at.

    The text is read once; moving anything else only draws again.
    """
    read = Reader(model, "layers.*.attention.pattern")

    def fit(controls: Mapping[str, Any]) -> None:
        end_at(controls["query"], len(read(controls["sentence"].value).tokens) - 1)

    def draw(sentence, layer, head, query, hide_first, scale, colours) -> Figure:
        tokens, trace, note = read(sentence)
        patterns = [trace[f"layers.{spec.index}.attention.pattern"] for spec in model.schedule]
        options = {"hide_first": hide_first, "scale": scale, "colours": colours, "note": note}
        return plots.attention_view(patterns, model.schedule, tokens, layer, head, query, **options)

    last = len(read(sentence).tokens) - 1
    controls = {
        "sentence": text("text", sentence, rows=2),
        "layer": slider("layer", 0, len(model.schedule) - 1, layer),
        "head": slider("head", 0, model.schedule[0].heads - 1, head),
        "query": slider("query", 0, last, last),
        "hide_first": toggle("hide the first token"),
        "scale": choice("scale", SCALES),
        "colours": choice("colours", COLOURS),
    }
    return Explorer(draw, controls, adapt=fit)
