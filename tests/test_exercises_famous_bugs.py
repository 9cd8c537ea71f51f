"""The exercises of notebook 15 accept their solutions and know typical mistakes."""

import numpy as np
import pytest
from exercise_tests import exercise_tests
from small_models import SHAPES, random_gemma

from minigemma import whatif
from minigemma.exercises import famous_bugs as check
from minigemma.ops import relative_error


def first(right, wrong, measure=relative_error, allowed=1e-4):
    return next(i for i, name in enumerate(right) if measure(wrong[name], right[name]) > allowed)


SOLUTIONS = {check.check_first: first, check.check_shortest: lambda window: window}
MISTAKES = [
    (check.check_first, lambda a, b: first(a, b, lambda x, y: np.abs(x - y).max()), "absolute"),
    (check.check_first, lambda a, b: len(a) - 1, "differs most"),
    (check.check_shortest, lambda window: window + 1, "whole window"),
    (check.check_shortest, lambda window: window - 1, "still sees all"),
]

test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error = exercise_tests(
    SOLUTIONS, MISTAKES
)


def test_invisible_mistakes():
    assert check.check_invisible(["renormalise", "ple scale"]).right
    assert "soft cap keeps the order" in check.check_invisible(["softcap", "ple scale"]).message
    assert "There is another" in check.check_invisible("ple scale").message
    assert "not one of the five" in check.check_invisible({"pairs"}).message
    assert "Not answered yet" in check.check_invisible(...).message
    assert "There is another" in check.check_invisible(3).message


@pytest.mark.parametrize("shape", SHAPES)
def test_the_suspect(shape):
    model = random_gemma(shape)
    [culprit] = check.suspect(model).broken
    assert check.check_suspect(culprit, model).right
    other = next(name for name in whatif.rules(model) if name != culprit)
    assert "would the tensors before" in check.check_suspect(other, model).message
    assert "no rule of this model" in check.check_suspect("nonsense", model).message
    assert "Not answered yet" in check.check_suspect(..., model).message
