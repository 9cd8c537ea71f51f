"""Gemma 3's tensors as Gemma 4's decoder expects them: norms as the factor itself, a layer scalar of 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from ..checkpoint import Weights
from ..parameters import TEXT


class Gemma3Weights(Mapping[str, np.ndarray]):
    """Stored weights (whole-model names) of which the norms are 1 + what is stored; all else passes through.

    Gemma 3 stores a norm's weight as its distance from 1, so that decay in training pulls it towards 1, not towards 0.
    The ones are added here, once.
    """

    def __init__(self, stored: Weights, layers: int):
        self._stored = stored
        norms = {name: np.float32(1) + stored[name] for name in stored if name.endswith("norm.weight")}
        scalars = {f"{TEXT}layers.{i}.layer_scalar": np.ones(1, np.float32) for i in range(layers)}
        self._made = norms | scalars

    def __getitem__(self, name: str) -> np.ndarray:
        return self._made[name] if name in self._made else self._stored[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._stored, *self._made]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def rows(self, name: str, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        return self._stored.rows(name, ids)

    def product(self, x: np.ndarray, name: str, i: int | None = None) -> np.ndarray:
        return self._stored.product(x, name, i)

    def tiles(self, name: str, rows_per_tile: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        return self._stored.tiles(name, rows_per_tile)

    def prefetch(self, names: Iterable[str], only: Iterable[int] | None = None) -> None:
        self._stored.prefetch(names, only)

    def find_nonfinite(self) -> list[str]:
        return self._stored.find_nonfinite()
