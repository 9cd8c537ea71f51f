"""Checkpoints: what is read equals what was written, within the memory allowed, and every damaged file is named."""

import importlib.util
import json
import os
import struct
import sys
import threading
import tracemalloc
from collections import Counter
from pathlib import Path

import fuzz_readers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SHAPES, draw_weights, small_config

from minigemma import safetensors_file
from minigemma.bfloat16 import Scratch, narrow, widen
from minigemma.checkpoint import Checkpoint, Weights, save_checkpoint
from minigemma.config import read_config
from minigemma.decoder import READ_AHEAD
from minigemma.errors import CheckpointError, InputError
from minigemma.memory import available_memory, parse_size, show_size
from minigemma.model import load
from minigemma.ops import product
from minigemma.parameters import TEXT, parameter_count, tensor_shapes, unused_tensors
from minigemma.safetensors_file import SafetensorsFile, write_safetensors
from minigemma.trace import Trace

HERE = Path(__file__).parent


def rounded(x):
    """float32 -> bfloat16 -> float32, one value at a time, with Python's own arithmetic."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    low, bits = bits & 0xFFFF, bits & 0xFFFF0000
    if low > 0x8000 or (low == 0x8000 and bits & 0x10000):
        bits += 0x10000
    return struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A directory with a small model of E2B's shape in bfloat16, its config and its arrays."""
    config = small_config("e2b", towers=True)
    arrays = draw_weights(tensor_shapes(config), 3)
    directory = tmp_path_factory.mktemp("e2b")
    save_checkpoint(directory, config, arrays)
    return directory, config, arrays


# --- bfloat16 ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_narrow_rounds_to_nearest_even_and_widen_is_exact(values):
    x = np.array(values, np.float32)
    back = widen(narrow(x), np.zeros(len(x), np.float32))
    np.testing.assert_array_equal(back, np.array([rounded(v) for v in values], np.float32))


