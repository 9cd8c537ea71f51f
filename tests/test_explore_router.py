"""The router player: every control, what another top k and a removed expert do, and models without experts."""

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import letter_model, move_everything

from minigemma import plots
from minigemma.errors import InputError
from minigemma.explore import router_player
from minigemma.explore.router import routed
from minigemma.trace import Trace


def test_every_control_moves_the_picture():
    explorer = router_player(letter_model("26b"), "some words")
    assert move_everything(explorer) >= 10
    explorer.controls["token"].value = explorer.controls["token"].max
    explorer.controls["sentence"].value = "a"
    assert explorer.controls["token"].value <= 1
    assert explorer.message.value == ""
    explorer.controls["sentence"].value = " "
    assert "type a word" in explorer.message.value


def test_what_if_changes_one_layer_and_nothing_when_it_changes_nothing():
    model, ids = letter_model("26b"), np.arange(2, 12)
    text, name = model.config.text, "layers.3.moe.expert_weight"
    trace = Trace(name)
    model.forward(ids, trace=trace)
    weights, calm = routed(model, ids, 3, text.top_k_experts)
    np.testing.assert_array_equal(np.sort(weights)[:, -text.top_k_experts :], np.sort(trace[name]))
    more, changed = routed(model, ids, 3, text.top_k_experts + 2)
    assert ((more > 0).sum(axis=1) == text.top_k_experts + 2).all()
    assert not np.allclose(calm, changed)
    busiest = int((weights > 0).sum(axis=0).argmax())
    without, _ = routed(model, ids, 3, text.top_k_experts, busiest)
    assert not without[:, busiest].any()
    assert ((without > 0).sum(axis=1) == text.top_k_experts).all()


def test_the_picture_frames_the_whole_row_of_its_token():
    weights = np.random.default_rng(0).uniform(size=(6, 8))
    figure = plots.router_view(weights, weights, list("abcdef"), 2, (np.ones(5), np.ones(5)))
    heatmap = figure.axes[0]
    (frame,) = heatmap.collections
    low, high = frame.get_paths()[0].get_extents().get_points()
    assert (*low, *high) == (-0.5, 1.5, 7.5, 2.5)
    assert heatmap.get_xlim() == (-0.5, 7.5)


def test_a_model_without_experts_is_told_apart():
    with pytest.raises(InputError, match="no experts"):
        router_player(letter_model("e2b"), "words")
