"""The explorers of per-layer embeddings: every control moved; a model without them is refused in words."""

import pytest

pytest.importorskip("ipywidgets")
from explore_models import letter_model, move_everything

from minigemma.errors import InputError
from minigemma.explore import ple_switches, ple_vectors


@pytest.mark.parametrize("explorer", [ple_vectors, ple_switches])
def test_every_control_moves(explorer):
    assert move_everything(explorer(letter_model("e2b"), "some words")) > 2


def test_a_shorter_text_has_fewer_tokens():
    explorer = ple_vectors(letter_model("e2b"), "some words", token=8)
    explorer.controls["sentence"].value = "ab"
    assert explorer.controls["token"].value == explorer.controls["token"].max == 2


def test_a_model_without_them_is_refused():
    with pytest.raises(InputError, match="no per-layer embeddings"):
        ple_vectors(letter_model("31b"), "some words")
