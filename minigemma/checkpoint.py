"""A checkpoint as a mapping from tensor name to float32 array, read from disk when asked for.

The file stays mapped; a tensor is widened to float32 on its way to the product that needs it. How much widened weight
stays in memory is one number, so a model far larger than the machine runs, and a small one is read once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from .bfloat16 import FEW as FEW_VECTORS
from .bfloat16 import Scratch, product_of_few, widen
from .checkpoint_files import compare, find_tensors, save_checkpoint
from .config import Config
from .errors import CheckpointError
from .memory import available_memory, parse_size, show_size
from .ops import FEW, laid_out, linear
from .parameters import TEXT
from .safetensors_file import Entry
from .weights import Weights, count_nonfinite, cuts, describe_nonfinite

__all__ = ["Checkpoint", "Weights", "save_checkpoint"]

_SMALL = 2**16  # bytes; norms and scalars are always kept
_LOOKED_UP = "embed_tokens_per_layer.weight"  # a table of which a token needs one row: never kept whole


class Checkpoint(Mapping[str, np.ndarray]):
    """A directory of safetensors: ``checkpoint[name]`` is a read-only float32 array under the hub's name.

    memory: how many bytes of widened weight stay resident: "2GB", a number, "all", or None: as the machine allows, and
    ``memory_note`` says what was decided. A tensor stays once it has been widened while there is room, the matrix of a
    product from its second use on. (Dropping the one unused for longest would be worse: layers are visited in a circle,
    and each would go just before its turn.)
    """

    def __init__(self, directory: str | Path, memory: str | int | None = None):
        self.directory = Path(directory)
        self._place = find_tensors(self.directory)
        self._resident: dict[Hashable, np.ndarray] = {}
        self._used: set[Hashable] = set()  # matrices that a product has asked for
        self._scratch = Scratch()
        self.resident_bytes = 0
        self.whole_bytes = sum(4 * self._entry(name).size for name in self if not name.endswith(_LOOKED_UP))
        self.budget, self.memory_note = _decide(memory, self.whole_bytes)
        logging.getLogger("minigemma").info("%s: %s", self.directory, self.memory_note)

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self._resident:
            return self._resident[name]
        file, stored = self._place[name]
        return self._kept(name, self.shape(name), file.flat(stored), file.whole(stored))

    def __contains__(self, name: object) -> bool:
        return name in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return self._entry(name).shape

    def rows(self, name: str, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """``checkpoint[name][ids]``, widening those rows only: ids (N,) -> (N, ...) float32.

        Of a stack of matrices (experts) each matrix asked for is kept like a tensor of its own, as memory allows.
        """
        ids, shape = np.asarray(ids, np.intp), self._entry(name).shape
        if ids.size and not (ids.min() >= 0 and ids.max() < shape[0]):
            raise CheckpointError(f"{name} has rows 0 to {shape[0] - 1}; asked for {ids.min()} to {ids.max()}")
        if name in self._resident:
            return self._resident[name][ids]
        file, stored = self._place[name]
        if len(shape) > 2:
            matrices = [self.matrix(name, i) for i in ids.tolist()]
            if len(matrices) == 1:  # as it is, without a copy
                return matrices[0][None]
            return np.array(matrices, np.float32).reshape(len(ids), *shape[1:])
        return _float32(file.flat(stored).reshape(shape)[ids])

    def matrix(self, name: str, i: int) -> np.ndarray:
        """``checkpoint[name][i]``, one matrix of a stack (an expert), without widening the others."""
        if (name, i) in self._resident:
            return self._resident[name, i]
        file, stored = self._place[name]
        return self._kept((name, i), self.shape(name)[1:], file.flat(stored, i, i + 1))

    def product(self, x: np.ndarray, name: str, i: int | None = None) -> np.ndarray:
        """``x @ checkpoint[name].T``, or with ``matrix(name, i)``: x (T, in) -> (T, out).

        A matrix that does not stay is widened a tile at a time, which is used while it is in the processor's cache:
        a whole one would go out to memory and come back. The first time it does not stay in any case: to take memory
        costs more than to widen once more, and a program that runs one forward pass never needs it.
        """
        key, shape = (name, self.shape(name)) if i is None else ((name, i), self.shape(name)[1:])
        stays = key in self._resident or (key in self._used and self._has_room(key, 4 * math.prod(shape)))
        self._used.add(key)
        if stays:
            return linear(x, self[name] if i is None else self.matrix(name, i))
        file, stored = self._place[name]
        flat = file.flat(stored) if i is None else file.flat(stored, i, i + 1)
        if 0 < len(x) <= FEW_VECTORS and flat.dtype == np.uint16:
            return product_of_few(x, flat.reshape(shape), self._scratch)
        if i is not None:  # an expert is small
            return linear(x, _float32(flat, self._scratch).reshape(shape))
        y = np.empty((len(x), shape[0]), np.float32, order="F" if len(x) <= FEW else "C")  # as in linear
        for rows, tile in self._passing(name):
            np.matmul(x, tile.T, out=y[:, rows])
        return laid_out(y, shape[1])

    def tiles(self, name: str, rows_per_tile: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """A large matrix in tiles along its first axis, (which rows, float32 rows): all at once it would be too large.

        It is kept whole after all, and is then one tile unless told otherwise, when there is room for it.
        """
        shape = self._entry(name).shape
        if name in self._resident or self._has_room(name, 4 * self._entry(name).size):
            whole = self[name]
            yield from ((rows, whole[rows]) for rows in cuts(shape, rows_per_tile or len(whole)))
            return
        yield from self._passing(name, rows_per_tile)

    def _passing(self, name: str, rows_per_tile: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Tiles in memory that is used again."""
        (file, stored), shape = self._place[name], self.shape(name)
        for rows in cuts(shape, rows_per_tile):
            flat = file.flat(stored, rows.start, rows.stop)
            yield rows, _read_only(_float32(flat, self._scratch).reshape(-1, *shape[1:]))

    def prefetch(self, names: Iterable[str], only: Iterable[int] | None = None) -> None:
        """Have the named tensors read into the system's cache in the background (those not resident already).

        only: of stacks of matrices (experts) these alone, in this order.
        """
        names = [name for name in names if name in self._place]
        for i in [None] if only is None else only:
            for name in names:
                file, stored = self._place[name]
                if (name if i is None else (name, i)) not in self._resident:
                    file.will_need(stored, *(() if i is None else (i, i + 1)))

    def check(self, config: Config) -> None:
        """Compare with the config: every missing, unknown and wrongly shaped tensor, in one CheckpointError."""
        compare({name: self.shape(name) for name in self}, config, str(self.directory))

    def find_nonfinite(self) -> list[str]:
        """The tensors with NaN or infinite values, and how many. Reads the whole checkpoint, so only when in doubt.

        An infinite clip bound means no bound, and is fine.
        """
        found = []
        for name in self:
            file, stored = self._place[name]
            nans = infinities = 0
            for rows in cuts(self.shape(name), None):
                flat = file.flat(stored, rows.start, rows.stop)
                counts = count_nonfinite(_float32(flat, self._scratch))
                nans, infinities = nans + counts[0], infinities + counts[1]
            if nans or (infinities and not name.endswith(("put_min", "put_max"))):
                found.append(describe_nonfinite(name, nans, infinities, self._entry(name).size))
        return found

    def _entry(self, name: str) -> Entry:
        file, stored = self._place[name]
        return file.entries[stored]

    def _has_room(self, key: Hashable, nbytes: int) -> bool:
        if nbytes <= _SMALL:
            return True
        name = key[0] if isinstance(key, tuple) else key
        # when not everything fits, the room belongs to the decoder, which is used for every token
        hot = self.whole_bytes <= self.budget or str(name).startswith(TEXT)
        return hot and self.resident_bytes + nbytes <= self.budget

    def _kept(
        self, key: Hashable, shape: tuple[int, ...], stored: np.ndarray, ready: np.ndarray | None = None
    ) -> np.ndarray:
        """Stored values as float32: in memory that stays while there is room, else in memory that is used again."""
        nbytes = 4 * math.prod(shape)
        keep = self._has_room(key, nbytes)
        try:
            array = _float32(stored, None if keep else self._scratch) if ready is None else ready
        except MemoryError:
            raise CheckpointError(
                f"no memory for the {show_size(nbytes)} of {key}; load with less, such as memory='1GB'"
            ) from None
        array = _read_only(array.reshape(shape))
        if keep:
            self._resident[key] = array
            self.resident_bytes += nbytes
        return array


def _float32(stored: np.ndarray, scratch: Scratch | None = None) -> np.ndarray:
    """Values as they lie on disk -> float32, in new memory or (bfloat16 only) in memory that is used again."""
    if stored.dtype != np.uint16:
        return stored.astype(np.float32)
    out = scratch.lend(stored.size) if scratch else np.empty(stored.size, np.float32)
    return widen(stored.reshape(-1), out).reshape(stored.shape)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _decide(memory: str | int | None, whole: int) -> tuple[int, str]:
    """How many bytes may stay, and how that came about."""
    if memory == "all":
        return 2**62, f"all weights stay in memory as float32 once used: {show_size(whole)}"
    if memory is not None:
        return (budget := parse_size(memory)), f"at most {show_size(budget)} of float32 weights stay in memory"
    free = available_memory()
    if whole <= 0.6 * free:
        note = f"all weights stay in memory once used: {show_size(whole)} as float32, {show_size(free)} available"
        return whole, note
    return (budget := free // 2), (
        f"{show_size(budget)} of the {show_size(whole)} of float32 weights stay in memory, "
        f"the rest is read from disk each time; {show_size(free)} available"
    )
