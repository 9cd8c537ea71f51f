"""Byte-pair encoding: the two neighbours whose merge was learned earliest become one, again and again.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units". Gemma cuts no text into words
first: its spaces became "▁", which is a symbol like any other. A character that is not in the vocabulary is written as
the bytes of its UTF-8, for which there are 256 entries, so every text can be encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import pairwise

from minigemma.errors import TokenizerError
from minigemma.tokenizer_file import TokenizerFile

Ranks = Mapping[tuple[str, str], int]  # a pair of symbols -> when its merge was learned, the earliest first
_MOST_WORDS = 50_000  # remembered, so that a word that comes again costs one look-up


def merge(symbols: Sequence[str], ranks: Ranks) -> list[str]:
    """Merge neighbours until no pair is in ``ranks``, the lowest rank first, from left to right among equals.

    All pairs wait in a heap, so n symbols cost O(n log n); ``merge_steps`` gives the same in O(n^2).
    """
    symbols, end = list(symbols), len(symbols)
    left, right = list(range(-1, end - 1)), list(range(1, end + 1))  # each symbol's living neighbours
    heap = [(rank, i, a + b) for i, (a, b) in enumerate(pairwise(symbols)) if (rank := ranks.get((a, b))) is not None]
    heapify(heap)
    while heap:
        _, i, joined = heappop(heap)
        a, j = symbols[i], right[i]
        if not a or j == end or a + symbols[j] != joined:
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


def merge_steps(symbols: Sequence[str], ranks: Ranks) -> Iterator[list[str]]:
    """Twin of ``merge``, stage by stage: look at every pair, merge the first of the lowest rank, and look again.

    >>> list(merge_steps("abc", {("b", "c"): 0, ("a", "bc"): 1}))
    [['a', 'b', 'c'], ['a', 'bc'], ['abc']]
    """
    symbols = list(symbols)
    yield list(symbols)
    while pairs := [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]:
        _, i = min(pairs)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        yield list(symbols)


class Encoder:
    """Text without added tokens, its spaces "▁" already -> ids."""

    def __init__(self, file: TokenizerFile):
        self.file, self.vocabulary = file, file.vocabulary
        self._words: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Text -> ids, word by word; TokenizerError if a merge makes something that is not in the vocabulary."""
        words, ids = self._words, list[int]()
        for word in self._boundary.split(text) if self._boundary else [text]:
            found = words.get(word)
            if found is None:
                found = self._encode_word(word)
                if len(words) >= _MOST_WORDS:
                    words.clear()
                words[word] = found
            ids += found
        return ids

    def _encode_word(self, word: str) -> list[int]:
        try:
            return [self.vocabulary[symbol] for symbol in merge(self.symbols(word), self.file.ranks)]
        except KeyError as error:
            raise TokenizerError(f"the merges make {error}, which is not in the vocabulary") from None

    def symbols(self, text: str) -> list[str]:
        """What is merged: each character as it is in the vocabulary, else its bytes, else the unknown token."""
        symbols: list[str] = []
        unknown = False  # whether the last character was
        for character in text:
            known = self._known(character)
            if known:
                symbols += known
            elif self.file.unknown is not None and not (unknown and self.file.fuse_unknown):
                symbols.append(self.file.unknown)
            unknown = not known
        return symbols

    def _known(self, character: str) -> list[str]:
        if character in self.vocabulary:
            return [character]
        symbols = [f"<0x{byte:02X}>" for byte in character.encode()] if self.file.byte_fallback else []
        return symbols if all(symbol in self.vocabulary for symbol in symbols) else []

    @cached_property
    def _boundary(self) -> re.Pattern | None:
        """Where words may be cut apart.

        A file may ask for cuts after a string. Besides, no merge reaches across "▁" and the character before it if no
        entry has the two side by side: cut there, the ids stay the same, and most words have been met already.
        """
        cuts = [f"(?<={re.escape(self.file.splits_after)})"] if self.file.splits_after else []
        if "▁" in self.vocabulary and self.file.unknown is not None:  # else characters vanish, and others meet
            inside = {a for entry in self.vocabulary if "▁" in entry for a, b in pairwise(entry) if b == "▁"}
            cuts.append(f"(?<=[^{re.escape(''.join(sorted(inside | {'▁'})))}])(?=▁)")
        return re.compile("|".join(cuts)) if cuts else None
