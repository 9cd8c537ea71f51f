"""The tokenizer without any library: goldens, laws, labels, placeholders, limits."""

import json
import time
from itertools import islice, product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizers import TEXT, added, small_tokenizer, tokenizer_json, write
from tokenizer_corpus import TEXTS, random_text

import minigemma as mg
from minigemma.bpe import merge, merge_steps
from minigemma.tokenizer import Tokenizer

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "tokenizer.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_encodes_as_the_library_does(tokenizer):
    for text, ids in GOLDEN["texts"]:
        assert tokenizer.encode(text) == ids, repr(text)


def test_decodes_as_the_library_does(tokenizer):
    for ids, text, plain in GOLDEN["ids"]:
        assert (tokenizer.decode(ids), tokenizer.decode(ids, skip_special=True)) == (text, plain)


# bpe


@settings(max_examples=200)
@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.text("ab", min_size=1, max_size=3)), max_size=12),
       st.text("ab", max_size=40))  # fmt: skip
def test_the_heap_merges_as_the_naive_loop(pairs, text):
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    *_, last = merge_steps(text, ranks)
    assert merge(text, ranks) == last


def test_the_lowest_rank_is_merged_first_and_equal_ranks_from_the_left():
    ranks = {("b", "c"): 0, ("a", "b"): 1, ("a", "a"): 2}
    assert merge("abc", ranks) == ["a", "bc"]
    assert merge("aaa", ranks) == ["aa", "a"]


# laws


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=60))
def test_decoding_undoes_encoding(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.lists(st.integers(0, 471), max_size=40), st.booleans())
def test_a_stream_joined_is_the_decoded_text(tokenizer, ids, skip):
    pieces = list(tokenizer.stream(ids, skip_special=skip))
    assert "".join(pieces) == tokenizer.decode(ids, skip_special=skip)
    assert all(pieces)


def test_a_stream_gives_whole_characters_as_soon_as_they_are_sure(tokenizer):
    taken = []

    def ids():
        for i in tokenizer.encode("x é👩‍👧 light"):
            taken.append(i)
            yield i

    seen = [(piece, len(taken)) for piece in tokenizer.stream(ids())]
    assert [piece for piece, _ in seen] == ["x", " ", "é", "👩‍👧", " light"]
    assert seen[0][1] == 2  # "x" is a byte here: given away when the next token shows that the run has ended


def test_words_may_be_cut_apart_only_where_no_merge_reaches_across(tmp_path):
    content = tokenizer_json(merges=0)
    for entry in ("a▁", "▁a▁", "▁b"):  # "a▁" joins a letter and the space after it
        content["model"]["vocab"][entry] = len(content["model"]["vocab"])
    content["model"]["merges"] = [["a", "▁"], ["▁", "a▁"], ["▁", "b"]]
    tokenizer = Tokenizer.from_directory(write(tmp_path, content))
    assert [tokenizer.token(i) for i in tokenizer.encode("b a a b b")] == ["b", "▁a▁", "a▁", "b", "▁b"]


def test_words_met_before_give_the_same_ids(tokenizer):
    random = Random(3)
    texts = [random_text(random) for _ in range(30)]
    first = [tokenizer.encode(text) for text in texts]
    assert [tokenizer.encode(text) for text in texts] == first
    assert Tokenizer(tokenizer.file).encode(texts[-1]) == first[-1]


# other forms of the file


