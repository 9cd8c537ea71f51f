"""Equal to the library ``tokenizers``: every form of the file, on texts drawn from many scripts and on any ids."""

import copy
import json
from random import Random

import pytest
from small_tokenizers import added, tokenizer_json, write
from tokenizer_corpus import TEXTS, random_ids, random_text

from minigemma.model import SHIPPED
from minigemma.tokenizer import Tokenizer

library = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.reference


def changed(content: dict, **model) -> dict:
    content = copy.deepcopy(content)
    content["model"] |= model
    return content


def with_added(content: dict) -> dict:
    """Added tokens with every flag, some the beginning of others."""
    content, size = copy.deepcopy(content), len(content["model"]["vocab"])
    flags = [
        ("lstrip",),
        ("rstrip",),
        ("lstrip", "rstrip"),
        ("single_word",),
        ("normalized",),
        ("normalized", "rstrip"),
    ]
    for i, names in enumerate(flags):
        for j, text in enumerate((f"[{i}]", f"[{i}] x", f"x{'e' * i}")):
            special = dict.fromkeys(names, True) | {"special": i < 2}
            content["added_tokens"].append(added(text, size + 3 * i + j, **special))
    return content


GEMMA = tokenizer_json()
UNKNOWN = tokenizer_json(byte_fallback=False)
FORMS = {
    "gemma": GEMMA,
    "merges as strings": changed(GEMMA, merges=[" ".join(pair) for pair in GEMMA["model"]["merges"]]),
    "no pre-tokenizer": GEMMA | {"pre_tokenizer": None},
    "cuts after spaces": GEMMA | {"normalizer": None},
    "cuts after e": GEMMA | {"pre_tokenizer": GEMMA["pre_tokenizer"] | {"pattern": {"String": "e"}}},
    "unknown, fused": UNKNOWN,
    "unknown, one each": changed(UNKNOWN, fuse_unk=False),
    "unknown, left out": changed(UNKNOWN, unk_token=None),
    "no merges": changed(GEMMA, merges=[]),
    "merges in reverse": changed(GEMMA, merges=GEMMA["model"]["merges"][::-1]),
    "added tokens": with_added(GEMMA),
}


def compare(ours: Tokenizer, reference, texts: int, seed: int) -> None:
    random = Random(seed)
    pieces = ["[0]", " [0] x", "[1] ", " [2] ", "xe", " xee ", "[3] xx", "[4] x", "[5]  "]
    for text in [*TEXTS, *(random_text(random) for _ in range(texts))]:
        mixed = "".join(part + random.choice(["", "", random.choice(pieces)]) for part in text.split("e"))
        for one in (text, mixed):
            assert ours.encode(one) == reference.encode(one, add_special_tokens=False).ids, repr(one)
        ids = random_ids(random, len(ours))
        for skip in (False, True):
            assert ours.decode(ids, skip_special=skip) == reference.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_file(tmp_path, form):
    content = FORMS[form]
    compare(Tokenizer.from_directory(write(tmp_path, content)), library.Tokenizer.from_str(json.dumps(content)), 150, 1)


def test_a_tokenizer_trained_by_the_library(tmp_path):
    """As the shipped ones are trained, on other texts."""
    from tokenizer_corpus import TEXT

    from training.tokenizer import train

    random = Random(2)
    reference = train([TEXT, *(random_text(random) for _ in range(300))], vocabulary=900)
    reference.save(str(tmp_path / "tokenizer.json"))
    compare(Tokenizer.from_directory(tmp_path), reference, 300, 3)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/tokenizer.json")))
def test_the_shipped_tokenizers(name):
    reference = library.Tokenizer.from_file(str(SHIPPED / name / "tokenizer.json"))
    compare(Tokenizer.from_directory(SHIPPED / name), reference, 300, 4)
