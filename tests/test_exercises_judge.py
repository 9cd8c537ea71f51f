"""What every exercise's check is made of: it says right, says what is wrong, and never stops a notebook."""

import doctest

import numpy as np
import pytest

from minigemma import exercises
from minigemma.exercises import judge, judge_function, reveal

RAMP = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("answer", "expected", "right", "says"),
    [
        (512, 512, True, "itself counts"),
        (np.float32(512), 512, True, "Right"),
        (513, 512, False, "one too many"),
        (100, 512, False, "too small"),
        (600, 512, False, "too large"),
        (..., 512, False, "Not answered yet"),
        (None, RAMP, False, "Not answered yet"),
        ("many", 512, False, "this is str"),
        (RAMP.copy(), RAMP, True, "Right"),
        (RAMP.tolist(), RAMP, True, "Right"),
        (RAMP.T, RAMP, False, "shape should be (2, 3); yours is (3, 2)"),
        (RAMP + np.eye(2, 3), RAMP, False, "33% of the numbers differ, first at [0, 0]: 0 is expected, yours is 1"),
        (RAMP > 2, RAMP > 2, True, "Right"),
        (RAMP * np.nan, RAMP, False, "first at [0, 0]"),
        (np.where(RAMP > 2, -np.inf, RAMP), np.where(RAMP > 2, -np.inf, RAMP), True, "Right"),
    ],
)
def test_a_verdict_says_what_is_wrong(answer, expected, right, says):
    verdict = judge(answer, expected, "The token itself counts.", {513: "That is one too many."})
    assert verdict.right is right
    assert says in repr(verdict)
    assert verdict._repr_markdown_().startswith("✅" if right else "✏️")


def test_arrays_may_be_known_mistakes():
    assert "You turned" in judge(RAMP.T, RAMP, mistakes=[(RAMP.T, "You turned it.")]).message


def test_a_learners_function_is_called_and_its_errors_are_told():
    assert judge_function(lambda x: x + 1, (1,), 2).right
    assert "ZeroDivisionError" in judge_function(lambda x: x / 0, (1,), 2).message
    assert "return" in judge_function(lambda x: None, (1,), 2).message
    assert "Not answered" in judge_function(lambda x: ..., (1,), 2).message


@pytest.mark.parametrize(
    ("guess", "truth", "right"),
    [(4, 4, True), (101, 100, True), (5, 4, False), ("yes", "yes", True), ("no", "yes", False), (True, False, False)],
)
def test_a_prediction_beside_the_truth(guess, truth, right):
    verdict = reveal(guess, truth, "Because.")
    assert verdict.right is right
    assert verdict.message == f"You said {guess}; it is **{truth}**. Because."
    assert "No guess" in reveal(..., truth).message


def test_the_example_of_the_docstring():
    assert doctest.testmod(exercises).failed == 0
