"""Rules switched off on a typed text: every control, every shape, and the pictures of two models side by side."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.errors import InputError

pytest.importorskip("ipywidgets")
from explore_models import letter_model, move_everything

from minigemma.explore import what_if


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_every_switch_moves(shape):
    explorer = what_if(letter_model(shape), "some words")
    assert move_everything(explorer) > 15
    assert ("sharing" in explorer.controls) == (shape == "e2b")
    assert ("renormalise" in explorer.controls) == (shape == "26b")


@pytest.mark.parametrize("shape", ["e4b", "31b"])
def test_the_other_shapes(shape):
    explorer = what_if(letter_model(shape), "some words", broken="pairs")
    explorer.controls["layer"].value = explorer.controls["layer"].max
    assert explorer.message.value == ""


def test_several_switches_and_none():
    explorer = what_if(letter_model("e2b"), "some words")
    one = explorer.picture.value
    explorer.controls["pairs"].value = True
    assert explorer.picture.value != one
    explorer.controls["pairs"].value = False
    assert explorer.picture.value == one
    explorer.controls["scale"].value = False
    assert explorer.message.value == ""
    assert explorer.picture.value != one


def test_empty_text_is_explained():
    explorer = what_if(letter_model("e2b"), "some words")
    explorer.controls["sentence"].value = "  "
    assert "type a word" in explorer.message.value
    with pytest.raises(InputError, match="no rule 'nonsense'"):
        what_if(letter_model("e2b"), "some words", broken="nonsense")


STAGES = ["embedding", "layer 0", "layer 1", "logits"]
VALUES = [0.0, 1e-5, np.inf, 0.3]
PATTERN = np.tril(np.full((3, 3), 1 / 3))
PICTURES = {
    "difference_growth": lambda: plots.difference_growth({"a": VALUES, "b": VALUES[::-1]}, STAGES, allowed={"x": 1e-5}),
    "difference_map": lambda: plots.difference_map({"a": VALUES, "b": [0.0] * 4}, STAGES, {"a": 0.1}),
    "difference_map, no cost": lambda: plots.difference_map({"a": VALUES}, STAGES),
    "what_if": lambda: plots.what_if(
        VALUES, STAGES, {"right": np.array([0.5, 0.1]), "wrong": np.array([0.2, 0.3])}, ["$x_1$", "日本"],
        (PATTERN, PATTERN), ["<bos>", "a", "\n"],
    ),
    "what_if, many tokens": lambda: plots.what_if(
        VALUES, STAGES, {"right": np.ones(1)}, ["a"], (np.tril(np.ones((90, 90))), np.tril(np.ones((90, 90)))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures(name):
    figure = PICTURES[name]()
    assert isinstance(figure, Figure)
    assert len(figure._repr_png_()) > 1000


def test_what_does_not_fit_is_explained():
    for wrong in (lambda: plots.difference_growth({"a": [1.0]}, STAGES), lambda: plots.difference_map({}, STAGES)):
        with pytest.raises(InputError, match="expected"):
            wrong()
