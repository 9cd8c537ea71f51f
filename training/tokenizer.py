"""A small tokenizer of Gemma's kind: BPE over text whose spaces became "▁", bytes for what is unknown, digits alone.

Trained with the library ``tokenizers``; words are cut apart for training only, as sentencepiece does, so that no merge
crosses a space. The file written has Gemma's own form: no pre-tokenizer that cuts, only the merges.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from minigemma.gemma3.vocabulary import gemma_form

from . import pictures, speech, text

SPECIAL = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<|think|>",
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    '<|"|>',
    "<|channel>",
    "<channel|>",
    "<|turn>",
    "<turn|>",
    "<|image>",
    "<image|>",
    "<|image|>",
    "<|audio>",
    "<audio|>",
    "<|audio|>",
    "<|video|>",
]
VOCABULARY = 2048
WORDS = Regex("▁{2,}|\n+|[0-9]|▁?[A-Za-z]+|▁?[^▁\n0-9A-Za-z]+|▁")


def train(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """The tokenizer of ``vocabulary`` entries: special tokens, 256 bytes, characters, merges."""
    draft = Tokenizer(models.BPE())
    draft.normalizer = normalizers.Replace(" ", "▁")
    draft.pre_tokenizer = pre_tokenizers.Split(WORDS, "isolated")
    fixed = [*SPECIAL, *(f"<0x{b:02X}>" for b in range(256))]
    ascii_ = [chr(c) for c in range(33, 127)] + ["▁", "\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(fixed), initial_alphabet=ascii_, limit_alphabet=len(ascii_), show_progress=False
    )
    draft.train_from_iterator(texts, trainer)
    learned = json.loads(draft.to_str())["model"]
    vocab = {token: i for i, token in enumerate(fixed)}
    for token, _ in sorted(learned["vocab"].items(), key=lambda item: item[1]):
        vocab.setdefault(token, len(vocab))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": i, "content": token, **flags} for i, token in enumerate(SPECIAL)]
    cut = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    form = gemma_form(vocab, learned["merges"], added, cut)
    return Tokenizer.from_str(json.dumps(form))


def load_or_train(file: Path) -> Tokenizer:
    """The tokenizer in ``file``, made from the training texts when it is not there."""
    if not file.exists():
        random = Random(1)
        stories = "\n".join("".join(p for p, _ in text.story(random)) for _ in range(1500))
        phrases = "\n".join([*pictures.phrases(), *speech.PHRASES] * 40)
        known = [*text.NAMES, *text.OBJECTS, *text.COLOURS, *text.PLACES, *pictures.SHAPES, *speech.DIGITS]
        words = "\n".join([*known, *(" " + w for w in known), "user", "model", "system", "thought"] * 400)
        texts = [text.prose("train")[:1_200_000], text.python_source("train")[:1_200_000], stories, phrases, words]
        file.parent.mkdir(parents=True, exist_ok=True)
        train(t[i : i + 2000] for t in texts for i in range(0, len(t), 2000)).save(str(file))
    return Tokenizer.from_file(str(file))
