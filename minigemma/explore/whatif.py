"""Rules of Gemma 4 switched off on the reader's own text: where the pass changes, what the model then says and sees."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots, whatif
from minigemma.explore.base import Explorer, Reader, slider, text, toggle
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
    names = [*whatif.stages(model), "layers.*.attention.pattern"]
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
        before, after = read(sentence), reader(chosen)(sentence)
        stages = whatif.stages(model)
        found = whatif.differences(before.trace, after.trace)
        chances = {
            "right": softmax(before.trace["logits"][-1]),
            "with the mistake": softmax(after.trace["logits"][-1]),
        }
        best = np.argsort(-np.maximum(*chances.values()), kind="stable")[:SHOWN]
        pattern = f"layers.{layer}.attention.pattern"
        first = whatif.first_difference({stage: found[stage] for stage in stages})
        where = f"first seen in {_label(first)}" if first else "no stage differs"
        return plots.what_if(
            [found[stage] for stage in stages],
            [_label(stage) for stage in stages],
            {name: p[best] for name, p in chances.items()},
            model.tokenizer.tokens(best),
            (before.trace[pattern][head], after.trace[pattern][head]),
            before.tokens,
            head=f"Layer {layer}, head {head}",
            note="\n".join(f"{name}: {rules[name].rule}; here {rules[name].mistake}." for name in chosen[:2]),
            title=f"Broken: {', '.join(chosen) or 'nothing'} ({where})",
        )

    controls = {
        "sentence": text("text", sentence),
        "layer": slider("layer", 0, len(model.schedule) - 1, layer),
        "head": slider("head", 0, model.schedule[0].heads - 1, head),
        **{name: toggle(name, name == broken) for name in rules},
    }
    return Explorer(draw, controls)


def _label(stage: str) -> str:
    """A stage as a tick label: "layer 3" for its output."""
    return f"layer {stage.split('.')[1]}" if stage.startswith("layers.") else stage
