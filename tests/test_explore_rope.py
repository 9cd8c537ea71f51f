"""Clocks of real keys and the map of angles: every control, every family."""

import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model, move_everything

from minigemma.explore import angle_map, rotation_clocks


def test_every_control_of_the_clocks_moves():
    explorer = rotation_clocks(letter_model("e2b"), "some words")
    assert move_everything(explorer) > 8
    explorer.controls["sentence"].value = ""
    assert "type a word" in explorer.message.value


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sharing_layer_shows_the_keys_it_reads(shape):
    model = letter_model(shape)
    explorer = rotation_clocks(model, "some words", layer=len(model.schedule) - 1)
    assert explorer.message.value == ""


def test_the_map_of_angles_moves():
    assert move_everything(angle_map(64)) >= 8
