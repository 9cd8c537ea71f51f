"""Watching a forward pass: named tensors are recorded (or edited) as they are made.

Code that computes says ``keys = watch("keys", keys)``. Without a trace that call returns its argument and nothing is
stored; with one, the tensor is kept under its full name, such as ``layers.3.attention.keys``:

>>> trace = Trace("layers.*.attention.pattern")
>>> watch = trace.under("layers.3").under("attention")
>>> watch("keys", 1.0), watch("pattern", 2.0)
(1.0, 2.0)
>>> list(trace)
['layers.3.attention.pattern']

An edit replaces a tensor in flight, which is how a notebook knocks out a head or an expert:

>>> trace = Trace(edit={"layers.*.attention.pattern": lambda pattern: pattern * 0})
>>> trace.under("layers.0")("attention.pattern", 7.0)
0.0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Protocol

import numpy as np

Edit = Callable[[Any], Any]


class Watch(Protocol):
    """What a module sees of a trace: call it with a name and a value, and go on with what it returns."""

    def __call__(self, name: str, value: Any) -> Any: ...
    def wants(self, name: str) -> bool: ...
    def under(self, prefix: str) -> Watch: ...


def matches(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern: a star between dots stands for one part of a name, at either end for anything.

    >>> [matches(name, "layers.*.output") for name in ("layers.0.output", "layers.0.attention.output")]
    [True, False]
    >>> matches("layers.0.moe.experts", "layers.*.moe.*"), matches("images.0.soft_tokens", "*.soft_tokens")
    (True, True)
    """
    open_ended = pattern.startswith("*") or pattern.endswith("*")
    return fnmatchcase(name, pattern) and (open_ended or name.count(".") == pattern.count("."))


class _Unwatched:
    def __call__(self, name: str, value: Any) -> Any:
        return value

    def wants(self, name: str) -> bool:
        return False

    def under(self, prefix: str) -> Watch:
        return self


unwatched: Watch = _Unwatched()  # the default of every module: nothing is named, nothing is stored


class Trace(Mapping[str, np.ndarray]):
    """Recorded tensors by name, in the order they were made.

    patterns: names to record, such as ``"layers.*.attention.pattern"`` (see ``matches``); none means all.
    edit: name pattern -> function applied to the tensor before the model goes on with it.
    Edited tensors are recorded as edited. If only ``edit`` is given, only the edited tensors are recorded.
    """

    def __init__(self, *patterns: str, edit: Mapping[str, Edit] | None = None):
        self.edits = dict(edit or {})
        self.patterns = patterns or (tuple(self.edits) or ("*",))
        self._tensors: dict[str, np.ndarray] = {}

    def __call__(self, name: str, value: Any) -> Any:
        for pattern, change in self.edits.items():
            if matches(name, pattern):
                value = change(value)
        if any(matches(name, pattern) for pattern in self.patterns):
            self._tensors[name] = value.copy() if isinstance(value, np.ndarray) else value
        return value

    def wants(self, name: str) -> bool:
        """Whether ``name`` would be recorded or edited, so that a costly tensor is only made when somebody looks."""
        return any(matches(name, pattern) for pattern in (*self.patterns, *self.edits))

    def under(self, prefix: str) -> Watch:
        """A view that puts ``prefix.`` before every name."""
        return _Under(self, prefix)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._tensors:
            close = [n for n in self._tensors if n.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
            hint = f"; recorded with that last part: {', '.join(close[:4])}" if close else ""
            raise KeyError(f"{name!r} was not recorded ({len(self)} tensors were){hint}")
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def match(self, pattern: str) -> dict[str, np.ndarray]:
        """The recorded tensors whose names match, e.g. ``trace.match("layers.*.output")``."""
        return {name: value for name, value in self._tensors.items() if matches(name, pattern)}

    def __repr__(self) -> str:
        return f"Trace({len(self)} tensors)"


class _Under:
    def __init__(self, watch: Watch, prefix: str):
        self._watch, self._prefix = watch, prefix + "."

    def __call__(self, name: str, value: Any) -> Any:
        return self._watch(self._prefix + name, value)

    def wants(self, name: str) -> bool:
        return self._watch.wants(self._prefix + name)

    def under(self, prefix: str) -> Watch:
        return _Under(self._watch, self._prefix + prefix)