def test_old_files_write_merges_as_strings(tmp_path, tokenizer):
    content = tokenizer_json()
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    old = Tokenizer.from_directory(write(tmp_path, content))
    assert [old.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def test_without_byte_fallback_what_is_unknown_is_one_unk(tmp_path):
    content = tokenizer_json(byte_fallback=False)
    tokenizer = Tokenizer.from_directory(write(tmp_path, content))
    unk = tokenizer.special("unk_token")
    assert tokenizer.encode("a光光光a光") == [tokenizer.id("a"), unk, tokenizer.id("a"), unk]
    content["model"]["fuse_unk"] = False
    assert Tokenizer.from_directory(write(tmp_path, content)).encode("光光") == [unk, unk]
    content["model"]["unk_token"] = None
    assert Tokenizer.from_directory(write(tmp_path, content)).encode("光a") == [tokenizer.id("a")]


def test_normalizer_and_decoder_are_read_from_the_file(tmp_path):
    content = tokenizer_json()
    turned = {"type": "Replace", "pattern": {"String": "q"}, "content": "a"}
    content["normalizer"] = {"type": "Sequence", "normalizers": [content["normalizer"], turned]}
    content["decoder"]["decoders"][0]["content"] = "_"
    tokenizer = Tokenizer.from_directory(write(tmp_path, content))
    assert tokenizer.decode(tokenizer.encode("q q")) == "a_a"


def test_flags_of_added_tokens(tmp_path):
    content = tokenizer_json()
    size = len(content["model"]["vocab"])
    flags = [{"lstrip": True}, {"rstrip": True}, {"single_word": True}, {"normalized": True}]
    for i, (name, flag) in enumerate(zip(("[L]", "[R]", "word", "two words"), flags, strict=True)):
        content["added_tokens"].append(added(name, size + i, **flag, special=False))
    tokenizer = Tokenizer.from_directory(write(tmp_path, content))
    cut = lambda text: [tokenizer.token(i) for i in tokenizer.encode(text)]  # noqa: E731
    assert cut("a [L] a") == ["a", "[L]", "▁a"]
    assert cut("a [R] a") == ["a", "▁", "[R]", "a"]
    assert "word" not in cut("swordfish")
    assert "word" in cut("a word.")
    assert "two words" in cut("a two words")
    assert tokenizer.decode([size], skip_special=True) == "[L]"  # added, but not special


def test_the_longest_added_token_wins(tmp_path):
    content = tokenizer_json()
    size = len(content["model"]["vocab"])
    content["added_tokens"] += [added("=" * n, size + n, special=False) for n in (1, 2, 3)]
    tokenizer = Tokenizer.from_directory(write(tmp_path, content))
    assert tokenizer.encode("=" * 5) == [size + 3, size + 2]


def test_special_ids_come_from_the_files(tmp_path):
    config = {"bos_token": {"content": "<eos>"}, "image_token": "<|audio|>", "extra_special_tokens": {"x_token": "a"}}
    tokenizer = Tokenizer.from_directory(write(tmp_path, tokenizer_json(), config))
    assert tokenizer.special("bos_token") == tokenizer.id("<eos>")
    assert tokenizer.special("image_token") == tokenizer.id("<|audio|>")
    assert tokenizer.special("eoi_token") == tokenizer.id("<image|>")  # not named in the files: Gemma 4's own
    assert tokenizer.id("a") in tokenizer.special_ids
    with pytest.raises(mg.TokenizerError, match=r"no sound_token; it has .*audio_token"):
        tokenizer.special("sound_token")


# labels


def test_labels_make_everything_visible(tokenizer):
    ids = tokenizer.encode("<|turn> light\n\n\t光\x00")
    assert tokenizer.tokens(ids) == ["<|turn>", "␣light", "↵↵", "<0x09>", "<0xE5>", "<0x85>", "<0x89>", "<0x00>"]
    assert tokenizer.tokens([9999]) == ["<9999>"]


def test_every_label_is_printable_and_none_is_empty(tmp_path):
    tokenizer = small_tokenizer(tmp_path, known="\t\x00\x1b\u200d\u202e\ufeff$")
    labels = tokenizer.tokens(range(len(tokenizer)))
    assert all(label and label.isprintable() and " " not in label for label in labels)
    assert "⇥" in labels
    assert "<U+202E>" in labels  # right-to-left override would turn a plot's label around


# placeholders


def test_placeholders_are_expanded_in_order(tokenizer):
    ids = tokenizer.encode("a<|image|>b<|audio|><|image|>")
    expected = (
        "a<|image><|image|><|image|><image|>b<|audio><|audio|><|audio|><|audio|><audio|><|image><|image|><image|>"
    )
    assert tokenizer.expand_placeholders(ids, [2, 1], [3]) == tokenizer.encode(expected)
    assert tokenizer.expand_placeholders(np.array(ids), np.array([2, 1]), np.array([3])) == tokenizer.encode(expected)


@pytest.mark.parametrize(
    ("images", "sounds", "message"),
    [
        ([4], [], r"2 <\|image\|>, but 1 "),
        ([4, 4, 4], [1], r"2 <\|image\|>, but 3 "),
        ([4, 4], [], r"1 <\|audio\|>, but 0 "),
    ],
)
def test_a_wrong_number_of_pictures_or_sounds_is_said(tokenizer, images, sounds, message):
    with pytest.raises(mg.InputError, match=message):
        tokenizer.expand_placeholders(tokenizer.encode("<|image|> <|image|> <|audio|>"), images, sounds)


# what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [("ab\ud83d", r"U\+D83D\) at character 2"), (b"ab", "must be a str; got bytes"), (None, "NoneType")],
)
def test_what_is_no_text_is_refused(tokenizer, text, message):
    with pytest.raises(mg.InputError, match=message):
        tokenizer.encode(text)


def test_ids_that_are_none_are_refused_and_unknown_ones_left_out(tokenizer):
    assert tokenizer.decode([-1, 10**12, *tokenizer.encode("light")]) == "light"
    with pytest.raises(mg.InputError, match=r"integers; got 1\.5"):
        tokenizer.decode([1.5])


