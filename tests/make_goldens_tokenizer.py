"""Remake tests/goldens/tokenizer.json with the library ``tokenizers``: ``python tests/make_goldens_tokenizer.py``.

{"texts": [[text, ids], ...], "ids": [[ids, decoded, decoded without special tokens], ...]} for the small tokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from small_tokenizers import tokenizer_json
from tokenizer_corpus import TEXTS, random_ids, random_text
from tokenizers import Tokenizer

GOLDEN = Path(__file__).parent / "goldens" / "tokenizer.json"


def main() -> None:
    library, random = Tokenizer.from_str(json.dumps(tokenizer_json())), Random(5)
    texts = [*TEXTS, *(random_text(random) for _ in range(60))]
    sequences = [random_ids(random, library.get_vocab_size()) for _ in range(60)]
    golden = {
        "texts": [[text, library.encode(text, add_special_tokens=False).ids] for text in texts],
        "ids": [[ids, *(library.decode(ids, skip_special_tokens=skip) for skip in (False, True))] for ids in sequences],
    }
    lines = [f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in golden.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
