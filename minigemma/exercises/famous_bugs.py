"""Exercises of the notebook on famous bugs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minigemma import whatif
from minigemma.exercises import Verdict, judge_function
from minigemma.model import Gemma4

Tensors = Mapping[str, np.ndarray]
INVISIBLE = {"ple scale", "renormalise"}
VISIBLE = {
    "softcap": "The soft cap keeps the order of the logits, so greedy text stays; the probabilities do not.",
    "gelu": "The two forms of GELU differ little, but they do differ: look at the logits, not at the loss.",
    "window": "Take a text longer than the window.",
}


def check_first(function: Callable[[Tensors, Tensors], int]) -> Verdict:
    """``function(right, wrong)`` -> the place (0, 1, ...) of the first tensor that differs by more than 1e-4 of its
    size."""
    rng = np.random.default_rng(0)
    sizes = {"embedding": 1.0, "stream": 300.0, "queries": 1.0, "heads": 0.02, "output": 1.0, "logits": 10.0}
    right = {name: (size * rng.normal(size=40)).astype(np.float32) for name, size in sizes.items()}
    change = {"embedding": 1e-6, "stream": 1e-5, "queries": 1e-6, "heads": 1e-2, "output": 1e-1, "logits": 5e-1}
    wrong = {
        name: (x * (1 + change[name] * rng.choice([-1, 1], size=40))).astype(np.float32) for name, x in right.items()
    }
    names = list(right)
    absolute = next(i for i, name in enumerate(names) if np.abs(right[name] - wrong[name]).max() > 1e-4)
    mistakes = {
        absolute: "An absolute difference: in a large tensor rounding alone is that large. Divide by its size.",
        0: "Rounding makes almost all tensors differ a little.",
        5: "That is the one that differs most; the mistake was made earlier.",
    }
    good = "The tensors after it differ more, but only because of it."
    return judge_function(function, (right, wrong), 3, good, mistakes, 0)


def check_shortest(function: Callable[[int], int]) -> Verdict:
    """``function(window)`` -> the fewest tokens of a text on which a window that is one too short can be noticed."""
    windows = (32, 512, 1024)
    mistakes = [
        ([w + 1 for w in windows], "The last of these queries sees a whole window; how many tokens is that?"),
        ([w - 1 for w in windows], "With so many tokens every query still sees all of them, even in the short window."),
        ([2 * w for w in windows], "It is enough that one query loses one key."),
    ]
    good = "A test on a shorter text can only pass."
    return judge_function(lambda: [function(w) for w in windows], (), list(windows), good, mistakes, 0)


def check_invisible(names: Any) -> Verdict:
    """Which of the mistakes "softcap", "gelu", "ple scale", "renormalise" and "window" no logit can ever show."""
    if names is None or names is Ellipsis:
        return Verdict(False, "Not answered yet: put your answer in place of the `...`.")
    given = {names} if isinstance(names, str) else set(names) if isinstance(names, Iterable) else set()
    for name in sorted(map(str, given - INVISIBLE)):
        return Verdict(False, f"Not yet. {VISIBLE.get(name, f'{name!r} is not one of the five.')}")
    if given != INVISIBLE:
        return Verdict(False, "Not yet. There is another: after which of these tensors does a norm come?")
    return Verdict(True, "Right. Each is a factor of a whole vector, and a norm that follows divides it out again.")


def suspect(model: Gemma4) -> whatif.Changed:
    """The same model with one rule broken. Which one is for you to find; ``check_suspect`` knows."""
    return whatif.changed(model, _culprit(model))


def check_suspect(name: Any, model: Gemma4) -> Verdict:
    """The name of the rule that ``suspect(model)`` breaks."""
    if name is None or name is Ellipsis:
        return Verdict(False, "Not answered yet: put your answer in place of the `...`.")
    truth = _culprit(model)
    if name == truth:
        return Verdict(True, f"Right. {whatif.RULES[truth].mistake[0].upper()}{whatif.RULES[truth].mistake[1:]}.")
    known = whatif.rules(model)
    if name not in known:
        return Verdict(False, f"Not yet. {name!r} is no rule of this model; there are {', '.join(known)}.")
    return Verdict(
        False,
        f"Not yet. If “{name}” were broken, would the tensors before the first that differs be the same? "
        f"Compare with `whatif.changed(model, {name!r})`.",
    )


def _culprit(model: Gemma4) -> str:
    return next(name for name in ("sharing", "k=v", "value norm", "theta") if name in whatif.rules(model))
