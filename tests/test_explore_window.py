"""Masks and the moving window: every control, and controls that fit one another."""

import pytest

pytest.importorskip("ipywidgets")
from explore_models import letter_model, move_everything

from minigemma.explore import moving_window, window_masks


def test_masks_move_and_the_query_and_the_image_stay_inside():
    explorer = window_masks()
    assert move_everything(explorer) > 8
    controls = explorer.controls
    controls["query"].value, controls["first"].value = 15, 10
    controls["image"].value = 6
    controls["length"].value = 8
    assert controls["query"].value == 7
    assert controls["first"].value + controls["image"].value <= 8
    assert explorer.message.value == ""


def test_the_window_moves_over_typed_text():
    explorer = moving_window(letter_model("e2b"), "some words")
    assert move_everything(explorer) >= 5
    explorer.controls["sentence"].value = ""
    assert "type a word" in explorer.message.value
