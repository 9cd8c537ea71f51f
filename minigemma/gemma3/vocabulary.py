"""A SentencePiece vocabulary (entries with scores) as a hub tokenizer.json (entries and an ordered list of merges).

SentencePiece's BPE joins the two neighbours that make the entry of the highest score, whatever they are. A
tokenizer.json lists the pairs that may be joined, first things first. So each entry gives a merge for every way to cut
it into two entries, and the merges are listed by the score of what they make. The hub's own tokenizer.json of Gemma was
made in this way from the same kind of file. Source: Kudo & Richardson 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # types of entry in a SentencePiece file; 6 is a byte


def merges_by_score(scores: dict[str, float]) -> list[tuple[str, str]]:
    """Entries with their scores -> pairs to be joined, the highest score first.

    >>> merges_by_score({"a": -9, "b": -9, "c": -9, "ab": -2, "bc": -1, "abc": -3})
    [('b', 'c'), ('a', 'b'), ('ab', 'c'), ('a', 'bc')]
    """
    order = sorted((entry for entry in scores if len(entry) > 1), key=lambda entry: -scores[entry])
    return [
        (entry[:cut], entry[cut:])
        for entry in order
        for cut in range(len(entry) - 1, 0, -1)  # the longer left half first, as in the hub's files
        if entry[:cut] in scores and entry[cut:] in scores
    ]


def tokenizer_json(entries: Sequence[str], scores: Sequence[float], types: Sequence[int]) -> dict:
    """The content of tokenizer.json. Entries in order of their ids; "▁" is a space.

    Control entries (``<bos>``) and user-defined ones (runs of newlines and of spaces, HTML tags) are found in the text
    before anything is joined and never joined with anything.
    """
    entries = ["▁" * len(entry) if set(entry) == {" "} else entry for entry in entries]  # GGUF has these as spaces
    kinds = list(zip(entries, scores, types, strict=True))
    merges = merges_by_score({entry: score for entry, score, kind in kinds if kind == NORMAL})
    added = [
        {"id": i, "content": entry, "special": kind == CONTROL, "normalized": entry.startswith("▁"),
         "single_word": False, "lstrip": False, "rstrip": False}
        for i, (entry, _, kind) in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)
    ]  # fmt: skip
    return gemma_form({entry: i for i, entry in enumerate(entries)}, merges, added)


def gemma_form(vocab: dict[str, int], merges: Sequence, added_tokens: list[dict], cut: dict | None = None) -> dict:
    """A tokenizer.json of Gemma's kind: spaces become "▁", merges by rank, bytes where unknown. cut: pre-tokenizer."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": cut,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }
