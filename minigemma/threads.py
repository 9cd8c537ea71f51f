"""NumPy's own loops on every core. BLAS takes all of them for a product; what goes value by value takes only one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

WORTH_THREADS = 2**20  # values; below this a second thread costs more than it saves
_BLOCK = 2**17  # values: what is done to a block finds it in the processor's cache from one step to the next


def in_blocks(work: Callable[..., None], *arrays: np.ndarray) -> None:
    """``work(*blocks)`` for all blocks of rows of arrays of one length, by several threads if the first array is large.

    work writes into some of its blocks. It must not multiply matrices, for which BLAS has threads of its own.
    NumPy computes without holding the interpreter lock, so threads do run side by side.
    """
    rows, size = len(arrays[0]), arrays[0].size
    if size <= _BLOCK:
        return work(*arrays)
    threads = pool() if size > WORTH_THREADS else None
    together = cores() if threads else 1
    step = max(1, min(_BLOCK * rows // size, -(-rows // together)))
    starts = range(0, rows, step)

    def share(first: int) -> None:
        for start in starts[first::together]:
            work(*(array[start : start + step] for array in arrays))

    list((threads.map if threads else map)(share, range(together)))


def each_value(work: Callable[..., None], *arrays: np.ndarray) -> None:
    """The same for work that treats every value alone, on arrays of one shape, which may lie in memory in any way."""
    if all(a.flags.c_contiguous for a in arrays) or all(a.flags.f_contiguous for a in arrays):
        arrays = tuple(a.reshape(-1, order="A") for a in arrays)  # views
    in_blocks(work, *arrays)


def cores() -> int:
    """How many threads are used; memory is the limit long before the cores are."""
    return min(os.cpu_count() or 1, 8)


@cache
def pool() -> ThreadPoolExecutor | None:
    """So many threads, which stay; None where there is one core, or no threads (in a browser)."""
    return None if sys.platform == "emscripten" or cores() == 1 else ThreadPoolExecutor(cores(), "minigemma")
