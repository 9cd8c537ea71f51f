"""Exercises of the notebook on validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigemma.exercises import Verdict, judge_function
from minigemma.ops import relative_error


def check_relative(function: Callable[[np.ndarray, np.ndarray], float]) -> Verdict:
    """``function(ours, reference)`` -> ‖ours - reference‖ / ‖reference‖."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(4, 6))
    ours = 1.5 * reference + 0.1 * rng.normal(size=(4, 6))
    difference = ours - reference
    mistakes = {
        float(np.linalg.norm(difference) / np.linalg.norm(ours)): "Divide by the reference's length, not by ours.",
        float(np.linalg.norm(difference)): "That is the length of the difference; divide it by the reference's.",
        float(np.abs(difference / reference).max()): "Number by number one reference near 0 spoils everything.",
        float(np.abs(difference / reference).mean()): "Number by number one reference near 0 spoils everything.",
        float((np.linalg.norm(difference) / np.linalg.norm(reference)) ** 2): "The roots are missing.",
    }
    good = "It does not matter how large the tensor's numbers are, nor that some are 0."
    return judge_function(function, (ours, reference), relative_error(ours, reference), good, mistakes)


def check_worst_row(function: Callable[[np.ndarray, np.ndarray], float]) -> Verdict:
    """``function(ours, reference)`` -> the largest relative error of a row; both (T, D)."""
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(200, 8)) * np.where(np.arange(200) == 0, 50, 1)[:, None]  # a first token as they are
    ours = reference.copy()
    ours[77] *= 1.4
    rows = np.linalg.norm(ours - reference, axis=1) / np.linalg.norm(reference, axis=1)
    mistakes = {
        relative_error(ours, reference): "That is the error of the whole tensor, in which one row drowns.",
        float(rows.mean()): "The mean over the rows hides one bad row among 200; take the largest.",
        float(np.linalg.norm(ours - reference, axis=1).max()): "Divide each row's difference by its own length.",
    }
    good = "One token of 200 is wrong by 40 %; the whole tensor's error would not have told."
    return judge_function(function, (ours, reference), rows.max(), good, mistakes)


def check_bisect(function: Callable[[Callable[[int], bool], int], int]) -> Verdict:
    """``function(differs, count)`` -> the first of ``count`` stages that differs, in few questions."""
    most = 0

    def ask(first: int) -> int:
        nonlocal most
        asked = []

        def differs(stage: int) -> bool:
            asked.append(stage)
            return stage >= first

        found = function(differs, 64)
        most = max(most, len(set(asked)))
        return found

    firsts = [0, 1, 13, 31, 32, 62, 63]
    mistakes = [
        ([f - 1 for f in firsts], "That is the last stage that agrees."),
        ([f + 1 for f in firsts], "One too far: that stage differs, but so does the one before it."),
    ]
    verdict = judge_function(lambda: [ask(f) for f in firsts], (), firsts, "", mistakes, 0)
    if verdict.right and most > 7:
        return Verdict(False, f"Not yet. The stage is right, but you asked up to {most} times; 7 are enough for 64.")
    return Verdict(True, f"Right. At most {most} questions for 64 stages.") if verdict.right else verdict


def check_step(function: Callable[[float], float]) -> Verdict:
    """``function(x)`` -> how far the next larger number is that bfloat16 has, for a positive x that it has."""
    values = np.array([1.0, 1.5, 2.0, 39.25, 256.0])
    power = np.floor(np.log2(values))
    mistakes = [
        (2.0 ** (power - 8), "bfloat16 stores 7 bits after the leading 1, not 8."),
        (2.0 ** (power - 23), "That is float32, which stores 23 bits after the leading 1."),
        (2.0 ** (power - 10), "That is float16, which stores 10 bits after the leading 1."),
        (np.full(5, 2.0**-7), "The step grows with the number: it doubles at every power of two."),
        (values * 2.0**-7, "The step is the same from one power of two to the next."),
    ]
    good = "Between 1 and 2 there are 128 steps, and between 256 and 512 as many: odd numbers are missing there."
    return judge_function(lambda: [function(float(x)) for x in values], (), 2.0 ** (power - 7), good, mistakes, 1e-9)
