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

from minigemma.bpe import merge
from minigemma.chat import check_template, render_messages, render_template
from minigemma.errors import InputError, TokenizerError
from minigemma.tokenizer_file import AddedToken, TokenizerFile, read_tokenizer

_MOST_WORDS = 50_000  # remembered, so that a word that comes again costs one look-up
_LABELS = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "␍", "▁": "␣", " ": "␣"})


class Tokenizer:
    """What a tokenizer.json describes. ``Tokenizer.from_directory(path)`` reads one."""

    def __init__(self, file: TokenizerFile):
        self.file, self.vocabulary = file, file.vocabulary
        self._words: dict[str, list[int]] = {}
        self._raw = _Finder([token for token in file.added if not token.normalized])
        self._normalized = _Finder([token for token in file.added if token.normalized])

    @classmethod
    def from_directory(cls, path: str | Path) -> Tokenizer:
        """The tokenizer of a checkpoint: its tokenizer.json, tokenizer_config.json and chat template (both optional).

        Raises TokenizerError naming the file and what is wrong in it.
        """
        file = read_tokenizer(Path(path))
        if file.chat_template is not None:
            check_template(file.chat_template)
        return cls(file)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def id(self, token: str) -> int:
        """The id of one entry of the vocabulary; TokenizerError if there is no such entry."""
        try:
            return self.vocabulary[token]
        except KeyError:
            raise TokenizerError(f"this tokenizer's vocabulary has no entry {token!r}") from None

    def token(self, i: int) -> str:
        """An id's entry in the vocabulary as it stands there ("▁the"), or "" if the id has none."""
        return self._entries.get(i, "")

    def special(self, name: str) -> int:
        """The id of a special token by its name in tokenizer_config.json, such as "bos_token" or "image_token"."""
        if name not in self.file.names:
            raise TokenizerError(f"this tokenizer has no {name}; it has {', '.join(sorted(self.file.names))}")
        return self.vocabulary[self.file.names[name]]

    def encode(self, text: str) -> list[int]:
        """Text -> ids. Special tokens written out in the text become their ids; no BOS is added (templates have it)."""
        _check_text(text)
        ids: list[int] = []
        for part in self._raw.cut(text):
            if not isinstance(part, str):
                ids.append(part.id)
                continue
            for piece in self._normalized.cut(self.file.normalize(part)):
                if isinstance(piece, str):
                    self._encode_plain(piece, ids)
                else:
                    ids.append(piece.id)
        return ids

    def _encode_plain(self, text: str, ids: list[int]) -> None:
        """Add the ids of normalized text without special tokens to ``ids``."""
        words = self._words
        for word in self._cut_words(text):
            found = words.get(word)
            if found is None:
                found = self._encode_word(word)
                if len(words) >= _MOST_WORDS:
                    words.clear()
                words[word] = found
            ids += found

    def _encode_word(self, word: str) -> list[int]:
        if self.file.ignore_merges and word in self.vocabulary:
            return [self.vocabulary[word]]
        symbols = [symbol for character in word for symbol in self._symbols(character)]
        if self.file.fuse_unknown:
            unknown = self.file.unknown
            symbols = [s for i, s in enumerate(symbols) if s != unknown or i == 0 or symbols[i - 1] != unknown]
        return [self.vocabulary[symbol] for symbol in merge(symbols, self.file.ranks)]

    def _symbols(self, character: str) -> list[str]:
        """A character as entries of the vocabulary: itself, else its UTF-8 bytes, else "unknown"."""
        if character in self.vocabulary:
            return [character]
        if self.file.byte_fallback:
            symbols = [f"<0x{byte:02X}>" for byte in character.encode()]
            if all(symbol in self.vocabulary for symbol in symbols):
                return symbols
        return [self.file.unknown] if self.file.unknown is not None else []

    def _cut_words(self, text: str) -> list[str]:
        """Cut before "▁" where no merge can reach across: the ids stay the same and most words are known already."""
        if self.file.splits_at is not None:  # a file that asks for a cut after every such string
            pieces = re.split(f"(?<={re.escape(self.file.splits_at)})", text)
            text_words = [word for piece in pieces for word in self._boundary.split(piece)]
        else:
            text_words = self._boundary.split(text)
        return [word for word in text_words if word]

    @cached_property
    def _boundary(self) -> re.Pattern:
        """Where a word may be cut off: before "▁", unless some entry has the character before it followed by "▁"."""
        inside = {"▁"}
        for token in self.vocabulary:
            at = token.find("▁", 1)
            while at > 0:
                inside.add(token[at - 1])
                at = token.find("▁", at + 1)
        return re.compile(f"(?<=[^{re.escape(''.join(sorted(inside)))}])(?=▁)")

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Ids -> text. skip_special: leave out special tokens. Bytes that are not UTF-8 become "�", one each.

        Ids without an entry (padding of the embedding table) give nothing, as in the reference.
        """
        return "".join(self.stream(ids, skip_special))

    def stream(self, ids: Iterable[int], skip_special: bool = False) -> Iterator[str]:
        """The text of ids piece by piece, as they come; bytes are held back until the last one of a run is there."""
        run: list[int] = []
        for i in map(_index, ids):
            token = self._entries.get(i)
            if token is None or (skip_special and i in self._special_ids):
                continue
            byte = self._bytes.get(i)
            if byte is not None:
                run.append(byte)
                continue
            if run:
                yield _utf8(run)
                run = []
            if token:
                yield self.file.denormalize(token)
        if run:
            yield _utf8(run)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """A label for each id, for the axes of plots: spaces, newlines, bytes and control characters made visible."""
        return [_label(self._entries.get(i, f"<{i}>")) for i in map(_index, ids)]

    @cached_property
    def _entries(self) -> dict[int, str]:
        return {i: token for token, i in self.vocabulary.items()}

    @cached_property
    def _bytes(self) -> dict[int, int]:
        """The ids that stand for a byte."""
        found = ((self.vocabulary.get(f"<0x{byte:02X}>"), byte) for byte in range(256))
        return {i: byte for i, byte in found if i is not None}

    @cached_property
    def _special_ids(self) -> set[int]:
        return {token.id for token in self.file.added if token.special}

    def apply_chat(self, messages: Sequence[dict], thinking: bool = False, generation_prompt: bool = True) -> str:
        """A conversation as text, by the checkpoint's own chat template if it has one, else by ours.

        messages: ``{"role": "system" | "user" | "assistant", "content": str or list of items}``; an item is
        ``{"type": "text", "text": ...}``, ``{"type": "image"}``, ``{"type": "audio"}`` or ``{"type": "video"}``.
        thinking: let the model think first. generation_prompt: open the model's turn.
        """
        if self.file.chat_template is None:
            return render_messages(messages, thinking, generation_prompt, self.file.names.get("bos_token", "<bos>"))
        return render_template(self.file.chat_template, messages, thinking, generation_prompt, self.file.names)

    def expand_placeholders(
        self, ids: Sequence[int], image_counts: Sequence[int] = (), audio_counts: Sequence[int] = ()
    ) -> list[int]:
        """Each placeholder of an image or a sound becomes begin + count placeholders + end, in order.

        Raises InputError where the text has more or fewer placeholders than there are counts.
        """
        ids = list(ids)
        for kind, begin, end, counts in (
            ("image", "boi_token", "eoi_token", image_counts),
            ("audio", "boa_token", "eoa_token", audio_counts),
        ):
            name = f"{kind}_token"
            if name not in self.file.names and not len(counts):
                continue
            placeholder = self.special(name)
            if (found := ids.count(placeholder)) != len(counts):
                what = "pictures" if kind == "image" else "sounds"
                raise InputError(
                    f"the text has {found} {kind} placeholders ({self.file.names[name]}), but {len(counts)} {what} "
                    "are given; each needs one"
                )
            if found:
                ids = _expand(ids, placeholder, self.special(begin), self.special(end), counts)
        return ids


class _Finder:
    """Finds added tokens in text: the leftmost first, and the longest of those that begin at one place."""

    def __init__(self, tokens: Sequence[AddedToken]):
        self.tokens = {token.content: token for token in tokens}
        lengths: dict[str, set[int]] = {}
        for content in self.tokens:
            lengths.setdefault(content[0], set()).add(len(content))
        self.lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self.first = re.compile(f"[{re.escape(''.join(lengths))}]") if lengths else None

    def cut(self, text: str) -> Iterator[str | AddedToken]:
        """Text between added tokens, and the tokens."""
        if self.first is None:
            if text:
                yield text
            return
        done = at = 0
        while match := self.first.search(text, at):
            at = match.start()
            token = self._longest(text, at)
            if token is None:
                at += 1
                continue
            start, at = at, at + len(token.content)
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

    def _longest(self, text: str, at: int) -> AddedToken | None:
        for length in self.lengths[text[at]]:
            token = self.tokens.get(text[at : at + length])
            if token is not None:
                return token
        return None


def _inside_word(text: str, start: int, end: int) -> bool:
    return bool(re.match(r"\w", text[start - 1 : start]) or re.match(r"\w", text[end : end + 1]))


def _expand(ids: list[int], placeholder: int, begin: int, end: int, counts: Sequence[int]) -> list[int]:
    waiting = iter(counts)
    expanded: list[int] = []
    for i in ids:
        expanded += [begin, *[placeholder] * int(next(waiting)), end] if i == placeholder else [i]
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
            f"the text has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}; "
            "it is half of a character and has no UTF-8"
        ) from None


def _utf8(run: list[int]) -> str:
    try:
        return bytes(run).decode()
    except UnicodeDecodeError:
        return "�" * len(run)


def _label(token: str) -> str:
    label = token.translate(_LABELS)
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in label)
