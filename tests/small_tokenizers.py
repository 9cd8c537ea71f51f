"""Small tokenizers in the hub's form, made without any library: byte-pair merges learned from a few sentences."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from minigemma.tokenizer import Tokenizer

TEXT = """In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness
was upon the face of the deep. And the Spirit of God moved upon the face of the waters. And God said, Let there be
light: and there was light. And God saw the light, that it was good: and God divided the light from the darkness.

def light(self, day, night):
    for hour in range(24):
        if hour < 6:
            return night

    return 3 + 14 * 15 / 92, "Größe", "été"
"""
TURNS = ["<|think|>", "<|turn>", "<turn|>", "<|channel>", "<channel|>"]
MEDIA = ["<|image>", "<image|>", "<|image|>", "<|audio>", "<audio|>", "<|audio|>", "<|video|>"]
SPECIAL = TURNS + MEDIA
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
NORMALIZER = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ],
}


def learn(text: str, count: int) -> list[tuple[str, str]]:
    """The most frequent pair of neighbours becomes one symbol, ``count`` times; no merge reaches into the next word."""
    words = [list(word) for word in re.findall("▁{2,}|\n+|▁?[^▁\n]+|▁", text.replace(" ", "▁"))]
    merges = []
    for _ in range(count):
        pairs = Counter(pair for word in words for pair in pairwise(word))
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word in words:
            for i in reversed(range(len(word) - 1)):
                if tuple(word[i : i + 2]) == best:
                    word[i : i + 2] = ["".join(best)]
    return merges


def added(content: str, i: int, **flags: bool) -> dict[str, Any]:
    """An entry of ``added_tokens``."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": i, "content": content} | plain | flags


def tokenizer_json(merges: int = 200, text: str = TEXT, known: str = "", byte_fallback: bool = True) -> dict[str, Any]:
    """Gemma's form. Ids: pad, eos, bos, unk; characters; merges; bytes (if byte_fallback); the special tokens."""
    learned = learn(text, merges)
    characters = sorted(set(text.replace(" ", "▁")) | set(known))
    entries = ["<pad>", "<eos>", "<bos>", "<unk>", *characters, *("".join(pair) for pair in learned)]
    vocabulary = {entry: i for i, entry in enumerate(dict.fromkeys([*entries, *BYTES * byte_fallback, *SPECIAL]))}
    content = {
        "version": "1.0",
        "added_tokens": [added(token, vocabulary[token]) for token in (*entries[:4], *SPECIAL)],
        "normalizer": NORMALIZER,
        "pre_tokenizer": SPLIT,
        "post_processor": None,
        "decoder": DECODER,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": byte_fallback,
            "vocab": vocabulary,
            "merges": [list(pair) for pair in learned],
        },
    }
    return copy.deepcopy(content)  # tests change it


def write(directory: Path, content: dict[str, Any], config: dict[str, Any] | None = None, template: str = "") -> Path:
    """The files of a checkpoint that concern its tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    if config is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    if template:
        (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
    return directory


def small_tokenizer(directory: Path, **options: Any) -> Tokenizer:
    """``tokenizer_json`` written to a directory and read."""
    return Tokenizer.from_directory(write(directory, tokenizer_json(**options)))
