"""Heads of a model on typed text: every control, every family; one pass a text; errors in their place."""

import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model, move_everything

from minigemma.explore import attention_heads


def test_every_control_moves():
    assert move_everything(attention_heads(letter_model("e2b"), "some words")) > 15


@pytest.mark.parametrize("shape", SHAPES)
def test_every_family_is_drawn_to_its_last_layer_and_head(shape):
    model = letter_model(shape)
    explorer = attention_heads(model, "some words", layer=len(model.schedule) - 1)
    before = explorer.picture.value
    explorer.controls["head"].value = explorer.controls["head"].max
    assert explorer.picture.value != before
    assert explorer.message.value == ""


def test_one_pass_a_text_and_the_query_follows_its_length():
    model, passes = letter_model("e2b"), []
    forward = model.forward
    model.forward = lambda *args, **kwargs: passes.append(1) or forward(*args, **kwargs)
    explorer = attention_heads(model, "some words", layer=8, head=2)
    query = explorer.controls["query"]
    assert query.value == query.max == 10  # the last of bos and ten letters
    for layer in range(12):
        explorer.controls["layer"].value = layer
    assert len(passes) == 1

    explorer.controls["sentence"].value = "longer than that"
    assert (len(passes), query.value, query.max) == (2, 16, 16)
    query.value = 3
    explorer.controls["sentence"].value = "ab"
    assert query.value == query.max == 2


def test_no_text_says_so_and_the_picture_stays():
    explorer = attention_heads(letter_model("31b"), "some words")
    before = explorer.picture.value
    explorer.controls["sentence"].value = " "
    assert "type a word" in explorer.message.value
    assert explorer.picture.value == before
    explorer.controls["layer"].value = 3
    assert "type a word" in explorer.message.value
    explorer.controls["sentence"].value = "again"
    assert explorer.message.value == ""
    assert explorer.picture.value != before
