"""Readers of the same keys, and another number of sharing layers: every control, every family."""

import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model, move_everything

from minigemma.explore import key_readers, sharing_layers


def test_every_control_of_the_readers_moves():
    explorer = key_readers(letter_model("e2b"), "some words")
    assert move_everything(explorer) > 10
    explorer.controls["sentence"].value = " "
    assert "type a word" in explorer.message.value


@pytest.mark.parametrize("shape", SHAPES)
def test_every_family_is_drawn_also_where_nothing_is_shared(shape):
    explorer = key_readers(letter_model(shape), "some words", layer=0)
    explorer.controls["layer"].value = explorer.controls["layer"].max
    assert explorer.message.value == ""


def test_more_and_fewer_sharing_layers():
    explorer = sharing_layers()
    assert (explorer.controls["shared"].value, explorer.controls["shared"].max) == (20, 30)
    assert move_everything(explorer) >= 5
    explorer.controls["variant"].value = "31B"
    assert explorer.controls["shared"].max == 54
