"""What every file of exercises is tested for: its solutions are accepted, typical mistakes named, and dots forgiven."""

from collections.abc import Callable

import pytest


def exercise_tests(solutions: dict[Callable, Callable], mistakes: list[tuple[Callable, Callable, str]]) -> tuple:
    """Three tests of check functions. solutions: check -> right answer; mistakes: (check, wrong answer, its hint)."""

    @pytest.mark.parametrize("check", solutions, ids=lambda check: check.__name__)
    def test_the_solution_is_accepted(check):
        assert check(solutions[check]).right

    @pytest.mark.parametrize(("check", "wrong", "says"), mistakes)
    def test_a_typical_mistake_is_named(check, wrong, says):
        verdict = check(wrong)
        assert not verdict.right
        assert says in verdict.message

    @pytest.mark.parametrize("check", solutions, ids=lambda check: check.__name__)
    def test_an_open_exercise_is_no_error(check):
        assert "Not answered yet" in check(lambda *_: ...).message

    return test_the_solution_is_accepted, test_a_typical_mistake_is_named, test_an_open_exercise_is_no_error
