"""Exercises that check themselves: one file a notebook, one ``check_*`` function an exercise.

A check never raises: it returns a Verdict, which a notebook shows as the cell's last line. It says "right", or what is
wrong in the learner's words, or that the ``...`` still stands. To write one:

>>> def check_keys_seen(answer):
...     return judge(answer, 512, "The window counts the token itself.", {513: "You left out the token itself."})
>>> check_keys_seen(513)
Not yet. You left out the token itself.

``judge_function`` does the same for a function the learner wrote, on given arguments; ``reveal`` is for predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Mistakes = Mapping[Any, str] | Iterable[tuple[Any, str]]  # a typical wrong answer, and what to say to it


@dataclass(frozen=True)
class Verdict:
    """What a check has to say."""

    right: bool
    message: str

    def __repr__(self) -> str:
        return self.message

    def _repr_markdown_(self) -> str:
        return f"{'✅' if self.right else '✏️'} {self.message}"


def judge(answer: Any, expected: Any, well_done: str = "", mistakes: Mistakes = (), tolerance: float = 1e-4) -> Verdict:
    """Compare an answer, a number or an array, with the expected one.

    tolerance: relative to the largest number of ``expected``. mistakes: wrong answers to know, each with its hint.
    """
    if _open(answer):
        return Verdict(False, "Not answered yet: put your answer in place of the `...`.")
    try:
        given = np.asarray(answer, np.float64)
    except (TypeError, ValueError):
        return Verdict(False, f"Not yet. A number or an array is expected, this is {type(answer).__name__}.")
    expected = np.asarray(expected, np.float64)
    if _same(given, expected, tolerance):
        return Verdict(True, f"Right. {well_done}".strip())
    for wrong, hint in mistakes.items() if isinstance(mistakes, Mapping) else mistakes:
        if _same(given, np.asarray(wrong, np.float64), tolerance):
            return Verdict(False, f"Not yet. {hint}")
    return Verdict(False, f"Not yet. {_difference(given, expected, tolerance)}")


def judge_function(
    function: Callable[..., Any],
    arguments: tuple,
    expected: Any,
    well_done: str = "",
    mistakes: Mistakes = (),
    tolerance: float = 1e-4,
) -> Verdict:
    """Call the learner's function and judge what it returns."""
    try:
        answer = function(*arguments)
    except Exception as error:  # whatever the learner's code does, the notebook goes on
        return Verdict(False, f"Not yet. Your function stopped with {type(error).__name__}: {error}")
    if answer is None:
        return Verdict(False, "Not yet. Your function returns nothing: is there a `return`?")
    return judge(answer, expected, well_done, mistakes, tolerance)


def reveal(guess: Any, truth: Any, why: str = "") -> Verdict:
    """A prediction beside what came out; for cells that follow ``guess = ...``. Numbers count as right within 2 %."""
    if _open(guess):
        return Verdict(False, f"No guess was made. It is **{truth}**. {why}".strip())
    numeric = isinstance(truth, int | float | np.number) and isinstance(guess, int | float | np.number)
    right = abs(guess - truth) <= 0.02 * abs(truth) if numeric else guess == truth
    return Verdict(bool(right), f"You said {guess}; it is **{truth}**. {why}".strip())


def _open(answer: Any) -> bool:
    if isinstance(answer, list | tuple):
        return any(map(_open, answer))
    return answer is None or answer is Ellipsis


def _same(given: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    if given.shape != expected.shape:
        return False
    finite = np.abs(expected[np.isfinite(expected)])
    return np.allclose(given, expected, rtol=0, atol=tolerance * (finite.max() if finite.size else 0), equal_nan=True)


def _difference(given: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    if given.shape != expected.shape:
        return f"The shape should be {expected.shape}; yours is {given.shape}."
    if not given.ndim:
        return f"{given:g} is too {'large' if given > expected else 'small'}."
    finite = np.abs(expected[np.isfinite(expected)])
    close = np.isclose(given, expected, rtol=0, atol=tolerance * (finite.max() if finite.size else 0), equal_nan=True)
    at = tuple(int(i) for i in np.argwhere(~close)[0])
    return (
        f"The shape is right; {np.mean(~close):.0%} of the numbers differ, first at [{', '.join(map(str, at))}]: "
        f"{expected[at]:.4g} is expected, yours is {given[at]:.4g}."
    )
