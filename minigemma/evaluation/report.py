"""What was measured, as tables to read and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
