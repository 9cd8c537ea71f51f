"""Reading a tokenizer.json (the form of the library ``tokenizers``), as far as Gemma's tokenizers use it."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigemma.added_tokens import AddedToken
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
    "sot_token": "<|turn>",
    "eot_token": "<turn|>",
    "soc_token": "<|channel>",
    "eoc_token": "<channel|>",
}


@dataclass(frozen=True)
class TokenizerFile:
    """What a tokenizer.json and a tokenizer_config.json say."""

    vocabulary: dict[str, int]
    ranks: dict[tuple[str, str], int]  # a pair of symbols -> when its merge was learned, the earliest first
    added: list[AddedToken]
    names: dict[str, str]  # "bos_token" -> "<bos>"
    chat_template: str | None = None
    replacements: tuple[tuple[str, str], ...] = ()  # before encoding: (" ", "▁")
    restorations: tuple[tuple[str, str], ...] = ()  # after decoding: ("▁", " ")
    splits_after: str | None = None  # no merge reaches across this string
    unknown: str | None = None
    fuse_unknown: bool = False  # a run of unknown characters is one unknown
    byte_fallback: bool = False

    def normalize(self, text: str) -> str:
        """Spaces to "▁", before tokens are looked for."""
        return _replace(text, self.replacements)

    def denormalize(self, token: str) -> str:
        """The text of a token: "▁" to spaces."""
        return _replace(token, self.restorations)


def _replace(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def read_tokenizer(directory: Path) -> TokenizerFile:
    """The tokenizer of a checkpoint directory; TokenizerError names the file and what is wrong in it."""
    path, config_path = directory / "tokenizer.json", directory / "tokenizer_config.json"
    collecting = gc.isenabled()
    gc.disable()  # a million new objects, none of them garbage: looking for some would double the time
    try:
        content = _read_json(path)
        config = _read_json(config_path) if config_path.exists() else {}
        template = _read_template(directory, config)
        try:
            return _tokenizer(content, config, template)
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from None
    finally:
        if collecting:
            gc.enable()


def _read_json(path: Path) -> dict:
    text = _read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, a number of a million digits, nested too deep
        raise TokenizerError(f"{path}: is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise TokenizerError(f"{path}: holds {type(content).__name__}; expected an object of keys and values")
    return content


def _read_text(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise TokenizerError(f"{path}: is longer than {_MOST_BYTES:,} bytes")
        return content.decode()
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start:,}") from None


def _read_template(directory: Path, config: dict) -> str | None:
    """chat_template.jinja, or the one inside tokenizer_config.json."""
    path = directory / "chat_template.jinja"
    if path.exists():
        return _read_text(path)
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name; "default" is the one for conversations
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _tokenizer(content: dict, config: dict, template: str | None) -> TokenizerFile:
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else model
        raise TokenizerError(f"model is {kind!r:.100}; expected a model of type 'BPE'")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.get(name):
            raise TokenizerError(f"model.{name} is {model[name]!r:.100}; Gemma's tokenizers have none")
    vocabulary = _vocabulary(model.get("vocab"))
    unknown = model.get("unk_token")
    if unknown is not None and (not isinstance(unknown, str) or unknown not in vocabulary):
        raise TokenizerError(f"model.unk_token {unknown!r:.100} is not in model.vocab")
    added = _added(content.get("added_tokens"), config, vocabulary)
    return TokenizerFile(
        vocabulary=vocabulary,
        ranks=_ranks(model.get("merges")),
        added=added,
        names=_names(config, vocabulary | {token.content: token.id for token in added}),
        chat_template=template,
        replacements=_replacements(content.get("normalizer"), "normalizer"),
        restorations=_replacements(content.get("decoder"), "decoder", ("ByteFallback", "Fuse")),
        splits_after=_split(content.get("pre_tokenizer")),
        unknown=unknown,
        fuse_unknown=bool(model.get("fuse_unk")),
        byte_fallback=bool(model.get("byte_fallback")),
    )


def _vocabulary(vocabulary: Any) -> dict[str, int]:
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise TokenizerError("model.vocab is missing or not an object of entries and ids")
    wrong = next(((t, i) for t, i in vocabulary.items() if type(i) is not int or i < 0), None)
    if wrong:
        raise TokenizerError(f"model.vocab: the id of {wrong[0]!r} is {wrong[1]!r:.100}; expected 0 or more")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise TokenizerError("model.vocab: two entries have the same id")
    try:
        "".join(vocabulary).encode()
    except UnicodeEncodeError:
        raise TokenizerError("model.vocab: an entry has a lone surrogate, which is half of a character") from None
    return vocabulary


def _ranks(merges: Any) -> dict[tuple[str, str], int]:
    """The merges, of which older files have "left right" and newer ones ["left", "right"], numbered."""
    if not isinstance(merges, list):
        raise TokenizerError("model.merges is missing or not a list")
    try:
        pairs: list[Any] = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
        if not set(map(len, pairs)) <= {2}:
            raise ValueError
        return dict(zip(pairs, range(len(pairs)), strict=True))  # a merge out of the vocabulary: see ``encode``
    except (TypeError, ValueError):
        place, merge = next((i, merge) for i, merge in enumerate(merges) if not _is_merge(merge))
        raise TokenizerError(f"model.merges[{place}] is {merge!r:.100}; expected two entries of model.vocab") from None


def _is_merge(merge: Any) -> bool:
    pair = merge.split(" ") if isinstance(merge, str) else merge
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, str) for half in pair)


def _added(tokens: Any, config: dict, vocabulary: dict[str, int]) -> list[AddedToken]:
    """The added tokens; an entry of the vocabulary that only has a name ("image_token") is one as well."""
    if not isinstance(tokens, list | None):
        raise TokenizerError(f"added_tokens is {tokens!r:.100}; expected a list")
    listed = [_added_token(i, token, vocabulary) for i, token in enumerate(tokens or [])]
    added = {token.content: token for token in listed}
    for text in _names(config, vocabulary).values():
        added.setdefault(text, AddedToken(text, vocabulary[text]))
    ids = vocabulary | {token.content: token.id for token in added.values()}
    if len(set(ids.values())) != len(ids):
        raise TokenizerError("added_tokens: one has the id of another entry")
    return list(added.values())


def _added_token(place: int, token: Any, vocabulary: dict[str, int]) -> AddedToken:
    text, i = (token.get("content"), token.get("id")) if isinstance(token, dict) else (None, None)
    if not isinstance(text, str) or not text:
        raise TokenizerError(f"added_tokens[{place}] has no content")
    if type(i) is not int or i < 0 or vocabulary.get(text, i) != i:
        expected = f"{vocabulary[text]} as in model.vocab" if text in vocabulary else "0 or more"
        raise TokenizerError(f"added_tokens[{place}]: the id of {text!r} is {i!r:.100}; expected {expected}")
    flags = {name: bool(token.get(name)) for name in ("special", "normalized", "single_word", "lstrip", "rstrip")}
    return AddedToken(text, i, **flags)


def _names(config: dict, ids: dict[str, int]) -> dict[str, str]:
    """Special tokens by name, as tokenizer_config.json has them (flat, or in one of its two nested objects)."""
    names = dict(_NAMES)
    for place in (config.get("extra_special_tokens"), config.get("model_specific_special_tokens"), config):
        for name, token in place.items() if isinstance(place, dict) else ():
            text = token.get("content") if isinstance(token, dict) else token
            if name.endswith("_token") and isinstance(text, str):
                names[name] = text
    return {name: text for name, text in names.items() if text in ids}


def _replacements(step: Any, where: str, others: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """The Replace steps of a normalizer or decoder; ``others`` are steps that every decoder here has anyway."""
    steps: Any = [step] if step is not None else []
    if isinstance(step, dict) and step.get("type") == "Sequence":
        steps = step.get(f"{where}s")
    found = []
    for one in steps if isinstance(steps, list) else [steps]:
        kind = one.get("type") if isinstance(one, dict) else one
        if kind in others:
            continue
        pattern = _string(one.get("pattern")) if kind == "Replace" else None
        if pattern is None or not isinstance(one.get("content"), str):
            raise TokenizerError(f"{where} has a step {kind!r:.100}; expected Replace of one string by another")
        found.append((pattern, one["content"]))
    return tuple(found)


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
