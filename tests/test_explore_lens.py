"""The logit lens: its arithmetic ends at the model's own answer, and its explorer works for every shape."""

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model, move_everything

from minigemma import lens
from minigemma.explore import logit_lens
from minigemma.ops import softmax
from minigemma.trace import Trace


@pytest.mark.parametrize("shape", SHAPES)
def test_the_last_layer_read_out_is_the_models_own_answer(shape):
    model, trace = letter_model(shape), Trace(*lens.TRACED)
    logits = model.forward([2, 5, 9, 5, 7, 11], trace=trace)
    stream = lens.streams(model, trace)
    assert stream.shape == (len(model.schedule) + 1, 6, model.config.text.hidden_size)
    assert np.array_equal(stream[0], trace["embedding"])
    assert np.allclose(lens.read_out(model, stream[-1]), softmax(logits), atol=1e-6)


def test_ranks_begin_with_one():
    assert lens.ranks(np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]), 2).tolist() == [2, 2]
    assert lens.ranks(np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]), 1).tolist() == [3, 1]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_control_of_every_shape(shape):
    explorer = logit_lens(letter_model(shape), "some words")
    assert move_everything(explorer) > 8
    for name, value in {"view": "several", "position": 0, "lowest": 1, "highest": 0}.items():
        explorer.controls[name].value = value
        assert explorer.message.value == ""


def test_the_range_may_be_one_layer_and_turned_around():
    explorer = logit_lens(letter_model("e2b"), "some words")
    explorer.controls["highest"].value = 0
    explorer.controls["lowest"].value = 4
    assert explorer.message.value == ""
    explorer.controls["lowest"].value = 0
    assert explorer.message.value == ""


def test_the_position_follows_the_text_and_errors_are_shown():
    explorer = logit_lens(letter_model("31b"), "some words")
    explorer.controls["sentence"].value = "ab"
    assert (explorer.controls["position"].value, explorer.controls["position"].max) == (2, 2)
    explorer.controls["sentence"].value = " "
    assert "type a word" in explorer.message.value
