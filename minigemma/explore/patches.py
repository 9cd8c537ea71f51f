"""A patch of a picture: where every head of the vision encoder looks from there, and how its place turns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, choice, slider
from minigemma.explore.upload import Picture, picture_upload
from minigemma.model import Gemma4
from minigemma.plots.picture import patch_row
from minigemma.trace import Trace
from minigemma.vision.patches import prepare

ALL = -1  # the mean of all heads
BUDGET = 70  # soft tokens; patterns of all layers at 2,520 patches would take gigabytes


class Looker:
    """Encodes pictures with a model's vision encoder, recording who looks at what; the last one is kept."""

    def __init__(self, model: Gemma4, budget: int = BUDGET):
        if model.config.vision is None:
            raise InputError("this model has no eyes: load a checkpoint with a vision encoder")
        self.model, self.budget, self.config = model, budget, model.config.vision
        self._last: tuple[Picture, np.ndarray, list[np.ndarray]] | None = None

    def __call__(self, picture: Picture) -> tuple[np.ndarray, list[np.ndarray]]:
        """Positions (N, 2), and the attention pattern (H, N, N) of every layer. InputError if it is no picture."""
        if self._last is None or self._last[0] is not picture:
            patches, positions = prepare(picture.image, self.budget)
            trace = Trace("layers.*.attention.pattern")
            self.model.encode_image(patches, positions, trace)
            self._last = picture, positions, list(trace.values())
        return self._last[1:]


def patch_viewer(model: Gemma4, **pictures: Any) -> Explorer:
    """Choose a patch of a picture by x and y: a head's attention from there over the picture, and its 2-D RoPE.

    pictures: more of them by name, before the samples: a path, bytes, a Pillow image or an array.
    """
    look = Looker(model)
    control, upload = picture_upload(pictures)
    config, before = look.config, [control.value]

    def fit(controls: Mapping[str, Any]) -> None:
        columns, rows = look(controls["picture"].value)[0].max(axis=0) + 1
        new = controls["picture"].value is not before[0]
        before[0] = controls["picture"].value
        for name, count in (("x", columns), ("y", rows)):
            controls[name].max = int(count) - 1
            if new:
                controls[name].value = int(count) // 2

    def draw(picture: Picture, x: int, y: int, layer: int, head: int) -> Figure:
        positions, patterns = look(picture)
        row = patch_row(positions, (x, y))
        looks = patterns[layer][:, row]  # (H, N)
        who, weights = ("mean of heads", looks.mean(axis=0)) if head == ALL else (f"head {head}", looks[head])
        name = f"attention, layer {layer}, {who}"
        return plots.patch_view(picture.image, positions, weights, row, config, name, picture.note)

    columns, rows = look(control.value)[0].max(axis=0) + 1
    heads = {"mean of all": ALL, **{str(h): h for h in range(config.num_attention_heads)}}
    controls = {
        "picture": control,
        "x": slider("x (patches)", 0, int(columns) - 1, int(columns) // 2),
        "y": slider("y (patches)", 0, int(rows) - 1, int(rows) // 2),
        "layer": slider("layer", 0, config.num_hidden_layers - 1),
        "head": choice("head", heads),
    }
    return Explorer(draw, controls, beside=[upload], adapt=fit)
