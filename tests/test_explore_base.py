"""The frame all explorers share: redraws, shows errors in place, leaks nothing, and leaves a still picture."""

import base64

import pytest

pytest.importorskip("ipywidgets")
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.explore.base import Explorer, choice, slider, text, toggle


def draw(layer, head, sentence, sink):
    if sentence == "":
        raise InputError("type a sentence")
    if sentence == "bug":
        raise RuntimeError("a mistake of ours")
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, f"{layer} {head} {sentence} {sink}")
    return figure


@pytest.fixture
def explorer():
    controls = {
        "layer": slider("layer", 0, 3),
        "head": choice("head", {"first": 0, "second": 1}),
        "sentence": text("sentence", "hello"),
        "sink": toggle("hide the first token"),
    }
    return Explorer(draw, controls, note="Look here.")


def test_a_move_redraws(explorer):
    before = explorer.picture.value
    explorer.controls["layer"].value = 2
    assert explorer.picture.value[:4] == b"\x89PNG"
    assert explorer.picture.value != before


def test_our_errors_are_shown_in_place_and_go_away(explorer):
    explorer.controls["sentence"].value = ""
    assert "type a sentence" in explorer.message.value
    explorer.controls["sentence"].value = "again"
    assert explorer.message.value == ""


def test_an_unexpected_error_is_shown_and_raised(explorer):
    with pytest.raises(RuntimeError):
        explorer.controls["sentence"].value = "bug"
    assert "a mistake of ours" in explorer.message.value


def test_a_reader_without_a_kernel_sees_the_first_picture(explorer):
    bundle = explorer._repr_mimebundle_()
    bundle = bundle if isinstance(bundle, dict) else bundle[0]
    assert base64.b64decode(bundle["image/png"]) == explorer.picture.value
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_no_pyplot_figure_is_left(explorer):
    import matplotlib.pyplot as plt

    explorer.controls["layer"].value = 1
    assert plt.get_fignums() == []