def test_widen_every_pattern_and_in_two_threads():
    raw = np.tile(np.arange(2**16, dtype=np.uint16), 33)[:-7]  # more values than one thread takes
    expected = (raw.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(widen(raw, np.zeros(raw.size, np.float32)).view(np.uint32), expected.view(np.uint32))
    assert np.isnan(widen(narrow(np.array([np.nan], np.float32)), np.zeros(1, np.float32)))[0]


def test_scratch_is_lent_again_only_when_nobody_looks():
    scratch = Scratch()
    first = scratch.lend(100)
    first[...] = 1
    view = first.reshape(10, 10)[2:4]
    del first
    second = scratch.lend(100)
    second[...] = 2
    assert (view == 1).all()  # still looked at, so not overwritten
    del view, second
    assert scratch.nbytes == 800
    third = scratch.lend(60)
    assert scratch.nbytes == 800
    assert len(third) == 60
    scratch.lend(10)  # not worth a buffer of a hundred
    assert scratch.nbytes == 840


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_what_is_read_is_what_was_written(tmp_path, shape, dtype):
    config = small_config(shape, towers=True)
    arrays = draw_weights(tensor_shapes(config), 1)
    save_checkpoint(tmp_path, config, arrays, dtype)
    assert read_config(tmp_path) == config
    checkpoint = Checkpoint(tmp_path)
    checkpoint.check(config)
    assert set(checkpoint) == set(arrays)
    assert len(checkpoint) == len(arrays)
    for name, array in arrays.items():
        read = checkpoint[name]
        assert read.dtype == np.float32
        assert read.shape == checkpoint.shape(name) == array.shape
        if dtype == "F32":
            np.testing.assert_array_equal(read, array)
        else:
            np.testing.assert_array_equal(narrow(read), narrow(array))
    assert sum(parameter_count(config).values()) == sum(array.size for array in arrays.values())


@pytest.mark.parametrize("memory", [0, "all"])
def test_without_the_library_the_same_is_read(tmp_path, monkeypatch, memory):
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    arrays = {
        "half": random.normal(size=(50, 700)).astype(np.float16),
        "single": random.normal(size=(300, 120)).astype(np.float32),
        "scalar": np.array(3.5, np.float16),
    }
    save_file(arrays, tmp_path / "model.safetensors")
    with_library = Checkpoint(tmp_path, memory=memory)
    assert with_library._place["half"][0].whole("half") is not None
    monkeypatch.setattr(safetensors_file, "safe_open", None)
    alone = Checkpoint(tmp_path, memory=memory)
    assert alone._place["half"][0].whole("half") is None
    for name, array in arrays.items():
        np.testing.assert_array_equal(alone[name], array.astype(np.float32))
        np.testing.assert_array_equal(with_library[name], alone[name])
        assert with_library[name].dtype == alone[name].dtype == np.float32


@pytest.mark.reference
def test_bfloat16_as_torch_reads_it(saved):
    pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    directory, _, _ = saved
    checkpoint = Checkpoint(directory)
    for name, tensor in load_file(directory / "model.safetensors").items():
        np.testing.assert_array_equal(checkpoint[name], tensor.float().numpy())


@pytest.mark.parametrize("memory", [0, "all"])
def test_rows_and_tiles(saved, memory):
    directory, _, _ = saved
    checkpoint = Checkpoint(directory, memory=memory)
    weights = Weights(checkpoint, "model.").under("language_model.")
    for name in ("embed_tokens.weight", "embed_tokens_per_layer.weight"):
        whole = Checkpoint(directory)[TEXT + name]
        ids = np.array([5, 0, 5, len(whole) - 1])
        np.testing.assert_array_equal(weights.rows(name, ids), whole[ids])
        assert weights.rows(name, []).shape == (0, whole.shape[1])
        for step in (None, 1, 7, 1000):
            tiles = list(weights.tiles(name, step))
            np.testing.assert_array_equal(np.concatenate([tile for _, tile in tiles]), whole)
            assert [rows.start for rows, _ in tiles] == list(range(0, len(whole), step or len(whole)))
    for bad in (-1, 97):
        with pytest.raises(CheckpointError, match="has rows 0 to 96"):
            weights.rows("embed_tokens.weight", [3, bad])


@pytest.mark.parametrize("memory", [0, "all"])
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_rows_of_a_large_table_take_the_memory_of_the_rows(tmp_path, memory, dtype):
    table = np.arange(60_000 * 256, dtype=np.float32).reshape(60_000, 256)
    stored = narrow(table) if dtype == "BF16" else table
    write_safetensors(tmp_path / "model.safetensors", {"table": table.shape}, lambda name: [stored], dtype)
    checkpoint = Checkpoint(tmp_path, memory=memory)
    ids = np.array([59_999, 0, 7, 7])
    tracemalloc.start()
    rows = checkpoint.rows("table", ids)
    peak = tracemalloc.get_traced_memory()[1]
    for _ in checkpoint.tiles("table") if memory == 0 else ():
        pass
    tiled = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000  # the rows are 4 kB, the table is 61 MB
    assert tiled < 40e6  # a tile is 16 MB, and two are alive while one takes the other's place
    np.testing.assert_array_equal(narrow(rows) if dtype == "BF16" else rows, stored[ids])


def test_rows_without_length_take_no_time(tmp_path):
    empty = {"a": {"dtype": "BF16", "shape": [2**47, 0], "data_offsets": [0, 0]}}
    (tmp_path / "model.safetensors").write_bytes(file_of(empty))
    checkpoint = Checkpoint(tmp_path, memory=0)
    for step in (None, 1):
        assert [tile.shape for _, tile in checkpoint.tiles("a", step)] == [(2**47, 0)]
    assert checkpoint.find_nonfinite() == []


def test_experts_are_kept_one_by_one(tmp_path):
    config = small_config("26b", hidden_size=256, moe_intermediate_size=128)
    arrays = draw_weights(tensor_shapes(config), 1)
    save_checkpoint(tmp_path, config, arrays, "BF16")
    checkpoint = Checkpoint(tmp_path, memory=600_000)  # an expert's first matrix takes 262,144 bytes
    name = TEXT + "layers.0.experts.gate_up_proj"
    expected = widen(narrow(arrays[name]).reshape(-1), np.zeros(arrays[name].size, np.float32)).reshape(12, 256, 256)
    for expert in (3, 7, 5, 3):
        np.testing.assert_array_equal(checkpoint.rows(name, [expert])[0], expected[expert])
    assert checkpoint.resident_bytes == 2 * 4 * 256 * 256
    assert np.shares_memory(checkpoint.rows(name, [3]), checkpoint.matrix(name, 3))
    np.testing.assert_array_equal(checkpoint.matrix(name, 5), expected[5])
    assert not np.shares_memory(checkpoint.rows(name, [5]), checkpoint.rows(name, [3]))
    np.testing.assert_array_equal(checkpoint.rows(name, [5, 3]), expected[[5, 3]])
    np.testing.assert_array_equal(Weights.of(arrays).rows(name, [5, 3]), arrays[name][[5, 3]])


@pytest.mark.parametrize("memory", [0, "all"])
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
@pytest.mark.parametrize(("tokens", "width"), [(1, 410), (1, 411), (2, 410), (8, 411), (300, 410), (0, 410)])
def test_products_are_those_of_the_whole_matrix(tmp_path, close, monkeypatch, memory, dtype, tokens, width):
    monkeypatch.setattr("minigemma.weights._TILE", 2**20)
    random = np.random.default_rng(0)
    stack = random.standard_normal((3, 2600, width), np.float32)  # more than a tile, and a last tile that is not full
    stored = narrow(stack) if dtype == "BF16" else stack
    # one value first, so that the others begin in the middle of a 32-bit word
    shapes = {"odd": (1,), "matrix": stack.shape[1:], "stack": stack.shape, "small": (7, width)}
    values = {"odd": stored[0, 0, :1], "matrix": stored[0], "stack": stored, "small": stored[1, :7]}
    write_safetensors(tmp_path / "model.safetensors", shapes, lambda name: [values[name]], dtype)
    checkpoint = Checkpoint(tmp_path, memory=memory)
    exact = Checkpoint(tmp_path)["stack"].astype(np.float64)
    whole = 4 * exact[0].size
    x = random.standard_normal((tokens, width), np.float32)
    for name, i, matrix in (("matrix", None, exact[0]), ("stack", 2, exact[2]), ("small", None, exact[1, :7])):
        y = checkpoint.product(x, name, i)
        assert y.dtype == np.float32
        close(y, x @ matrix.T, 1e-6, name)
        assert checkpoint.resident_bytes % whole < 20_000, "the first time nothing large stays"
        for _ in range(2):
            close(Weights(checkpoint).product(x, name, i), x @ matrix.T, 1e-6, name)
    assert checkpoint.resident_bytes // whole == (0 if memory == 0 else 2)
    assert checkpoint._scratch.nbytes < 24 * 2**20


def test_products_of_weights_made_by_hand():
    weights, x = Weights.of({"a.b": np.arange(12.0).reshape(4, 3), "a.c": np.ones((2, 4, 3))}).under("a."), np.eye(3)
    np.testing.assert_array_equal(weights.product(x, "b"), weights["b"].T)
    np.testing.assert_array_equal(weights.product(x, "c", 1), weights["c"][1].T)
    np.testing.assert_array_equal(product(x, weights, "b"), product(x, dict(weights), "b"))


def test_weights_made_by_hand():
    weights = Weights.of({"a.b": np.eye(3), "a.c": np.ones(2)}).under("a.")
    assert sorted(weights) == ["b", "c"]
    assert ("b" in weights, "x" in weights, len(weights)) == (True, False, 2)
    assert weights["b"].dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([tile for _, tile in weights.tiles("b", 2)]), np.eye(3))
    np.testing.assert_array_equal(weights.rows("b", [2, 0]), np.eye(3)[[2, 0]])
    weights.prefetch(["b"])
    assert weights.find_nonfinite() == []
    spoilt = Weights.of({"a": np.array([1, np.nan, np.inf])})
    assert spoilt.find_nonfinite() == ["a (1 NaN and 1 infinite of 3 values)"]


