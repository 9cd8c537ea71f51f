"""Rules of Gemma 4 switched off on the reader's own text: where the pass changes, what the model then says and sees."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots, whatif
from minigemma.explore.base import Explorer, Reader, Reading, slider, text, toggle
from minigemma.model import Gemma4
from minigemma.ops import softmax

SHOWN = 6  # next tokens in a picture
KEPT = 6  # combinations of broken rules that are remembered


def what_if(model: Gemma4, sentence: str, broken: str = "scale", layer: int = 0, head: int = 0) -> Explorer:
    """A tick is a rule that is broken; several may be. broken: the rule to begin with.

    Each combination is one forward pass of the text; layer and head only choose which pattern is drawn.
    """
    rules = whatif.rules(model, "text")
    whatif.find(broken)
    names = _traced(model)
    read = Reader(model, *names)
    readers: OrderedDict[tuple[str, ...], Reader] = OrderedDict()

    def reader(chosen: tuple[str, ...]) -> Reader:
        if chosen not in readers:
            readers[chosen] = Reader(whatif.changed(model, *chosen), *names)
        readers.move_to_end(chosen)
        while len(readers) > KEPT:
            readers.popitem(last=False)
        return readers[chosen]

    def draw(sentence: str, layer: int, head: int, **ticked: bool) -> Figure:
        chosen = tuple(name for name in rules if ticked[name])
        return _picture(model, read(sentence), reader(chosen)(sentence), chosen, layer, head)

    controls = {
        "sentence": text("text", sentence),
        "layer": slider("layer", 0, len(model.schedule) - 1, layer),
        "head": slider("head", 0, model.schedule[0].heads - 1, head),
        **{name: toggle(name, name == broken) for name in rules},
    }
    return Explorer(draw, controls)


def what_if_picture(model: Gemma4, sentence: str, *broken: str, layer: int | None = None, head: int = 0) -> Figure:
    """The explorer's picture for one combination of broken rules. layer: None takes the first one that differs."""
    names = _traced(model)
    before, after = (Reader(each, *names)(sentence) for each in (model, whatif.changed(model, *broken)))
    if layer is None:
        found = whatif.differences(before.trace.match("layers.*.attention.pattern"), after.trace)
        first = whatif.first_difference(found)
        layer = int(first.split(".")[1]) if first else 0
    return _picture(model, before, after, broken, layer, head)


def _traced(model: Gemma4) -> list[str]:
    return [*whatif.stages(model), "layers.*.attention.pattern"]


def _picture(model: Gemma4, before: Reading, after: Reading, broken: Sequence[str], layer: int, head: int) -> Figure:
    stages = whatif.stages(model)
    found = whatif.differences(before.trace, after.trace)
    first = whatif.first_difference({stage: found[stage] for stage in stages})
    where = f"first seen in {whatif.label(first)}" if first else "no stage differs"
    chances = {
        name: softmax(reading.trace["logits"][-1]) for name, reading in (("right", before), ("with the mistake", after))
    }
    best = np.argsort(-np.maximum(*chances.values()), kind="stable")[:SHOWN]
    pattern = f"layers.{layer}.attention.pattern"
    said = [f"{rule.name}: {rule.rule}; here {rule.mistake}." for rule in whatif.find(*broken[:2])]
    return plots.what_if(
        [found[stage] for stage in stages],
        [whatif.label(stage) for stage in stages],
        {name: p[best] for name, p in chances.items()},
        model.tokenizer.tokens(best),
        (before.trace[pattern][head], after.trace[pattern][head]),
        before.tokens,
        head=f"Layer {layer}, head {head}",
        note="\n".join(said),
        title=f"Broken: {', '.join(broken) or 'nothing'} ({where})",
    )
