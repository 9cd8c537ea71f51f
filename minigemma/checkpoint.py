"""A checkpoint as a mapping from tensor name to float32 array, read from disk when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np


class Weights(Mapping[str, np.ndarray]):
    """The tensors below a prefix: ``weights["q_proj.weight"]`` is a float32 array, ``weights.under("layers.0.")`` narrows.

    The hub's own names are used throughout; a model function is given weights narrowed to its own part.
    """

    def __init__(self, source: Mapping[str, np.ndarray], prefix: str = ""):
        self._source, self._prefix = source, prefix

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Weights:
        """Wrap plain arrays (tests, notebooks, weights made by hand)."""
        return cls({name: np.asarray(array, np.float32) for name, array in arrays.items()})

    def under(self, prefix: str) -> Weights:
        """The tensors whose names start with ``prefix``, named by what follows it."""
        return Weights(self._source, self._prefix + prefix)

    def rows(self, name: str, ids: np.ndarray) -> np.ndarray:
        """``weights[name][ids]`` without widening the rest of the table: ids (N,) -> (N, ...) float32."""
        source_rows = getattr(self._source, "rows", None)
        full = self._prefix + name
        return source_rows(full, ids) if source_rows else self._source[full][ids]

    def __getitem__(self, name: str) -> np.ndarray:
        return self._source[self._prefix + name]

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._source

    def __iter__(self) -> Iterator[str]:
        return (name[len(self._prefix) :] for name in self._source if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
