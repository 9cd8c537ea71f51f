"""A conversation as text: turns between ``<|turn>role`` and ``<turn|>``.

This is the format in plain Python, for checkpoints without a chat template of their own; where there is one, it decides
(``minigemma.chat_template``), for its revisions differ. Source: the released chat templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minigemma.errors import InputError

_PLACEHOLDERS = {"image": "<|image|>", "audio": "<|audio|>", "video": "<|video|>"}


def render_messages(
    messages: Sequence[dict], thinking: bool = False, generation_prompt: bool = True, bos: str = "<bos>"
) -> str:
    """Messages -> text. Texts are trimmed, the model's earlier thoughts left out.

    >>> render_messages([{"role": "user", "content": "Hi"}])
    '<bos><|turn>user\\nHi<turn|>\\n<|turn>model\\n'
    """
    check_messages(messages)
    turns = [(message["role"], _text(message["content"])) for message in messages]
    system = turns.pop(0)[1] if turns and turns[0][0] in ("system", "developer") else ""
    if system or thinking:
        turns.insert(0, ("system", "<|think|>" * thinking + system))
    turns = [
        ("model", without_thoughts(text)) if role in ("assistant", "model") else (role, text) for role, text in turns
    ]
    written = "".join(f"<|turn>{role}\n{text}<turn|>\n" for role, text in turns)
    return bos + written + "<|turn>model\n" * generation_prompt


def without_thoughts(text: str) -> str:
    """What the model said outside of ``<|channel>thought ... <channel|>``.

    >>> without_thoughts("<|channel>thought\\nhm<channel|>Yes.")
    'Yes.'
    """
    return "".join(part.split("<|channel>")[0] for part in text.split("<channel|>")).strip()


def check_messages(messages: Sequence[dict]) -> None:
    """InputError for what is no message, or has an item that is neither text, image, audio nor video."""
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InputError(f"a message is {{'role': ..., 'content': ...}}; got {message!r:.200}")
        content = message.get("content")
        if isinstance(content, str):
            continue
        for item in content if isinstance(content, list | tuple) else [content]:
            known: Mapping = item if isinstance(item, Mapping) else {}
            kind = known.get("type")
            if kind not in _PLACEHOLDERS and not (kind == "text" and isinstance(known.get("text"), str)):
                raise InputError(
                    f"a message holds text, or items of type text, image, audio or video; got {item!r:.200}"
                )


def _text(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content.strip()
    return "".join(item["text"].strip() if item["type"] == "text" else _PLACEHOLDERS[item["type"]] for item in content)
