"""The cache calculator: every variant, context, width and way of keeping; what cannot be is said."""

import pytest

pytest.importorskip("ipywidgets")
from explore_models import letter_model, move_everything

from minigemma.explore import cache_calculator


def test_every_variant_context_and_width():
    explorer = cache_calculator(letter_model("26b"), variant="31B")
    assert move_everything(explorer) > 20
    assert [name for name, *_ in explorer.controls["variant"].options][-1].startswith("t")


def test_what_cannot_be_is_said():
    explorer = cache_calculator()
    explorer.controls["keep"].value = "one tensor"
    assert "both tensors must be kept" in explorer.message.value
    explorer.controls["variant"].value = "26B-A4B"
    assert explorer.message.value == ""
