"""A walk through one decoder layer on the reader's own text, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from minigemma import plots
from minigemma.explore.base import Explorer, Reader, play, slider, text
from minigemma.layer_steps import TRACED, layer_steps
from minigemma.model import Gemma4

LONGEST = 32  # tokens: each is a row of the picture, and every tensor of every layer is kept


def layer_player(model: Gemma4, sentence: str, layer: int = 0, step: int = 0) -> Explorer:
    """The steps of one layer in order, each with its operation, its shape, its RMS and its tensor as a picture.

    The play button walks through them. head: the query head shown where a tensor has several. The text is read once;
    moving anything else only draws again.
    """
    read = Reader(model, *TRACED, longest=LONGEST, keep=1)
    last = len(model.schedule) - 1

    def fit(controls: Mapping[str, Any]) -> None:
        at = min(max(controls["layer"].value, 0), last)
        controls["step"].max = len(layer_steps(model, read(controls["sentence"].value).trace, at)) - 1
        controls["head"].max = model.schedule[at].heads - 1

    def draw(sentence: str, layer: int, step: int, head: int) -> Figure:
        tokens, trace, note = read(sentence)
        spec, steps = model.schedule[layer], layer_steps(model, trace, layer)
        kind = "local" if spec.is_local else "global"
        title = f"Layer {layer} ({kind}), step {step + 1} of {len(steps)}"
        return plots.layer_step(steps, step, tokens, head=head, heads=spec.heads, title=title, note=note)

    steps = len(layer_steps(model, read(sentence).trace, layer))
    controls = {
        "sentence": text("text", sentence),
        "layer": slider("layer", 0, last, layer),
        "step": slider("step", 0, steps - 1, step),
        "head": slider("head", 0, model.schedule[layer].heads - 1),
    }
    return Explorer(draw, controls, beside=[play(controls["step"], 1500)], adapt=fit)
