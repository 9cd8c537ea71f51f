"""Text to token ids and back, as a checkpoint's tokenizer.json says.

Special tokens are cut out of the text first (``minigemma.added_tokens``). In what is left, spaces become "▁", and
neighbouring characters are merged (``minigemma.bpe``).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minigemma.added_tokens import Finder
from minigemma.bpe import Encoder
from minigemma.chat import render_messages
from minigemma.errors import InputError, TokenizerError
from minigemma.tokenizer_file import TokenizerFile, read_tokenizer

_VISIBLE = str.maketrans({"\n": "↵", "\t": "⇥", "▁": "␣", " ": "␣"})


class Tokenizer:
    """What a tokenizer.json describes. ``Tokenizer.from_directory(path)`` reads one."""

    def __init__(self, file: TokenizerFile):
        self.file, self.vocabulary = file, file.vocabulary
        self.special_ids = frozenset(token.id for token in file.added if token.special)
        self._ids = self.vocabulary | {token.content: token.id for token in file.added}
        self._raw = Finder([token for token in file.added if not token.normalized])
        self._normalized = Finder([token for token in file.added if token.normalized], file.normalize)
        self.encoder = Encoder(file)

    @classmethod
    def from_directory(cls, path: str | Path) -> Tokenizer:
        """The tokenizer of a checkpoint: its tokenizer.json, tokenizer_config.json and chat template (both optional).

        Raises TokenizerError naming the file and what is wrong in it.
        """
        return cls(read_tokenizer(Path(path)))

    def __len__(self) -> int:
        return len(self._ids)

    def id(self, token: str) -> int:
        """The id of one entry, as it stands in the vocabulary ("▁the"); TokenizerError if there is no such entry."""
        try:
            return self._ids[token]
        except KeyError:
            raise TokenizerError(f"this tokenizer has no entry {token!r}") from None

    def token(self, i: int) -> str:
        """The entry of an id, as it stands in the vocabulary, or "" if the id has none."""
        return self._entries.get(i, "")

    def special(self, name: str) -> int:
        """The id of a special token by its name in tokenizer_config.json, such as "bos_token" or "image_token"."""
        if name not in self.file.names:
            raise TokenizerError(f"this tokenizer has no {name}; it has {', '.join(sorted(self.file.names))}")
        return self._ids[self.file.names[name]]

    def encode(self, text: str) -> list[int]:
        """Text -> ids. Special tokens written out in the text become their ids; no BOS is added (templates have it)."""
        _check_text(text)
        ids: list[int] = []
        for part in self._raw.cut(text):
            pieces = self._normalized.cut(self.file.normalize(part)) if isinstance(part, str) else [part]
            for piece in pieces:
                ids += self.encoder.encode(piece) if isinstance(piece, str) else [piece.id]
        return ids

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Ids -> text. skip_special: leave out special tokens. Bytes that are not UTF-8 become "�", one each.

        Ids without an entry (padding of the embedding table) give nothing, as in the reference.
        """
        return "".join(self.stream(ids, skip_special))

    def stream(self, ids: Iterable[int], skip_special: bool = False) -> Iterator[str]:
        """The text of ids piece by piece, as they come; a run of bytes is held back until it has ended."""
        run = bytearray()
        for i in map(_index, ids):
            if i in self._bytes:
                run.append(self._bytes[i])
                continue
            token = "" if skip_special and i in self.special_ids else self.token(i)
            if token and run:
                yield _utf8(run)
                run.clear()
            if token:
                yield self.file.denormalize(token)
        if run:
            yield _utf8(run)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """A label for each id, for the axes of plots: spaces, newlines, bytes and control characters made visible."""
        return [_label(self._entries.get(i, f"<{i}>")) for i in map(_index, ids)]

    @cached_property
    def _entries(self) -> dict[int, str]:
        return {i: token for token, i in self._ids.items()}

    @cached_property
    def _bytes(self) -> dict[int, int]:
        """The ids that stand for a byte."""
        found = {self._ids.get(f"<0x{byte:02X}>", -1): byte for byte in range(256)}
        return {i: byte for i, byte in found.items() if i >= 0}

    def apply_chat(self, messages: Sequence[dict], thinking: bool = False, generation_prompt: bool = True) -> str:
        """A conversation as text, by the checkpoint's own chat template if it has one, else by ours.

        messages: ``{"role": "system" | "user" | "assistant", "content": str or list of items}``; an item is
        ``{"type": "text", "text": ...}``, ``{"type": "image"}``, ``{"type": "audio"}`` or ``{"type": "video"}``.
        thinking: let the model think first. generation_prompt: open the model's turn.
        """
        if self.file.chat_template is None or find_spec("jinja2") is None:  # there is no jinja2 in a browser
            if "sot_token" not in self.file.names:
                raise TokenizerError(
                    "this checkpoint has no chat template and no <|turn> token; continue plain text instead"
                )
            return render_messages(messages, thinking, generation_prompt, self.file.names.get("bos_token", ""))
        from minigemma.chat_template import render_template

        return render_template(self.file.chat_template, messages, thinking, generation_prompt, self.file.names)

    def expand_placeholders(
        self, ids: Sequence[int], image_counts: Sequence[int] = (), audio_counts: Sequence[int] = ()
    ) -> list[int]:
        """Each placeholder of an image or a sound becomes begin + count placeholders + end, in order.

        Raises InputError where the text has more or fewer placeholders than there are counts.
        """
        ids = self._expand(ids, image_counts, "image_token", "boi_token", "eoi_token")
        return self._expand(ids, audio_counts, "audio_token", "boa_token", "eoa_token")

    def _expand(self, ids: Sequence[int], counts: Sequence[int], name: str, begin: str, end: str) -> list[int]:
        if name not in self.file.names and not len(counts):
            return list(ids)
        placeholder, waiting, expanded = self.special(name), iter(counts), []
        if (found := list(ids).count(placeholder)) != len(counts):
            raise InputError(
                f"the text has {found} {self.file.names[name]}, but {len(counts)} were given; each stands for one"
            )
        for i in ids:
            more = [self.special(begin), *[i] * next(waiting), self.special(end)] if i == placeholder else [i]
            expanded += more
        return expanded


def _index(i: Any) -> int:
    try:
        return operator.index(i)
    except TypeError:
        raise InputError(f"token ids must be integers; got {i!r}") from None


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise InputError(f"text must be a str; got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}: half of a "
            "character, which has no UTF-8"
        ) from None


def _utf8(run: bytearray) -> str:
    try:
        return run.decode()
    except UnicodeDecodeError:
        return "�" * len(run)  # the reference gives up the whole run as well


def _label(token: str) -> str:
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in token.translate(_VISIBLE))
