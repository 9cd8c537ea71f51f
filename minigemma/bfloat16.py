"""bfloat16 and float32: the first is the upper half of the second, so widening is a shift by 16 bits.

NumPy has no bfloat16; in memory its values are uint16 here.
"""

from __future__ import annotations

import threading
import weakref

import numpy as np

from .threads import cores, pool

_WORTH_TWO_THREADS = 2**20  # values; below this a second thread costs more than it saves
_UPPER = np.uint32(0xFFFF0000)
FEW = 8  # vectors; more of them are worth one large product
_PIECE = 2**18  # values; between its two steps a piece stays in the processor's cache


def widen(raw: np.ndarray, out: np.ndarray) -> np.ndarray:
    """bfloat16 bits (N,) uint16 -> float32 (N,), exactly, in ``out``.

    NumPy computes without holding the interpreter lock, so the parts of a large tensor are widened in parallel.
    """
    threads = pool() if raw.size >= _WORTH_TWO_THREADS else None
    if threads is None:
        _shift_up(raw, out)
    else:
        cuts = np.linspace(0, raw.size, cores() + 1).astype(int)
        list(threads.map(lambda a, b: _shift_up(raw[a:b], out[a:b]), cuts[:-1], cuts[1:]))
    return out


def product_of_few(x: np.ndarray, raw: np.ndarray, scratch: Scratch) -> np.ndarray:
    """``x @ widen(raw).T`` for at most FEW vectors: x (T, in) float32, bfloat16 bits (out, in) -> (T, out).

    A 32-bit word holds two neighbours. The second becomes a float32 where it is, once the first is masked away; the
    first, once it is shifted up. So even and odd columns are multiplied apart, and nothing is copied. Every thread
    takes its share of the rows, some at a time, which do not leave its cache between the steps.
    """
    if raw.shape[1] % 2:
        return x @ widen(raw.reshape(-1), scratch.lend(raw.size)).reshape(raw.shape).T
    words, even, odd = raw.view(np.uint32), x.T[0::2].copy(), x.T[1::2].copy()
    y = np.empty((len(raw), len(x)), np.float32)
    # rows at a time; BLAS leaves so small a product to the thread that asks for it
    step = max(1, _PIECE // max(1, even.size))

    def share(first: int, last: int) -> None:
        buffer = scratch.lend(step * len(even)).reshape(step, -1)
        for start in range(first, last, step):
            rows = slice(start, min(start + step, last))
            half = buffer[: rows.stop - start]
            np.bitwise_and(words[rows], _UPPER, out=half.view(np.uint32))
            np.matmul(half, odd, out=y[rows])
            np.left_shift(words[rows], 16, out=half.view(np.uint32))
            y[rows] += half @ even

    threads = pool() if raw.size >= _WORTH_TWO_THREADS else None
    cuts = np.linspace(0, len(raw), (cores() if threads else 1) + 1).astype(int)
    list((threads.map if threads else map)(share, cuts[:-1], cuts[1:]))
    return y.T


def _shift_up(raw: np.ndarray, out: np.ndarray) -> None:
    """Copied, then shifted in place: faster than one shift that converts too, and than a copy into upper halves."""
    for first in range(0, raw.size, _PIECE):
        bits = out[first : first + _PIECE].view(np.uint32)
        bits[...] = raw[first : first + _PIECE]
        bits <<= 16


def narrow(x: np.ndarray) -> np.ndarray:
    """float32 -> bfloat16 bits (uint16), rounding to nearest, ties to even, as the reference does; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).reshape(-1).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    rounded[np.isnan(x).reshape(-1)] = 0x7FC0
    return rounded.astype(np.uint16).reshape(np.shape(x))


class Scratch:
    """Float32 buffers for weights that only pass through, lent again once no array looks at them any more.

    Memory fresh from the system costs several times the widening itself.
    """

    def __init__(self) -> None:
        self._loans: list[tuple[np.ndarray, weakref.ref]] = []
        self._lock = threading.Lock()

    def lend(self, size: int) -> np.ndarray:
        """A buffer (size,) of any content; dropping every view of it gives it back."""
        if size == 0:
            return np.empty(0, np.float32)
        with self._lock:
            free = sorted((buffer for buffer, loan in self._loans if loan() is None), key=len)
            fits = [buffer for buffer in free if size <= len(buffer) <= 4 * size]
            outgrown = [] if fits else [buffer for buffer in free if size < 4 * len(buffer) < 4 * size]
            buffer = fits[0] if fits else np.empty(size, np.float32)
            gone = {id(each) for each in [buffer, *outgrown]}
            # of a memoryview, so that views of the loan hold the loan itself and not the buffer
            loan = np.frombuffer(buffer.data, np.float32, size)
            self._loans = [each for each in self._loans if id(each[0]) not in gone]
            self._loans.append((buffer, weakref.ref(loan)))
            return loan

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, lent or free."""
        return sum(buffer.nbytes for buffer, _ in self._loans)
