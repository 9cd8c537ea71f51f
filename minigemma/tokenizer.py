"""Text to token ids and back, as a checkpoint's tokenizer.json says.

Special tokens are cut out of the text first. In what is left, spaces become "▁"; characters without an entry in the
vocabulary become the bytes of their UTF-8; then neighbours are merged (``minigemma.bpe``).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from minigemma.added_tokens import Finder
from minigemma.bpe import merge
from minigemma.chat import render_messages
from minigemma.errors import InputError, TokenizerError
from minigemma.tokenizer_file import TokenizerFile, read_tokenizer

_MOST_WORDS = 50_000  # remembered, so that a word that comes again costs one look-up
_VISIBLE = str.maketrans({"\n": "↵", "\t": "⇥", "▁": "␣", " ": "␣"})


class Tokenizer:
    """What a tokenizer.json describes. ``Tokenizer.from_directory(path)`` reads one."""

    def __init__(self, file: TokenizerFile):
        self.file, self.vocabulary = file, file.vocabulary
        self.special_ids = frozenset(token.id for token in file.added if token.special)
        self._ids = self.vocabulary | {token.content: token.id for token in file.added}
        self._raw = Finder([token for token in file.added if not token.normalized])
        self._normalized = Finder([token for token in file.added if token.normalized], file.normalize)
        self._words: dict[str, list[int]] = {}

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
                if isinstance(piece, str):
                    self._encode_plain(piece, ids)
                else:
                    ids.append(piece.id)
        return ids

    def _encode_plain(self, text: str, ids: list[int]) -> None:
        """Add the ids of normalized text without added tokens to ``ids``."""
        words = self._words
        for word in self._boundary.split(text) if self._boundary else [text]:
            found = words.get(word)
            if found is None:
                found = self._encode_word(word)
                if len(words) >= _MOST_WORDS:
                    words.clear()
                words[word] = found
            ids += found

    def _encode_word(self, word: str) -> list[int]:
        symbols: list[str] = []
        unknown = False  # whether the last character was
        for character in word:
            known = self._symbols(character)
            if known:
                symbols += known
            elif self.file.unknown is not None and not (unknown and self.file.fuse_unknown):
                symbols.append(self.file.unknown)
            unknown = not known
        try:
            return [self.vocabulary[symbol] for symbol in merge(symbols, self.file.ranks)]
        except KeyError as error:
            raise TokenizerError(f"the merges make {error}, which the vocabulary does not have") from None

    def _symbols(self, character: str) -> list[str]:
        """A character as entries of the vocabulary: itself, else the bytes of its UTF-8, else none."""
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
            inside = {token[i - 1] for token in self.vocabulary if "▁" in token for i in _places("▁", token) if i}
            cuts.append(f"(?<=[^{re.escape(''.join(sorted(inside | {'▁'})))}])(?=▁)")
        return re.compile("|".join(cuts)) if cuts else None

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
        if self.file.chat_template is None:
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


def _places(character: str, text: str) -> list[int]:
    return [i for i, other in enumerate(text) if other == character]


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
