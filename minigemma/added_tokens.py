"""Tokens that are found in a text before anything is merged: special ones, such as ``<|turn>``, and fixed strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AddedToken:
    """A token found in the text before anything is merged."""

    content: str
    id: int
    special: bool = True
    normalized: bool = False  # looked for after spaces became "▁"
    single_word: bool = False  # not inside a word
    lstrip: bool = False  # takes the white space before it away
    rstrip: bool = False


class Finder:
    """Finds added tokens in text: the leftmost first, and the longest of those that begin at one place."""

    def __init__(self, tokens: Sequence[AddedToken], normalize: Callable[[str], str] = str):
        self.tokens = {found: token for token in tokens if (found := normalize(token.content))}
        lengths: dict[str, set[int]] = {}
        for content in self.tokens:
            lengths.setdefault(content[0], set()).add(len(content))
        self.lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self.first = re.compile(f"[{re.escape(''.join(lengths))}]" if lengths else "(?!)")  # (?!) is found nowhere

    def cut(self, text: str) -> Iterator[str | AddedToken]:
        """Text between added tokens, and the tokens."""
        done = at = 0  # up to where the text has been given away, and looked at
        while match := self.first.search(text, at):
            at = match.start()
            length = self._longest(text, at)
            if not length:
                at += 1
                continue
            token = self.tokens[text[at : at + length]]
            start, at = at, at + length
            if token.single_word and _inside_word(text, start, at):
                continue
            if token.lstrip:
                start = max(done, len(text[:start].rstrip()))
            if token.rstrip:
                at = len(text) - len(text[at:].lstrip())
            if start > done:
                yield text[done:start]
            yield token
            done = at
        if done < len(text):
            yield text[done:]

    def _longest(self, text: str, at: int) -> int:
        """The length of the longest token that begins at a place, or 0."""
        return next((length for length in self.lengths[text[at]] if text[at : at + length] in self.tokens), 0)


def _inside_word(text: str, start: int, end: int) -> bool:
    return bool(re.match(r"\w", text[start - 1 : start]) or re.match(r"\w", text[end : end + 1]))
