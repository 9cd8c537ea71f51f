"""The source of the package, shown where it is talked about."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Shown:
    """Source code as a notebook shows it: highlighted, with the file and line it comes from."""

    def __init__(self, *parts: tuple[str, str]):
        self.parts = parts  # (where, code)

    def __repr__(self) -> str:
        return "\n\n".join(f"# {where}\n{code}" for where, code in self.parts)

    def _repr_markdown_(self) -> str:
        return "\n\n".join(f"`{where}`\n```python\n{code}\n```" for where, code in self.parts)


def source(*objects: Callable[..., Any] | type) -> Shown:
    """The source of functions or classes of the package, as it is on the disk: the last line of a notebook's cell."""
    things = map(inspect.unwrap, objects)  # what a cache or another decorator stands around
    return Shown(*((_where(thing), inspect.getsource(thing).rstrip()) for thing in things))


def _where(thing: Any) -> str:
    path = Path(inspect.getfile(thing))
    package = Path(__file__).parents[2]
    path = path.relative_to(package) if path.is_relative_to(package) else path
    return f"{path.as_posix()}, line {inspect.getsourcelines(thing)[1]}"