def test_what_is_handed_out_cannot_be_written_to(saved):
    checkpoint = Checkpoint(saved[0], memory=0)
    for name in (TEXT + "embed_tokens.weight", TEXT + "norm.weight"):
        with pytest.raises(ValueError, match="read-only"):
            checkpoint[name][0] = 0


def test_many_threads_read_the_same(saved):
    checkpoint, wrong = Checkpoint(saved[0], memory=0), []
    expected = dict(Checkpoint(saved[0]))

    def read():
        for name, array in expected.items():
            if not np.array_equal(checkpoint[name], array):
                wrong.append(name)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model whose matrices are large enough for a budget to matter: 22 MB of float32."""
    config = small_config("e2b", towers=True, hidden_size=512, intermediate_size=512)
    directory = tmp_path_factory.mktemp("wide")
    save_checkpoint(directory, config, draw_weights(tensor_shapes(config), 3))
    return directory


def read_all(checkpoint, times=2):
    for _ in range(times):
        for name in checkpoint:
            assert checkpoint[name].shape == checkpoint.shape(name)


def test_budget(wide):
    everything = Checkpoint(wide, memory="all")
    read_all(everything)
    assert everything.resident_bytes == sum(array.nbytes for array in everything.values())
    none = Checkpoint(wide, memory=0)
    read_all(none)
    small = sum(array.nbytes for array in everything.values() if array.nbytes <= 2**16)
    assert none.resident_bytes == small
    assert none._scratch.nbytes < 12 * 2**20  # a few buffers, used again and again
    some = Checkpoint(wide, memory="8MB")
    read_all(some)
    assert 6e6 < some.resident_bytes <= 8e6 + small
    kept = [name for name in some if name in some._resident and some[name].nbytes > 2**16]
    assert all(name.startswith(TEXT) for name in kept)  # the decoder goes first when not all has room
    assert some[kept[0]] is some[kept[0]]
    with pytest.raises(InputError, match="not an amount of memory"):
        Checkpoint(wide, memory="much")


def test_memory_is_decided_from_the_machine(wide, monkeypatch):
    note = Checkpoint(wide).memory_note
    assert "all weights stay in memory" in note
    assert "available" in note
    monkeypatch.setattr("minigemma.checkpoint.available_memory", lambda: 10**7)
    tight = Checkpoint(wide)
    assert tight.budget == 5 * 10**6
    assert tight.memory_note.startswith("5.0 MB of the ")
    assert "10.0 MB available" in tight.memory_note


def test_no_memory_left(wide, monkeypatch):
    def refuse(*_):
        raise MemoryError

    checkpoint = Checkpoint(wide, memory=0)
    monkeypatch.setattr(checkpoint._scratch, "lend", refuse)
    with pytest.raises(CheckpointError, match=r"no memory for the .* load with less"):
        read_all(checkpoint)


def read_ahead_of(checkpoint, monkeypatch, work):
    """The (first, last) bytes that are read ahead while ``work`` runs, in their order."""
    spans, done = [], threading.Event()
    monkeypatch.setattr(SafetensorsFile, "_read_ahead", lambda _, *span: spans.append(span))
    work()
    safetensors_file._reader().put(done.set)
    assert done.wait(60)
    return spans


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are asked to read by themselves")
def test_what_is_read_ahead(tmp_path, monkeypatch):
    shapes = {"a": (6, 5), "stack": (4, 6, 10), "b": (7,)}
    write_safetensors(tmp_path / "model.safetensors", shapes, lambda name: [np.ones(shapes[name], np.uint16)])
    checkpoint = Checkpoint(tmp_path, memory=2**20)
    start = checkpoint._entry("a").start

    def ask():
        Weights(checkpoint).prefetch(["b", "no such tensor", "a"])
        Weights(checkpoint).under("st").prefetch(["ack"], only=[2, 0])
        checkpoint["a"]  # stays, so it is not read again
        checkpoint.prefetch(["a"])

    spans = [(first - start, last - start) for first, last in read_ahead_of(checkpoint, monkeypatch, ask)]
    assert spans == [(540, 554), (0, 60), (60 + 240, 60 + 360), (60, 60 + 120)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are asked to read by themselves")
def test_a_forward_pass_reads_the_next_layer_the_chosen_experts_and_the_head_ahead(tmp_path, monkeypatch):
    config = small_config("26b")
    save_checkpoint(tmp_path, config, draw_weights(tensor_shapes(config), 3))
    model, trace = load(tmp_path, memory=0), Trace("layers.*.moe.expert_index")
    checkpoint = model.weights._source
    spans = read_ahead_of(checkpoint, monkeypatch, lambda: model.forward([5, 6], trace=trace))
    expected = []
    for i in range(config.text.num_hidden_layers):
        layer = f"{TEXT}layers.{i}."
        ahead = [f"{TEXT}layers.{i + 1}.{part}" for part in READ_AHEAD]
        if i == config.text.num_hidden_layers - 1:
            ahead = [TEXT + "embed_tokens.weight"]
        expected += [checkpoint._entry(name)[2:] for name in ahead if name in checkpoint]
        for expert in np.unique(trace[f"layers.{i}.moe.expert_index"]):
            for name in (layer + "experts.gate_up_proj", layer + "experts.down_proj"):
                _, shape, start, stop = checkpoint._entry(name)
                each = (stop - start) // shape[0]
                expected.append((start + expert * each, start + (expert + 1) * each))
    assert spans == expected


def test_reading_ahead_fills_the_cache_and_complains_of_nothing(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": (5000, 1000)}, lambda name: [np.ones((5000, 1000), np.uint16)])
    with open(path, "rb") as other:
        if hasattr(os, "posix_fadvise"):  # forget it, where the file system can
            os.fsync(other.fileno())
            os.posix_fadvise(other.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file = SafetensorsFile(path)
        file._read_ahead(file.entries["a"].start, file.entries["a"].stop)
        if sys.platform == "linux":
            assert all(safetensors_file._is_cached(other, at) for at in range(0, 10**7, 10**6))
    path.unlink()
    file._read_ahead(0, 10**7)
    file.will_need("a", 10, 20)


def test_sizes():
    assert parse_size("2GB") == 2 * 10**9
    assert parse_size("1.5 gib") == 3 * 2**29
    assert parse_size("1e3") == parse_size(1000) == parse_size("1kB") == 1000
    assert parse_size(0) == 0
    for bad in ("", "GB", "-1GB", "2 G B", "1e999", "nan", True, -1, 1.5j, "9" * 400, "all"):
        with pytest.raises(InputError):
            parse_size(bad)
    assert show_size(2.14e9) == "2.1 GB"
    assert show_size(12) == "12 bytes"
    assert 10**7 < available_memory() < 10**15


# --- names and shapes -------------------------------------------------------------------------------------------------


def test_all_that_does_not_fit_is_listed(saved, tmp_path):
    _, config, arrays = saved
    arrays = dict(arrays)
    del arrays[TEXT + "norm.weight"]
    arrays[TEXT + "layers.2.layer_scalar"] = np.ones(3, np.float32)
    arrays["model.surplus"] = np.ones((2, 3), np.float32)
    shapes = {name: array.shape for name, array in arrays.items()}
    write_safetensors(tmp_path / "model.safetensors", shapes, lambda name: [narrow(arrays[name])])
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(tmp_path).check(config)
    for line in (
        "missing: model.language_model.norm.weight (48,)",
        "unknown: 'model.surplus' (2, 3)",
        "wrong shape: model.language_model.layers.2.layer_scalar is (3,); the config says (1,)",
    ):
        assert line in str(caught.value)
    with pytest.raises(CheckpointError, match="missing"):
        save_checkpoint(tmp_path / "new", config, arrays)
    assert not (tmp_path / "new").exists()


def test_dead_keys_and_a_tied_head_may_be_there(saved, tmp_path):
    _, config, arrays = saved
    dead = {name: np.full(shape, np.nan, np.float32) for name, shape in unused_tensors(config).items()}
    assert any("layers.11.self_attn.k_proj" in name for name in dead)
    assert "lm_head.weight" in dead
    save_checkpoint(tmp_path, config, {**arrays, **dead})
    Checkpoint(tmp_path).check(config)
    wrong = {**arrays, "lm_head.weight": np.zeros((3, 3), np.float32)}
    with pytest.raises(CheckpointError, match=r"wrong shape: lm_head\.weight"):
        save_checkpoint(tmp_path, config, wrong)


@pytest.mark.parametrize("prefix", ["model.", "", "model.language_model."])
def test_the_text_half_alone(tmp_path, prefix):
    config = small_config("e4b")
    arrays = draw_weights(tensor_shapes(config), 2)
    names = {prefix + name.removeprefix(TEXT): name for name in arrays}
    shapes = {name: arrays[ours].shape for name, ours in names.items()} | {"lm_head.weight": (97, 56)}
    write_safetensors(
        tmp_path / "model.safetensors",
        shapes,
        lambda name: [narrow(arrays[names.get(name, TEXT + "embed_tokens.weight")])],
    )
    checkpoint = Checkpoint(tmp_path)
    checkpoint.check(config)
    assert set(checkpoint) == set(arrays) | {"lm_head.weight"}


def test_the_model_without_its_head(saved, tmp_path):
    _, config, arrays = saved
    write_safetensors(
        tmp_path / "model.safetensors",
        {name.removeprefix("model."): array.shape for name, array in arrays.items()},
        lambda name: [narrow(arrays["model." + name])],
    )
    Checkpoint(tmp_path).check(config)


def test_weights_that_are_not_numbers_are_found(saved, tmp_path):
    _, config, arrays = saved
    arrays = {name: array.copy() for name, array in arrays.items()}
    arrays[TEXT + "layers.1.mlp.up_proj.weight"].flat[[0, 5, -1]] = np.nan
    arrays[TEXT + "layers.3.layer_scalar"][0] = -np.inf
    bound = next(name for name in arrays if name.endswith("output_max"))
    arrays[bound][...] = np.inf  # no bound at all: fine
    save_checkpoint(tmp_path, config, arrays)
    size = arrays[TEXT + "layers.1.mlp.up_proj.weight"].size
    found = Weights(Checkpoint(tmp_path), "model.").find_nonfinite()
    assert sorted(found) == [
        f"{TEXT}layers.1.mlp.up_proj.weight (3 NaN and 0 infinite of {size} values)",
        f"{TEXT}layers.3.layer_scalar (0 NaN and 1 infinite of 1 values)",
    ]


# --- bad files --------------------------------------------------------------------------------------------------------


def one(dtype="F32", shape=(2,), offsets=(0, 8), name="a"):
    return {name: {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


def file_of(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


EIGHT = bytes(8)
BAD = {
    "empty": (b"", "has 0 bytes, and 8 are needed"),
    "short": (b"1234567", "has 7 bytes"),
    "no header": (struct.pack("<Q", 100), "announces a header of 100 bytes in a file of 8"),
    "wrong magic": (b"PK\x03\x04 a zip archive, say, of 30 bytes", "announces a header of"),
    "huge header": (file_of(one(), EIGHT, 2**63), "announces a header of 9223372036854775808 bytes"),
    "not JSON": (file_of(b"{'a': 1}"), "header that is not JSON"),
    "not UTF-8": (file_of(b'{"\xff": 1}'), "header that is not JSON"),
    "deep": (file_of(b'{"a":' * 100_000), "header that is not JSON"),
    "list": (file_of(b"[1, 2]"), "not an object of names"),
    "twice": (file_of(b'{"a": 1, "a": 2}'), "a name stands in it twice"),
    "no offsets": (file_of({"a": {"dtype": "F32", "shape": [2]}}, EIGHT), "tensor 'a' lacks dtype, shape or"),
    "no entry": (file_of({"a": 3}, EIGHT), "tensor 'a' lacks"),
    "dtype": (file_of(one("I8", (8,)), EIGHT), "tensor 'a' is stored as 'I8'; only BF16, F16, F32 can be read"),
    "dtype kind": (file_of(one(["F32"]), EIGHT), "tensor 'a' is stored as"),
    "beyond the end": (file_of(one(shape=(4,), offsets=(0, 16)), EIGHT), "would lie in bytes 0 to 16 of 8"),
    "backwards": (file_of(one(offsets=(8, 0)), EIGHT), "would lie in bytes 8 to 0"),
    "negative": (file_of(one(offsets=(-8, 0)), EIGHT), "has the offsets"),
    "offset kind": (file_of(one(offsets=(0, 8.0)), EIGHT), "has the offsets"),
    "huge offset": (file_of(one(offsets=(0, 2**70)), EIGHT), "has the offsets"),
    "shape": (file_of(one(shape=(3,)), EIGHT), "does not fill its 8 bytes"),
    "shape product overflows": (file_of(one(shape=(2**32, 2**32)), EIGHT), "does not fill its 8 bytes"),
    "shape product wraps to two": (file_of(one(shape=(2**47, 2**18 + 1)), EIGHT), "does not fill its 8 bytes"),
    "negative shape": (file_of(one(shape=(-1, -2)), EIGHT), "has the shape"),
    "boolean shape": (file_of(one(shape=(2, True)), EIGHT), "has the shape"),
    "many axes": (file_of(one(shape=(1,) * 9 + (2,)), EIGHT), "has the shape"),
    "overlap": (file_of(one() | one(name="b", shape=(1,), offsets=(4, 8)), EIGHT), "'b' overlaps the one before it"),
    "gap": (file_of(one(shape=(1,), offsets=(4, 8)), EIGHT), "leaves a gap before it"),
    "surplus": (file_of(one(), bytes(12)), "has 4 bytes after its last tensor"),
    "metadata": (file_of({"__metadata__": {"x": 1}} | one(), EIGHT), "metadata other than"),
}


@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("kind", BAD)
def test_bad_files(tmp_path, monkeypatch, kind, library):
    if not library:
        monkeypatch.setattr(safetensors_file, "safe_open", None)
    content, words = BAD[kind]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(tmp_path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600


def test_every_cut_of_a_good_file_is_refused(tmp_path):
    from safetensors.numpy import save

    content = save({"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float16)})
    (tmp_path / "model.safetensors").write_bytes(content)
    assert set(Checkpoint(tmp_path)) == {"a", "b"}
    for length in range(len(content)):
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            SafetensorsFile(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"weight_map": {"a": "../outside.safetensors"}}, "expected a .safetensors file beside it"),
        ({"weight_map": {"a": "/etc/passwd"}}, "expected a .safetensors file beside it"),
        ({"weight_map": {"a": "..\\outside.safetensors"}}, "expected a .safetensors file beside it"),
        ({"weight_map": {"a": "a\0.safetensors"}}, "expected a .safetensors file beside it"),
        ({"weight_map": {"a": "model-2.safetensors"}}, "'model-2.safetensors', which is not there"),
        ({"weight_map": {"a": "model-1.safetensors", "z": "model-1.safetensors"}}, "disagree about 1 tensors: ['z']"),
        ({"weight_map": {}}, "no weight_map"),
        ({"weight_map": {"a": 3}}, "no weight_map"),
        ({}, "no weight_map"),
        ([], "holds []"),
    ],
    ids=range(10),
)
def test_bad_indexes(tmp_path, index, words):
    directory = tmp_path / "model"
    directory.mkdir()
    for place in (tmp_path / "outside.safetensors", directory / "model-1.safetensors"):
        place.write_bytes(file_of(one(), EIGHT))
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(directory)
    assert words in str(caught.value)
    assert "model.safetensors.index.json" in str(caught.value)


def test_shards(tmp_path):
    for i, name in enumerate("ab"):
        (tmp_path / f"model-{i}.safetensors").write_bytes(file_of(one(name=name), EIGHT))
    index = {"metadata": {"total_size": 16}, "weight_map": {"a": "model-0.safetensors", "b": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(Checkpoint(tmp_path)) == {"a", "b"}
    del index["weight_map"]["b"]
    index["weight_map"]["a"] = "model-1.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"disagree about 2 tensors: \['a', 'b'\]"):
        Checkpoint(tmp_path)


def test_no_files(tmp_path):
    with pytest.raises(CheckpointError, match=r"has neither model\.safetensors nor"):
        Checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="is not a directory"):
        Checkpoint(tmp_path / "nowhere")
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="is not a file"):
        Checkpoint(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not a file"):
        Checkpoint(tmp_path)


not_windows = pytest.mark.skipif(os.name == "nt", reason="Windows does not let an open file be cut or replaced")


@not_windows
@pytest.mark.parametrize("read", [lambda c, n: c[n], lambda c, n: c.rows(n, [1]), lambda c, n: list(c.tiles(n))])
def test_a_file_cut_while_it_is_open(wide, tmp_path, read):
    content = (wide / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content)
    checkpoint = Checkpoint(tmp_path, memory=0)
    os.truncate(tmp_path / "model.safetensors", 100_000)
    with pytest.raises(CheckpointError, match=rf"had {len(content)} bytes when it was opened and has 100000 now"):
        read(checkpoint, TEXT + "layers.3.mlp.gate_proj.weight")


@not_windows
def test_a_file_rewritten_while_it_is_open(wide, tmp_path):
    content, path = (wide / "model.safetensors").read_bytes(), tmp_path / "model.safetensors"
    path.write_bytes(content)
    checkpoint = Checkpoint(tmp_path, memory=0)
    name = TEXT + "layers.3.mlp.gate_proj.weight"
    before = checkpoint[name].copy()
    path.unlink()  # the open file is still whole
    np.testing.assert_array_equal(checkpoint[name], before)
    (tmp_path / "other").write_bytes(content)
    os.replace(tmp_path / "other", path)
    with pytest.raises(CheckpointError, match="was replaced by another file since it was opened; load it again"):
        checkpoint[name]

    path.write_bytes(content)
    checkpoint = Checkpoint(tmp_path, memory=0)
    with open(path, "r+b") as file:  # the open file itself
        file.seek(len(content) - 1)
        file.write(b"x")
    os.utime(path, ns=(1, 1))
    with pytest.raises(CheckpointError, match="was written to since it was opened"):
        checkpoint[name]


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    real = open
    path = tmp_path / "model.safetensors"
    path.write_text("the earlier file")

    def full(name, mode="r", *rest, **more):
        (tmp_path / "model.safetensors.part").touch()
        return real("/dev/full" if mode == "wb" else name, mode, *rest, **more)

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        write_safetensors(path, {"a": (10**6,)}, lambda name: [np.zeros(10**6, np.uint16)])
    monkeypatch.undo()
    assert path.read_text() == "the earlier file"
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path):
    def values(name):
        yield np.zeros(5, np.uint16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_safetensors(tmp_path / "model.safetensors", {"a": (10,)}, values)
    assert not list(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="was given 10 bytes"):
        write_safetensors(tmp_path / "model.safetensors", {"a": (10,)}, lambda name: [np.zeros(5, np.uint16)])


# --- the same for transformers ----------------------------------------------------------------------------------------


@pytest.mark.reference
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("causal_lm", [False, True])
def test_reads_what_transformers_writes_and_the_other_way_round(tmp_path, shape, causal_lm):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    reference = pytest.importorskip("reference")
    model = reference.random_model(shape, towers=not causal_lm, causal_lm=causal_lm)
    reference.save(model, tmp_path)
    checkpoint, config = Checkpoint(tmp_path), read_config(tmp_path)
    checkpoint.check(config)
    theirs = reference.tensors(model)
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(checkpoint[name], tensor)
    if causal_lm:
        return
    save_checkpoint(tmp_path / "ours", config, theirs)
    again, report = transformers.Gemma4ForConditionalGeneration.from_pretrained(
        tmp_path / "ours", dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    ours = Checkpoint(tmp_path / "ours")
    for name, tensor in reference.tensors(again).items():
        np.testing.assert_array_equal(ours[name], tensor)


# --- twins ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make_twin():
    spec = importlib.util.spec_from_file_location("make_twin", HERE.parent / "benchmarks" / "make_twin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["E2B", "E4B", "26B-A4B", "31B"])
def test_twins(make_twin, tmp_path, name):
    config = make_twin.small(make_twin.PRESETS[name])
    total = make_twin.make_twin(config, tmp_path, most=500_000 if name == "31B" else 10**9, quiet=True)
    read = read_config(tmp_path)
    assert (read.text, read.vision, read.audio) == (config.text, config.vision, config.audio)
    assert read.eos_token_ids == (1, 106, 50)
    assert "return_dict" in json.loads((tmp_path / "config.json").read_text())
    checkpoint = Checkpoint(tmp_path)
    checkpoint.check(read)
    assert set(checkpoint) == set(tensor_shapes(config, dead_kv=True))
    assert total == sum(2 * array.size for array in checkpoint.values())
    assert checkpoint.find_nonfinite() == []
    assert len(list(tmp_path.glob("*.safetensors"))) == (3 if name == "31B" else 1)
    matrix = checkpoint[TEXT + "layers.0.mlp.down_proj.weight"]
    assert 0.5 < matrix.std() * 96**0.5 < 2
    assert len(np.unique(checkpoint[TEXT + "embed_tokens.weight"][:, 0])) > 100
    assert not list(tmp_path.glob("*.part"))


def test_a_twin_larger_than_the_disk(make_twin, tmp_path, monkeypatch):
    monkeypatch.setattr(make_twin.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    with pytest.raises(SystemExit, match=r"needs 10.3 GB and its disk has 1.0 GB free; nothing was written"):
        make_twin.make_twin(make_twin.PRESETS["E2B"], tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())


# --- fuzz -------------------------------------------------------------------------------------------------------------


def test_damaged_files_give_only_our_errors(tmp_path):
    counts = Counter(fuzz_readers.run_case(case, tmp_path) for case in range(400))
    for kind in fuzz_readers.KINDS:
        assert counts[kind, "read"] > 5, counts
        assert counts[kind, "refused"] > 5, counts


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_only_our_errors(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("bytes")
    fuzz_readers.check_file(directory, data)
    fuzz_readers.check_config(directory, data)
