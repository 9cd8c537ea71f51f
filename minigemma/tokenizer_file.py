"""Reading a tokenizer.json (the form of the library ``tokenizers``), as far as Gemma's tokenizers use it."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from minigemma.errors import TokenizerError

_MOST_BYTES = 2**28  # of tokenizer.json; the released one has 32 MB
# The names of special tokens, for files that leave them out.
_NAMES = {
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "boi_token": "<|image>",
    "image_token": "<|image|>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "audio_token": "<|audio|>",
    "eoa_token": "<audio|>",
    "video_token": "<|video|>",
}


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


@dataclass(frozen=True)
class TokenizerFile:
    """What a tokenizer.json and a tokenizer_config.json say."""

    vocabulary: dict[str, int]
    merges: list  # of (left, right), or of "left right", the earliest learned first
    added: list[AddedToken]
    names: dict[str, str]  # "bos_token" -> "<bos>"
    chat_template: str | None = None
    replacements: tuple[tuple[str, str], ...] = ()  # before encoding: (" ", "▁")
    restorations: tuple[tuple[str, str], ...] = ()  # after decoding: ("▁", " ")
    splits_at: str | None = None
    unknown: str | None = None
    fuse_unknown: bool = False
    byte_fallback: bool = False
    ignore_merges: bool = False

    def normalize(self, text: str) -> str:
        """Spaces to "▁"."""
        for old, new in self.replacements:
            text = text.replace(old, new)
        return text

    def denormalize(self, token: str) -> str:
        """ "▁" to spaces."""
        for old, new in self.restorations:
            token = token.replace(old, new)
        return token

    @cached_property
    def ranks(self) -> dict[tuple[str, str], int]:
        """Pair of symbols -> its place in the list of merges."""
        merges = self.merges
        if merges and isinstance(merges[0], str):
            merges = [merge.split(" ") for merge in merges if not merge.startswith("#version")]
        ranks = dict(zip(map(tuple, merges), range(len(merges)), strict=True))
        return ranks


def read_tokenizer(directory: Path) -> TokenizerFile:
    """The tokenizer of a checkpoint directory; TokenizerError names the file and what is wrong in it."""
    path = directory / "tokenizer.json"
    content = _read_json(path)
    config_path = directory / "tokenizer_config.json"
    config = _read_json(config_path) if config_path.exists() else {}
    try:
        return _tokenizer(content, config, _read_template(directory, config))
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None


def _read_json(path: Path) -> dict:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TokenizerError(f"{path}: is longer than {_MOST_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start:,}") from None
    collecting = gc.isenabled()
    gc.disable()  # a million new objects, none of them garbage: looking for some would take half of the time
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: is not JSON: {error}") from None
    finally:
        if collecting:
            gc.enable()
    if not isinstance(content, dict):
        raise TokenizerError(f"{path}: holds {type(content).__name__}; expected an object of keys and values")
    return content


def _read_template(directory: Path, config: dict) -> str | None:
    path = directory / "chat_template.jinja"
    if path.exists():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TokenizerError(f"{path}: cannot be read: {error}") from None
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name; the one called "default" is meant for conversations
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _tokenizer(content: dict, config: dict, template: str | None) -> TokenizerFile:
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else model
        raise TokenizerError(f"model is {kind!r}; expected a model of type 'BPE'")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise TokenizerError(f"model.{name} is {model[name]!r}; Gemma's tokenizers have none")
    vocabulary = _vocabulary(model.get("vocab"))
    unknown = model.get("unk_token")
    if unknown is not None and unknown not in vocabulary:
        raise TokenizerError(f"model.unk_token {unknown!r} is not in the vocabulary")
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise TokenizerError("model.merges is missing or not a list")
    added = _added(content.get("added_tokens"), config, vocabulary)
    names = _names(config, vocabulary)
    known = {token.content for token in added}
    added += [AddedToken(token, vocabulary[token]) for token in dict.fromkeys(names.values()) if token not in known]
    replacements = _replacements(content.get("normalizer"), "normalizer")
    return TokenizerFile(
        vocabulary=vocabulary,
        merges=merges,
        added=added,
        names=names,
        chat_template=template,
        replacements=replacements,
        restorations=_replacements(content.get("decoder"), "decoder", {"ByteFallback", "Fuse"}),
        splits_at=_split(content.get("pre_tokenizer")),
        unknown=unknown,
        fuse_unknown=bool(model.get("fuse_unk")),
        byte_fallback=bool(model.get("byte_fallback")),
        ignore_merges=bool(model.get("ignore_merges")),
    )


def _vocabulary(vocabulary: Any) -> dict[str, int]:
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise TokenizerError("model.vocab is missing or not an object of entries and ids")
    if set(map(type, vocabulary.values())) != {int}:
        token, i = next((t, i) for t, i in vocabulary.items() if type(i) is not int)
        raise TokenizerError(f"model.vocab: the id of {token!r} is {i!r}; expected an integer")
    if min(vocabulary.values()) < 0 or len(set(vocabulary.values())) != len(vocabulary):
        raise TokenizerError("model.vocab: ids are negative or given twice")
    return vocabulary


def _added(tokens: Any, config: dict, vocabulary: dict[str, int]) -> list[AddedToken]:
    """The added tokens; those without an entry in the vocabulary get one."""
    listed = [(f"added_tokens[{i}]", token) for i, token in enumerate(tokens or [])]
    for i, token in (config.get("added_tokens_decoder") or {}).items():
        listed.append((f"added_tokens_decoder[{i}]", {"id": int(i), **token}))
    added: dict[str, AddedToken] = {}
    for where, token in listed:
        if not isinstance(token, dict) or not isinstance(token.get("content"), str) or not token["content"]:
            raise TokenizerError(f"{where} has no content")
        text, i = token["content"], token.get("id")
        if type(i) is not int or i < 0:
            raise TokenizerError(f"{where}: the id of {text!r} is {i!r}; expected an integer, 0 or more")
        if vocabulary.setdefault(text, i) != i:
            raise TokenizerError(f"{where}: {text!r} has the id {i} here and {vocabulary[text]} in model.vocab")
        flags = {name: bool(token.get(name)) for name in ("special", "normalized", "single_word", "lstrip", "rstrip")}
        added[text] = AddedToken(text, i, **flags)
    return list(added.values())


def _names(config: dict, vocabulary: dict[str, int]) -> dict[str, str]:
    """Special tokens by name, as tokenizer_config.json has them (flat, or in one of its two nested objects)."""
    names = dict(_NAMES)
    nested = [config.get("extra_special_tokens"), config.get("model_specific_special_tokens"), config]
    for place in nested:
        for name, token in place.items() if isinstance(place, dict) else ():
            content = token.get("content") if isinstance(token, dict) else token
            if name.endswith("_token") and isinstance(content, str):
                names[name] = content
    return {name: token for name, token in names.items() if token in vocabulary}


def _replacements(step: Any, where: str, others: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    """The Replace steps of a normalizer or decoder."""
    if step is None:
        return ()
    kind = step.get("type") if isinstance(step, dict) else step
    if kind == "Sequence":
        steps = step.get("normalizers") or step.get("decoders") or []
        return tuple(pair for inner in steps for pair in _replacements(inner, where, others))
    if kind in others:
        return ()
    pattern = _string(step.get("pattern")) if kind == "Replace" else None
    if pattern is None or not isinstance(step.get("content"), str):
        raise TokenizerError(f"{where} has a step {kind!r} this package does not know; Gemma's replace ' ' by '▁'")
    return ((pattern, step["content"]),)


def _split(step: Any) -> str | None:
    """The string after which a pre-tokenizer cuts. Gemma's cuts after spaces, of which the normalizer has left none."""
    if step is None:
        return None
    pattern = _string(step.get("pattern")) if isinstance(step, dict) and step.get("type") == "Split" else None
    if pattern is None or step.get("behavior") != "MergedWithPrevious" or step.get("invert"):
        raise TokenizerError(f"pre_tokenizer is {step!r:.200}; expected none, or Gemma's Split after a string")
    return pattern


def _string(pattern: Any) -> str | None:
    found = pattern.get("String") if isinstance(pattern, dict) else None
    return found if isinstance(found, str) and found else None
