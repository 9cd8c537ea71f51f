"""The frame all explorers share: redraws, shows errors in place, leaks nothing, and leaves a still picture."""

import base64

import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.explore import Explorer, Reader, choice, play, slider, source, text, toggle
from minigemma.ops import rms_norm


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


def test_controls_are_fitted_to_one_another_and_drawn_once():
    drawn = []

    def draw(length, at):
        drawn.append((length, at))
        return Figure(figsize=(1, 1))

    def adapt(controls):
        controls["at"].max = controls["length"].value - 1

    explorer = Explorer(draw, {"length": slider("length", 1, 9, 9), "at": slider("at", 0, 8, 8)}, adapt=adapt)
    explorer.controls["length"].value = 4
    assert drawn == [(9, 8), (4, 3)]
    assert len(explorer.children) == 3


def test_play_stands_beside_the_controls_and_is_no_argument():
    control = slider("at", 0, 9)
    explorer = Explorer(lambda at: Figure(figsize=(1, 1)), {"at": control}, note="Press.", beside=[play(control)])
    assert explorer.values() == {"at": 0}
    assert explorer.children[1].children[-1].max == 9


@pytest.mark.parametrize("shape", SHAPES)
def test_a_text_is_read_once_and_a_long_one_is_cut_with_a_notice(shape):
    model, passes = letter_model(shape), []
    forward = model.forward
    model.forward = lambda *args, **kwargs: passes.append(1) or forward(*args, **kwargs)
    read = Reader(model, "layers.*.attention.pattern", longest=9, keep=2)

    short, long = read("words"), read("many more words")
    assert (len(short.tokens), short.note) == (6, "")
    assert (len(long.tokens), long.note) == (9, "The first 9 of 16 tokens.")
    assert read("words") is short
    assert short.trace["layers.0.attention.pattern"].shape == (model.schedule[0].heads, 6, 6)
    assert list(short.trace) == [f"layers.{i}.attention.pattern" for i in range(len(model.schedule))]

    read("a third"), read("words"), read("many more words")
    assert len(passes) == 4  # only the one that had to go was read again


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_no_text_is_an_error_to_show(empty):
    with pytest.raises(InputError, match="type a word"):
        Reader(letter_model("e2b"))(empty)


def test_source_shows_file_line_and_code():
    shown = source(rms_norm, Reader)
    markdown = shown._repr_markdown_()
    assert "minigemma/ops.py, line " in markdown
    assert "minigemma/explore/base.py, line " in markdown
    assert markdown.count("```python\n") == 2
    assert "def rms_norm(" in repr(shown)
