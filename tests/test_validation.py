"""Against stored outputs of the reference: errors by stage, rounding, mistakes, bisection; and the explorer of it."""

import numpy as np
import pytest

from minigemma import validation, whatif
from minigemma.validation import SHAPES, bisect, end_to_end, step_by_step, stored, to_bfloat16


@pytest.mark.parametrize("variant", SHAPES)
def test_small_models_agree_and_say_the_same(variant):
    case = stored(variant)
    errors = end_to_end(case.model, case.ids, case.tensors)
    assert max(errors.values()) < 1e-4
    assert list(case.model.generate(case.ids, len(case.continuation), stop=())) == case.continuation
    assert "transformers" in case.source


def test_handed_on_numbers_show_an_error_where_it_arises():
    case = stored("E2B")
    theirs = {name: x for name, x in case.tensors.items() if name in whatif.stages(case.model)}
    wrong = whatif.changed(case.model, "sharing")
    layers = [spec.index for spec in case.model.schedule]
    grown, alone = end_to_end(wrong, case.ids, theirs), step_by_step(wrong, case.ids, theirs)
    moved = {i for i in layers if wrong.schedule[i].kv_source != case.model.schedule[i].kv_source}
    assert {i for i in layers if alone[f"layers.{i}.output"] > 1e-4} == moved
    assert {i for i in layers if grown[f"layers.{i}.output"] > 1e-4} == {i for i in layers if i >= min(moved)}
    assert alone["logits"] < 1e-4 < grown["logits"]


def test_rounding_to_bfloat16():
    np.testing.assert_array_equal(
        to_bfloat16(np.array([1.0, 1 + 2**-9, 1 + 2**-7, -0.1], np.float32)),
        np.array([1.0, 1.0, 1 + 2**-7, -0.10009765625], np.float32),
    )
    assert to_bfloat16(np.array([3])).dtype == int
    case = stored("26B-A4B")
    fine, coarse = (
        end_to_end(case.model, case.ids, case.tensors, edit)["logits"] for edit in (None, {"*": to_bfloat16})
    )
    assert 100 * fine < coarse < 0.5


@pytest.mark.parametrize("first", range(8))
def test_bisection(first):
    found, asked = bisect(lambda stage: stage >= first, 7)
    assert found == first
    assert len(asked) <= 3


def test_without_the_repository_a_model_is_compared_with_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(validation, "TESTS", tmp_path)
    case = stored("31B")
    assert "itself" in case.source
    assert max(end_to_end(case.model, case.ids, case.tensors).values()) < 1e-6


@pytest.mark.reference
def test_live(close):
    case = stored("E2B")
    model = validation.load("mini-e")
    theirs = validation.live("mini-e", case.ids)
    close(model.forward(case.ids), theirs["logits"], 1e-4, "logits")


def test_every_control_of_the_explorer_moves():
    pytest.importorskip("ipywidgets")
    from explore_models import move_everything

    from minigemma.explore import error_growth

    assert move_everything(error_growth()) > 12
