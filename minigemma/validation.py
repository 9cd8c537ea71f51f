"""Is a model the reference's? What notebook 14 does step by step, with the reference's outputs stored or made here.

``stored`` reads outputs of transformers that are kept in the repository's ``tests/goldens``, with the random model they
belong to, so nothing but NumPy is needed; ``live`` runs transformers on a checkpoint, where it is installed. Both give
tensors under the names of our trace. ``minigemma.verify`` is the finished tool, for any checkpoint.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigemma.bfloat16 import narrow, widen
from minigemma.checkpoint import Weights
from minigemma.model import Gemma4, find_checkpoint, load
from minigemma.trace import Trace
from minigemma.whatif import difference

TESTS = Path(__file__).parents[1] / "tests"
SHAPES = {"E2B": "e2b", "E4B": "e4b", "26B-A4B": "26b", "31B": "31b"}


class Stored(NamedTuple):
    """A small model of one of the four shapes, and what the reference makes of the same weights and ids."""

    model: Gemma4
    ids: np.ndarray  # (T,)
    tensors: dict[str, np.ndarray]  # under the names of our trace
    continuation: list[int]  # the reference's greedy one
    source: str  # where the tensors are from, in words


def stored(variant: str = "E2B") -> Stored:
    """The stored outputs of transformers for a small random model of this shape; every tensor of it is drawn at random.

    Without the repository (an installed package alone) it is mini-e beside itself, and ``source`` says so.
    """
    shape = SHAPES[variant]
    file = TESTS / "goldens" / f"text_{shape}.npz"
    if not file.exists():
        return _itself()
    spec = importlib.util.spec_from_file_location("_small_models", TESTS / "small_models.py")
    assert spec is not None
    assert spec.loader is not None
    small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    with np.load(file) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    shapes, seed = json.loads(str(found.pop("shapes"))), int(found.pop("seed"))
    weights = Weights.of(small.draw_weights(shapes, seed)).under("model.")
    model = Gemma4(small.small_config(shape), weights)
    ids, continuation = found.pop("ids"), found.pop("continuation").tolist()
    return Stored(model, ids, found, continuation, f"transformers, stored in {file.parent.name}/{file.name}")


def _itself() -> Stored:
    model = load("mini-e")
    ids = np.array(
        [model.config.text.bos_token_id, *model.tokenizer.encode("In the beginning God created the heaven.")]
    )
    trace = Trace()
    model.forward(ids, trace=trace)
    return Stored(model, ids, dict(trace), list(model.generate(ids, 24, stop=())), "mini-e itself: no outputs are here")


def live(directory: str | Path, ids: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """What transformers makes of token ids (T,) with a checkpoint, in float32. MinigemmaError where it is missing."""
    from minigemma.streamed_reference import StreamedReference

    found: dict[str, np.ndarray] = {}
    keep: Callable[[str, np.ndarray], None] = lambda name, value: found.__setitem__(name, value.copy())  # noqa: E731
    StreamedReference(find_checkpoint(directory)).run(np.asarray(ids), [], [], keep)
    return found


def end_to_end(
    model: Gemma4, ids: Sequence[int] | np.ndarray, theirs: Mapping[str, np.ndarray], edit: Any = None
) -> dict[str, float]:
    """Relative error of every tensor of one pass of ours, in its order. edit: as ``Trace`` takes it."""
    trace = Trace("*", edit=edit)
    model.forward(ids, trace=trace)
    return {name: difference(theirs[name], value) for name, value in trace.items() if name in theirs}


def step_by_step(model: Gemma4, ids: Sequence[int] | np.ndarray, theirs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The same, but after every tensor we go on with the reference's numbers: an error is seen where it arises."""
    trace = _HandedOn(theirs)
    model.forward(ids, trace=trace)
    return trace.errors


class _HandedOn(Trace):
    def __init__(self, theirs: Mapping[str, np.ndarray]):
        super().__init__()
        self.theirs, self.errors = theirs, dict[str, float]()

    def wants(self, name: str) -> bool:
        return name in self.theirs

    def __call__(self, name: str, value: Any) -> Any:
        if name not in self.theirs:
            return value
        self.errors[name] = difference(self.theirs[name], value)
        return self.theirs[name]


def to_bfloat16(x: Any) -> Any:
    """Every number rounded to the nearest that bfloat16 has, still as float32. Whole numbers stay."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float32:
        return x
    return widen(narrow(x).ravel(), np.empty(x.size, np.float32)).reshape(x.shape)


def bisect(differs: Callable[[int], bool], count: int) -> tuple[int, list[int]]:
    """The first of ``count`` stages that differs, and which ones were looked at; ``count`` if the last one agrees.

    Right where an error, once made, is never mended: then all stages before the first agree, and none after.
    """
    low, high, asked = 0, count, []
    while low < high:
        middle = (low + high) // 2
        asked.append(middle)
        low, high = (low, middle) if differs(middle) else (middle + 1, high)
    return low, asked
