"""What a picture of the reader's becomes under a budget of soft tokens, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from minigemma import plots
from minigemma.explore.base import Explorer, choice, slider, stops
from minigemma.explore.page import printed_page
from minigemma.explore.upload import Picture, picture_upload
from minigemma.vision.numbers import budget_table
from minigemma.vision.resize import BUDGETS, PATCH, POOL

CELL = PATCH * POOL  # pixels along a soft token
SHAPES = {"as it is": None, "1 : 1": 1.0, "16 : 9": 16 / 9, "9 : 16": 9 / 16, "4 : 1": 4.0, "1 : 4": 0.25}


def budget_calculator(pictures: Mapping[str, Any] | None = None) -> Explorer:
    """What becomes of a picture under a budget, and what that costs: a printed page, a sample, or your own.

    pictures: more of them by name, as ``picture_upload`` takes them. Another shape is cut from the middle.
    """
    control, upload = picture_upload(dict(pictures or {}) | {"a printed page": printed_page()})

    cells = [1, 1]  # soft tokens across and down when the slider was last fitted

    def fit(controls: Mapping[str, Any]) -> None:
        size = cut(controls["picture"].value, controls["shape"].value)[1]
        (row,) = budget_table(*size, [controls["budget"].value])
        now, token = [row.width // CELL, row.height // CELL], controls["token"]
        if now != cells:
            y, x = divmod(token.value, cells[0])
            x, y = (int((at + 0.5) / old * new) for at, old, new in zip((x, y), cells, now, strict=True))
            cells[:] = now
            token.max = row.soft_tokens - 1
            token.value = x + now[0] * y  # the same place in the picture

    def draw(picture: Picture, shape: float | None, budget: int, token: int) -> Figure:
        image, size = cut(picture, shape)
        figure = plots.picture_cost(image, size, budget, token)
        if picture.note:
            plots.style.note(figure, picture.note)
        return figure

    controls = {
        "picture": control,
        "shape": choice("shape", SHAPES),
        "budget": stops("budget", {f"{b:,}": b for b in BUDGETS}, 280),
        "token": slider("soft token", 0, 0),  # one token over the whole picture, until it is fitted
    }
    return Explorer(draw, controls, beside=[upload], adapt=fit)


def cut(picture: Picture, shape: float | None) -> tuple[Any, tuple[int, int]]:
    """The middle of a picture in a shape (width ÷ height; None: all of it), and its size in pixels as given."""
    image, (width, height) = picture.image, picture.size
    if shape is None:
        return image, (width, height)
    wide, tall = min(width, round(height * shape)) or 1, min(height, round(width / shape)) or 1
    x, y = (1 - wide / width) / 2, (1 - tall / height) / 2  # of the picture
    edges = (x * image.width, y * image.height, (1 - x) * image.width, (1 - y) * image.height)
    left, top, right, bottom = (round(edge) for edge in edges)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1))), (wide, tall)