def edit(content: dict, path: str, value: object) -> dict:
    *parents, last = path.split(".")
    place = content
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model", None, "model is None; expected a model of type 'BPE'"),
        ("model.type", "Unigram", "model is 'Unigram'"),
        ("model.vocab", [], r"model\.vocab is missing"),
        ("model.vocab.a", "7", r"id of 'a' is '7'"),
        ("model.vocab.a", True, r"id of 'a' is True"),
        ("model.vocab.a", -1, r"id of 'a' is -1"),
        ("model.vocab.a", 0, "two entries have the same id"),
        ("model.vocab.\ud800", 9999, "lone surrogate"),
        ("model.unk_token", "[UNK]", r"unk_token '\[UNK\]' is not in"),
        ("model.unk_token", [], r"unk_token \[\]"),
        ("model.merges", {}, r"model\.merges is missing"),
        ("model.merges.7", ["a"], r"model\.merges\[7\] is \['a'\]"),
        ("model.merges.7", ["a", ["b"]], r"model\.merges\[7\]"),
        ("model.merges.7", 5, r"model\.merges\[7\] is 5"),
        ("model.merges.7", "a b c", r"model\.merges\[7\] is 'a b c'"),
        ("model.dropout", 0.1, r"model\.dropout is 0\.1"),
        ("model.end_of_word_suffix", "</w>", "end_of_word_suffix"),
        ("added_tokens", 5, "added_tokens is 5"),
        ("added_tokens.1", None, r"added_tokens\[1\] has no content"),
        ("added_tokens.1.content", "", r"added_tokens\[1\] has no content"),
        ("added_tokens.1.id", "x", r"added_tokens\[1\]: the id of '<eos>' is 'x'; expected 1 as in"),
        ("added_tokens.1", {"content": "new", "id": 3}, "one has the id of another"),
        ("normalizer", {"type": "NFKC"}, "normalizer has a step 'NFKC'"),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": " "}, "content": "▁"}, "step 'Replace'"),
        ("normalizer", {"type": "Sequence", "normalizers": 5}, "normalizer has a step 5"),
        ("pre_tokenizer", {"type": "ByteLevel"}, "pre_tokenizer is .*ByteLevel"),
        ("pre_tokenizer.behavior", "Isolated", "pre_tokenizer is .*Isolated"),
        ("decoder", {"type": "WordPiece"}, "decoder has a step 'WordPiece'"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path, path, value, message):
    content = edit(tokenizer_json(), path, value)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(mg.TokenizerError, match=rf"tokenizer\.json: .*{message}"):
        Tokenizer.from_directory(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is not JSON"), (b"\xff", "is not UTF-8 text: .* at byte 0"), (b"[1]", "holds list"),
     (b"[" * 10**5, "is not JSON"), (b'{"model": 1' + b"0" * 5000 + b"}", "is not JSON")],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(tmp_path, content, message):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(mg.TokenizerError, match=message):
        Tokenizer.from_directory(tmp_path)


def test_a_directory_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(mg.TokenizerError, match=r"tokenizer\.json: cannot be read: No such file"):
        Tokenizer.from_directory(tmp_path)


def test_a_merge_out_of_the_vocabulary_is_named(tmp_path):
    content = tokenizer_json()
    content["model"]["merges"].insert(0, ["s", "G"])
    tokenizer = Tokenizer.from_directory(write(tmp_path, content))
    with pytest.raises(mg.TokenizerError, match="the merges make 'sG'"):
        tokenizer.encode("sG")


def test_no_damage_to_a_file_raises_anything_else(tmp_path):
    """A random value somewhere in the file: it is read, or refused."""
    random, refused, whole = Random(11), 0, json.dumps(tokenizer_json(merges=20))
    for _ in range(150):
        content = json.loads(whole)
        place, steps = content, random.randrange(1, 5)
        for _ in range(steps):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = random.choice(keys)
            if not isinstance(place[key], dict | list) or not place[key]:
                break
            parent, place = place, place[key]
            last = key
        parent[last] = random.choice([None, True, 3, -1, 1.5, "x", "", [], {}, [1], {"a": 1}, [[]], [{}], 2**70])
        write(tmp_path, content)
        try:
            Tokenizer.from_directory(tmp_path).encode(TEXT[:100])
        except mg.TokenizerError:
            refused += 1
    assert 30 < refused < 150


# speed


def test_encoding_takes_time_in_proportion_to_the_text(tokenizer):
    """20,000 characters in well under 100 ms when nothing was met before; the limit leaves room for slow machines."""
    random = Random(0)
    for text in (TEXT * 25, "光" * 20_000, " " * 20_000, "".join(random.choices("adegilnot", k=20_000))):
        fresh = Tokenizer(tokenizer.file)
        start = time.process_time()
        fresh.encode(text)
        assert time.process_time() - start < 0.4


def test_a_vocabulary_of_the_real_size_loads_in_a_second(tmp_path):
    """262,144 entries, 514,000 merges. Measured: 0.75 s; the limit leaves room for slow machines."""
    content = tokenizer_json()
    vocabulary = content["model"]["vocab"]
    words = map("".join, product("▁abcdefghi", "etaoinshrd", *["abcdefgh"] * 4))
    vocabulary |= {word: len(vocabulary) + i for i, word in enumerate(islice(words, 262_144 - len(vocabulary)))}
    splits = [[entry[:cut], entry[cut:]] for cut in (1, 2) for entry in vocabulary if len(entry) > 2]
    content["model"]["merges"] = splits[:514_000]
    write(tmp_path, content)
    start = time.process_time()
    tokenizer = Tokenizer.from_directory(tmp_path)
    tokenizer.encode("hello")
    assert time.process_time() - start < 3
    assert len(tokenizer.file.ranks) > 500_000
