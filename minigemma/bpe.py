"""Byte-pair encoding: the two neighbours whose merge was learned earliest become one, again and again.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units". Gemma cuts no text into words
first: its spaces became "▁", which is a symbol like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

Ranks = Mapping[tuple[str, str], int]  # a pair of symbols -> when its merge was learned, the earliest first


def merge(symbols: Sequence[str], ranks: Ranks) -> list[str]:
    """Merge neighbours until no pair is in ``ranks``, the lowest rank first, from left to right among equals.

    All pairs wait in a heap, so n symbols cost O(n log n); ``merge_naive`` gives the same in O(n^2).
    """
    symbols, end = list(symbols), len(symbols)
    left, right = list(range(-1, end - 1)), list(range(1, end + 1))  # each symbol's living neighbours
    heap = [(rank, i, a + b) for i, (a, b) in enumerate(pairwise(symbols)) if (rank := ranks.get((a, b))) is not None]
    heapify(heap)
    while heap:
        _, i, joined = heappop(heap)
        a, j = symbols[i], right[i]
        if not a or j == end or a + symbols[j] != joined or (a, symbols[j]) not in ranks:
            continue  # one of the two was merged with another symbol in the meantime
        symbols[i], symbols[j] = joined, ""
        right[i] = after = right[j]
        if after < end:
            left[after] = i
            rank = ranks.get((joined, symbols[after]))
            if rank is not None:
                heappush(heap, (rank, i, joined + symbols[after]))
        before = left[i]
        if before >= 0:
            rank = ranks.get((symbols[before], joined))
            if rank is not None:
                heappush(heap, (rank, before, symbols[before] + joined))
    return [symbol for symbol in symbols if symbol]


def merge_naive(symbols: Sequence[str], ranks: Ranks) -> list[str]:
    """Twin of ``merge``: look at every pair, merge the first of the lowest rank, and look again."""
    symbols = list(symbols)
    while pairs := [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]:
        _, i = min(pairs)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    return symbols
