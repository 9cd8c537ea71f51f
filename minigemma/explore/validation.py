"""Errors along a pass beside the reference's stored outputs: rounding, mistakes, and handing its numbers on."""

from __future__ import annotations

from functools import cache

from matplotlib.figure import Figure

from minigemma import plots, validation, whatif
from minigemma.explore.base import Explorer, choice, toggle

NOTHING = "nothing"


def error_growth(variant: str = "E2B", broken: str = NOTHING) -> Explorer:
    """Our relative error at every stage, in float32 and with every tensor rounded to bfloat16.

    Choose a mistake to see it above the rounding, or below; then start every stage from the reference's numbers.
    """
    cases = cache(validation.stored)
    common = [set(whatif.rules(cases(name).model, "text")) for name in validation.SHAPES]
    mistakes = [NOTHING, *(name for name in whatif.RULES if all(name in rules for rules in common))]

    def draw(variant: str, broken: str, rounded: bool, handed_on: bool) -> Figure:
        case = cases(variant)
        model = case.model if broken == NOTHING else whatif.changed(case.model, broken)
        stages = [stage for stage in whatif.stages(model) if stage in case.tensors]
        theirs = {stage: case.tensors[stage] for stage in stages}
        lines = {"float32": validation.end_to_end(model, case.ids, theirs)}
        if rounded:
            edit = {"*": validation.to_bfloat16}
            lines["bfloat16"] = validation.end_to_end(model, case.ids, theirs, edit)
        if handed_on:
            lines["handed on"] = validation.step_by_step(model, case.ids, theirs)
        values = {name: [errors[stage] for stage in stages] for name, errors in lines.items()}
        title = f"{variant}'s shape, broken: {broken}. Error by stage"
        return plots.difference_growth(values, [whatif.label(stage) for stage in stages], title=title)

    controls = {
        "variant": choice("shape", list(validation.SHAPES), variant),
        "broken": choice("broken", mistakes, broken),
        "rounded": toggle("bfloat16 too", True),
        "handed_on": toggle("start every stage from the reference", False),
    }
    return Explorer(draw, controls)
