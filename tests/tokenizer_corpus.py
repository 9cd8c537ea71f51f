"""Texts that tokenizers get wrong, and a source of more: scripts, emoji, white space, control and special tokens."""

from __future__ import annotations

from random import Random

from small_tokenizers import SPECIAL, TEXT

TEXTS = [
    "",
    " ",
    "\n",
    "a",
    " a",
    "a ",
    "  two  spaces  ",
    "And the earth was without form, and void.",
    "\n\n\n\n for  hour\tin\r\nrange(24):\n\n        return",
    "Größe été naïve coöperate ﬁ Å Å a\u0301 n\u0303\u0303",
    "Здравствуй, мир! Γειά σου Κόσμε",
    "光あれ。빛이 있으라 שלום עולם مرحبا بالعالم สวัสดี नमस्ते दुनिया",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇪🇺 𝔊𝔢𝔪𝔪𝔞 🫠",
    "\x00\x01\x1b[31m\x7f\x85\xa0\u2028\u200b\ufeff\ufffd\U0010ffff",
    "▁ and ▁▁ and ▁the",
    "3.14159 + 271828 == 1e9, 0xFF",
    "<|turn>user\nHi<turn|>\n<|turn>model\n",
    "<bos><bos> <eos><pad><unk> <mask>",
    "<|image|><|image|> <|image> <image|> <|imagine|> <|turn|> < |turn> <|turn<|turn>>",
    "<|channel>thought\n<channel|>",
    "<0x41><0x0A> <0xZZ>",
    "\n" * 40 + " " * 40 + "\t" * 5,
    "a" * 200 + "th" * 100,
]
_ALPHABETS = [
    TEXT,
    " \n\t\r\u00a0\u2003▁",
    "abcdefgh éßñ",
    "абвгд эюя",
    "光あれ漢字한국",
    "שלםعربहिनไทย",
    "👩🏽‍❤️🇪🇺\u0301\u0308\u200d",
    "\x00\x07\x1b\x7f\x85\ufeff\ufffd",
    "<|>0x1234",
]


def random_text(random: Random) -> str:
    """Up to a dozen runs, each of one alphabet, with special tokens between some of them."""
    parts = []
    for _ in range(random.randrange(12)):
        alphabet = random.choice(_ALPHABETS)
        parts += random.choices(alphabet, k=random.randrange(12))
        if random.random() < 0.3:
            start = random.randrange(len(TEXT))
            parts.append(TEXT[start : start + random.randrange(40)])
        if random.random() < 0.3:
            parts.append(random.choice([*SPECIAL, "<bos>", "<pad>", "<unk>"]))
    return "".join(parts)


def random_ids(random: Random, size: int) -> list[int]:
    """Ids in any order: bytes that are not UTF-8, special tokens in the middle of a character."""
    return random.choices(range(size), k=random.randrange(30))
