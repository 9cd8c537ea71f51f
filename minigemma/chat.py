"""A conversation as text: turns between ``<|turn>role`` and ``<turn|>``.

A checkpoint's own chat_template.jinja decides where there is one (revisions differ); ``render_messages`` is the format
in plain Python, for checkpoints without. Source: the released chat templates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from minigemma.errors import InputError, TokenizerError

_PLACEHOLDERS = {"image": "<|image|>", "audio": "<|audio|>", "video": "<|video|>"}
_ROLES = {"assistant": "model", "developer": "system"}
_MOST_TEMPLATE, _MOST_TEXT, _MOST_STEPS = 2**20, 2**26, 100_000  # characters, characters, items of all ranges


def render_messages(
    messages: Sequence[dict], thinking: bool = False, generation_prompt: bool = True, bos: str = "<bos>"
) -> str:
    """Messages -> text. Texts are trimmed, the model's earlier thoughts left out.

    >>> render_messages([{"role": "user", "content": "Hi"}])
    '<bos><|turn>user\\nHi<turn|>\\n<|turn>model\\n'
    """
    turns = [(_role(message), _content(message)) for message in messages]
    system = turns.pop(0)[1] if turns and turns[0][0] == "system" else ""
    if system or thinking:
        turns.insert(0, ("system", "<|think|>" * thinking + system))
    parts = [f"<|turn>{role}\n{without_thoughts(text) if role == 'model' else text}<turn|>\n" for role, text in turns]
    return "".join([bos, *parts, "<|turn>model\n" * generation_prompt])


def without_thoughts(text: str) -> str:
    """An answer without the ``<|channel>thought ... <channel|>`` before it."""
    return text.rpartition("<channel|>")[2].strip()


def _role(message: dict) -> str:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str) or "content" not in message:
        raise InputError(f"a message is {{'role': ..., 'content': ...}}; got {message!r:.200}")
    return _ROLES.get(message["role"], message["role"])


def _content(message: dict) -> str:
    content = message["content"]
    return content.strip() if isinstance(content, str) else "".join(map(_item, content))


def _item(item: Any) -> str:
    kind = item.get("type") if isinstance(item, Mapping) else None
    if kind == "text" and isinstance(item.get("text"), str):
        return item["text"].strip()
    if kind in _PLACEHOLDERS:
        return _PLACEHOLDERS[kind]
    raise InputError(f"an item of a message has type text, image, audio or video; got {item!r:.200}")


def check_template(template: str) -> None:
    """TokenizerError if the text is not a template."""
    _compile(template)


def render_template(
    template: str,
    messages: Sequence[dict],
    thinking: bool,
    generation_prompt: bool,
    names: Mapping[str, str],
) -> str:
    """Messages -> text by a checkpoint's chat template, which is code of a stranger: it runs in jinja2's sandbox."""
    for message in messages:
        _role(message)
    parts, length = [], 0
    try:
        for part in _compile(template).generate(
            messages=list(messages), add_generation_prompt=generation_prompt, enable_thinking=thinking, **names
        ):
            parts.append(part)
            length += len(part)
            if length > _MOST_TEXT:
                raise TokenizerError(f"the chat template writes more than {_MOST_TEXT:,} characters")
    except TokenizerError:
        raise
    except Exception as error:  # a template can raise anything: it is a program
        raise TokenizerError(f"the chat template failed: {type(error).__name__}: {error}") from error
    return "".join(parts)


@lru_cache(maxsize=8)
def _compile(template: str):
    from jinja2 import TemplateError

    if len(template) > _MOST_TEMPLATE:
        raise TokenizerError(f"the chat template has {len(template):,} characters, more than {_MOST_TEMPLATE:,}")
    try:
        return _environment().from_string(template)
    except (TemplateError, RecursionError, SyntaxError) as error:
        line = getattr(error, "lineno", None)
        where = f" at line {line}" if line else ""
        raise TokenizerError(f"the chat template cannot be read{where}: {error}") from None


def _environment():
    """The sandbox with what transformers gives to chat templates."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def stop(message: str):
        raise TokenizerError(f"the chat template refuses these messages: {message}")

    def to_json(value: Any, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = stop
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
