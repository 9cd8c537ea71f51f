"""Weights by name, as a model function gets them: narrowed to its own part, from a checkpoint or from plain arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from .ops import linear

_TILE = 2**22  # values of a tile: 16 MB widened, which stay near the processor until they are used


class Weights(Mapping[str, np.ndarray]):
    """The tensors below a prefix: ``weights["q_proj.weight"]`` is a float32 array; ``under("layers.0.")`` narrows.

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

    def rows(self, name: str, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """``weights[name][ids]`` without widening the rest of the table: ids (N,) -> (N, ...) float32."""
        source_rows = getattr(self._source, "rows", None)
        full = self._prefix + name
        return source_rows(full, ids) if source_rows else self._source[full][ids]

    def matrix(self, name: str, i: int) -> np.ndarray:
        """``weights[name][i]``, one matrix of a stack (an expert), without widening the others."""
        source_matrix = getattr(self._source, "matrix", None)
        full = self._prefix + name
        return source_matrix(full, i) if source_matrix else self._source[full][i]

    def product(self, x: np.ndarray, name: str, i: int | None = None) -> np.ndarray:
        """``x @ weights[name].T``, or with ``matrix(name, i)``: x (T, in) -> (T, out), in tiles if it is not kept."""
        source_product = getattr(self._source, "product", None)
        if source_product:
            return source_product(x, self._prefix + name, i)
        return linear(x, self[name] if i is None else self.matrix(name, i))

    def tiles(self, name: str, rows_per_tile: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """A large matrix in tiles along its first axis: pairs of (which rows, those rows (n, ...) float32)."""
        source_tiles = getattr(self._source, "tiles", None)
        full = self._prefix + name
        if source_tiles:
            return source_tiles(full, rows_per_tile)
        whole = self._source[full]
        return ((rows, whole[rows]) for rows in cuts(whole.shape, rows_per_tile or len(whole)))

    def prefetch(self, names: Iterable[str], only: Iterable[int] | None = None) -> None:
        """Have the named tensors read from disk in the background, where they come from a disk.

        only: of stacks of matrices (experts) these alone.
        """
        source_prefetch = getattr(self._source, "prefetch", None)
        if source_prefetch:
            source_prefetch([self._prefix + name for name in names], only)

    def find_nonfinite(self) -> list[str]:
        """The tensors with NaN or infinite values, and how many: for a model whose output is not finite."""
        source_find = getattr(self._source, "find_nonfinite", None)
        if source_find:
            return source_find()
        counts = ((name, *count_nonfinite(array), array.size) for name, array in self._source.items())
        return [describe_nonfinite(*each) for each in counts if each[1] or each[2]]

    def __getitem__(self, name: str) -> np.ndarray:
        return self._source[self._prefix + name]

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._source

    def __iter__(self) -> Iterator[str]:
        return (name[len(self._prefix) :] for name in self._source if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def count_nonfinite(values: np.ndarray) -> tuple[int, int]:
    """How many are NaN, how many infinite."""
    return int(np.isnan(values).sum()), int(np.isinf(values).sum())


def describe_nonfinite(name: str, nans: int, infinities: int, size: int) -> str:
    """The words for one tensor that has such values."""
    return f"{name} ({nans} NaN and {infinities} infinite of {size} values)"


def cuts(shape: tuple[int, ...], rows_per_tile: int | None) -> Iterator[slice]:
    """Slices of the first axis, each of so many rows or about sixteen megabytes widened."""
    rows = shape[0] if shape else 1
    if not math.prod(shape):  # nothing to cut, however many rows of no length there are
        return iter([slice(0, rows)])
    step = rows_per_tile or max(1, _TILE // max(1, math.prod(shape[1:])))
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))
