"""What was measured, as tables to read and as JSON; and progress on the way there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LINES: list[int] = [0]  # the line of the terminal that this process writes its progress on


@dataclass(frozen=True)
class Table:
    """Numbers by row and column."""

    title: str
    columns: dict[str, str]  # name -> how a number is written, as for str.format
    rows: dict[str, list[Any]]  # None where there is no number
    note: str = ""

    def __str__(self) -> str:
        body = [
            [name, *("-" if x is None else form.format(x) for x, form in zip(row, self.columns.values(), strict=True))]
            for name, row in self.rows.items()
        ]
        lines = [["", *self.columns], *body]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            f"  {first:<{widths[0]}}" + "".join(f"  {cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True))
            for first, *cells in lines
        ]
        return "\n".join([self.title, *text, *(f"  ({line})" for line in self.note.splitlines())])

    def numbers(self) -> dict[str, dict[str, Any]]:
        """Row -> column -> number."""
        return {name: dict(zip(self.columns, row, strict=True)) for name, row in self.rows.items()}


def progress(items: Iterable[Item], what: str) -> Iterable[Item]:
    """The items, with a progress bar where somebody watches."""
    return tqdm(items, desc=what, leave=False, disable=None, position=LINES[-1])
