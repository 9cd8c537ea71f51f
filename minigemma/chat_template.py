"""A checkpoint's own chat template: a program in jinja2's language, by a stranger.

It runs in jinja2's immutable sandbox, which keeps it from files, attributes and the arguments it gets. Besides, its
length, its output, its loops over ranges and its products are bounded. What it is given is what transformers gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from minigemma.chat import check_messages
from minigemma.errors import TokenizerError

_MOST_TEMPLATE = 2**20  # characters
_MOST_TEXT = 2**26  # characters written
_MOST_STEPS = 100_000  # of all ranges, and items of a product


def render_template(
    template: str,
    messages: Sequence[dict],
    thinking: bool = False,
    generation_prompt: bool = True,
    names: Mapping[str, str] | None = None,
) -> str:
    """Messages -> text; names: special tokens by name, of which templates use ``bos_token``.

    Raises TokenizerError for a template that cannot be read, that fails, or that asks for too much.
    """
    check_messages(messages)
    values = {
        "messages": list(messages),
        "add_generation_prompt": generation_prompt,
        "enable_thinking": thinking,
        "tools": None,
        "documents": None,
        "range": _Steps().range,
        **(names or {}),
    }
    parts, length = [], 0
    try:
        for part in _compile(template).generate(values):
            parts.append(part)
            length += len(part)
            if length > _MOST_TEXT:
                raise TokenizerError(f"it writes more than {_MOST_TEXT:,} characters")
    except Exception as error:  # a program can raise anything
        said = str(error) if isinstance(error, TokenizerError) else f"{type(error).__name__}: {error}"
        raise TokenizerError(f"the chat template failed: {said}") from None
    return "".join(parts)


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    if len(template) > _MOST_TEMPLATE:
        raise TokenizerError(f"it has {len(template):,} characters; at most {_MOST_TEMPLATE:,} are read")
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    try:
        return environment.from_string(template)
    except (TemplateError, SyntaxError, ArithmeticError, RecursionError) as error:
        raise TokenizerError(f"line {getattr(error, 'lineno', '?')}: {error}") from None


class _Sandbox(ImmutableSandboxedEnvironment):
    """Refuses powers, and products that repeat a text or a list beyond measure."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise TokenizerError("it raises a number to a power")
        for many, times in ((left, right), (right, left)):
            if hasattr(many, "__len__") and isinstance(times, int) and len(many) * times > _MOST_STEPS:
                raise TokenizerError(f"it repeats something {times:,} times")
        return left * right


class _Generation(Extension):
    """``{% generation %}`` marks what the model said, for training; here it is left as it is."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Steps:
    """``range``, until all of them together have been too long."""

    def __init__(self) -> None:
        self.left = _MOST_STEPS

    def range(self, *args: int) -> range:
        steps = range(*args)
        self.left -= len(steps)
        if self.left < 0:
            raise TokenizerError(f"its loops take more than {_MOST_STEPS:,} steps")
        return steps


def _to_json(value: Any, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise TokenizerError(f"it refuses these messages: {message}")


def _now(form: str) -> str:
    return datetime.now().strftime(form)
