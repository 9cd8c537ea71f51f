"""Damaged configs and checkpoint files by the thousand: only minigemma's errors may come out, and memory stays bounded.

    python tests/fuzz_readers.py --cases 100000      # all is quiet, and the last line says how much memory it took
    python tests/fuzz_readers.py --first 4711 --cases 1   # one case again: each is made from its number alone

The suite runs a few hundred of the same cases.
"""

# ruff: noqa: PT017
from __future__ import annotations

import argparse
import copy
import json
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from gemma3_models import HUB as GEMMA3
from small_models import small_config

from minigemma import safetensors_file
from minigemma.checkpoint import Checkpoint
from minigemma.checkpoint_files import compare
from minigemma.config import PRESETS, read_config
from minigemma.errors import CheckpointError, ConfigError
from minigemma.hub_config import to_hub
from minigemma.interleaving import format_schedule, schedule
from minigemma.safetensors_file import STORED

SHAPES = {"a.weight": ("BF16", [3, 4]), "b": ("BF16", []), "c.weight": ("F32", [2, 2]), "d.weight": ("F16", [5]),
          "e": ("BF16", [0, 7]), "f": ("BF16", [2, 2, 3])}  # fmt: skip
NUMBERS = [-1, 0, 1, 2, 7, 8, 255, 2**31, 2**32, 2**47, 2**53, 2**63, 2**64 - 1, 2**64, -(2**63), 10**30]
STRANGE = [None, True, False, 0.5, 1e400, float("nan"), "", "x", "../x", "\u0000", "é" * 50, [], [[]], {}, {"a": 1}]
HUB = [*(to_hub(PRESETS[name]) for name in ("E2B", "26B-A4B")), *GEMMA3.values()]
SMALL = small_config("e2b")
BESIDE: dict[str, dict] = {
    "generation_config.json": {
        "bos_token_id": 2, "pad_token_id": 0, "eos_token_id": [1, 106, 50], "do_sample": True, "temperature": 1.0,
        "top_k": 64, "top_p": 0.95, "suppress_tokens": [258883, 258882],
    },
    "processor_config.json": {
        "audio_seq_length": 750, "image_seq_length": 280,
        "image_processor": {"max_soft_tokens": 280, "patch_size": 16, "pooling_kernel_size": 3, "do_rescale": True},
        "feature_extractor": {"feature_size": 128, "sampling_rate": 16000, "padding_side": "right"},
    },
}  # fmt: skip


def good_file() -> tuple[dict, bytes]:
    """A small valid header and its body."""
    header, end = {}, 0
    for name, (dtype, shape) in SHAPES.items():
        start, end = end, end + int(np.prod(shape)) * STORED[dtype].itemsize
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    return header, bytes(range(256))[: end % 256] if end < 256 else bytes(end)


def anything(r: random.Random) -> object:
    if r.random() < 0.5:
        return r.choice(NUMBERS)
    return copy.deepcopy(r.choice(STRANGE))


def mutate(r: random.Random, value: object) -> object:
    """The same JSON value with one thing changed somewhere inside."""
    if isinstance(value, dict) and value and r.random() < 0.85:
        value, key = dict(value), r.choice(list(value))
        what = r.random()
        if what < 0.1:
            del value[key]
        elif what < 0.2:
            value[r.choice(["__metadata__", "x", "", "a.weight", key + "x"])] = r.choice([anything(r), value[key]])
        else:
            value[key] = mutate(r, value[key])
        return value
    if isinstance(value, list) and value and r.random() < 0.85:
        value, i = list(value), r.randrange(len(value))
        what = r.random()
        if what < 0.15:
            del value[i]
        elif what < 0.3:
            value.insert(i, anything(r))
        else:
            value[i] = mutate(r, value[i])
        return value
    if isinstance(value, int) and not isinstance(value, bool) and r.random() < 0.6:
        return value + r.choice([-2, -1, 1, 2, 4, 2**32, 2**63])
    return anything(r)


def damaged_file(r: random.Random) -> bytes:
    """A safetensors file with something wrong in it, most of the time."""
    header, body = good_file()
    changed: object = header
    for _ in range(r.choice([0, 0, 1, 1, 1, 2, 3])):
        changed = mutate(r, changed)
    text = json.dumps(changed).encode()
    if r.random() < 0.1:
        text = text.replace(b'"b"', b'"a.weight"')  # a name twice
    if r.random() < 0.02:
        text = r.choice([b"[" * 5000, b'{"a":' * 5000, b"\xff\xfe{}", b"", b"{", b" " * 1000, b"0"])
    length = len(text) if r.random() < 0.85 else abs(r.choice(NUMBERS)) % 2**64
    data = struct.pack("<Q", length) + text + body
    what = r.random()
    if what < 0.1:
        data = data[: r.randrange(len(data) + 1)]
    elif what < 0.2:
        data += bytes(r.randrange(1, 9))
    elif what < 0.4:
        data = bytearray(data)
        for _ in range(r.choice([1, 2, 8])):
            data[r.randrange(len(data))] = r.randrange(256)
        data = bytes(data)
    elif what < 0.42:
        data = r.randbytes(r.randrange(64))
    return data


def check_file(directory: Path, data: bytes) -> str:
    """Read all of a damaged file; "read", or the error's kind. Whatever can be read must be what the library reads."""
    path = directory / "model.safetensors"
    path.unlink(missing_ok=True)  # a new file: the old one may still be mapped
    path.write_bytes(data)
    alone = read_without_library(path)
    try:
        checkpoint = Checkpoint(directory, memory=0)
    except CheckpointError as error:
        assert alone is None, f"refused only with the library: {error}"
        assert str(directory) in str(error), error
        assert len(str(error)) < 1000, error
        if library_reads(path) and not ours_to_refuse(str(error)):
            raise AssertionError(f"the library reads what we refuse: {error}") from None
        return "refused"
    assert library_reads(path)
    assert alone is not None
    for name in checkpoint:
        array = checkpoint[name]
        np.testing.assert_array_equal(array, alone[name])
        assert array.dtype == np.float32
        assert array.shape == checkpoint.shape(name)
        if array.ndim:
            tiles = [tile for _, tile in checkpoint.tiles(name, 2)]
            np.testing.assert_array_equal(np.concatenate(tiles) if tiles else array, array)
            np.testing.assert_array_equal(checkpoint.rows(name, range(len(array[:9]))), array[:9])
    checkpoint.find_nonfinite()
    try:
        checkpoint.check(SMALL)
    except CheckpointError:
        return "read"
    raise AssertionError("taken for a whole model")


def read_without_library(path: Path) -> dict[str, np.ndarray] | None:
    """What our own reader makes of the file where there is no library; None if it refuses."""
    with mock.patch.object(safetensors_file, "safe_open", None):
        try:
            Path(path.parent / "alone").mkdir(exist_ok=True)
            copied = path.parent / "alone" / path.name
            copied.unlink(missing_ok=True)
            copied.write_bytes(path.read_bytes())
            return dict(Checkpoint(copied.parent, memory=0))
        except CheckpointError:
            return None


def library_reads(path: Path) -> bool:
    from safetensors import safe_open

    try:
        with safe_open(str(path), framework="np"):
            return True
    except Exception:
        return False


def ours_to_refuse(message: str) -> bool:
    """Where the library is content and we are not: other dtypes, a name twice, absurd shapes, an outsized header."""
    return any(
        words in message for words in ("is stored as", "a name stands in it twice", "has the shape", "announces")
    )


def damaged_config(r: random.Random) -> bytes:
    hub: object = copy.deepcopy(r.choice(HUB))
    for _ in range(r.choice([1, 1, 2, 4])):
        part = r.choice(["text_config", "vision_config", "audio_config", None])
        if part and isinstance(hub, dict) and isinstance(hub.get(part), dict):
            hub[part] = mutate(r, hub[part])
        else:
            hub = mutate(r, hub)
    text = json.dumps(hub).encode()
    if r.random() < 0.05:
        text = text[: r.randrange(len(text))]
    if r.random() < 0.05:
        spot = r.randrange(len(text) + 1)
        text = text[:spot] + r.randbytes(3) + text[spot:]
    return text


def check_config(directory: Path, data: bytes) -> str:
    (directory / "config.json").write_bytes(data)
    try:
        config = read_config(directory)
    except ConfigError as error:
        assert str(directory) in str(error), error
        assert len(str(error)) < 20_000, error
        return "refused"
    format_schedule(schedule(config.text))
    try:
        compare({"a": (2, 3)}, config)
    except CheckpointError:
        return "read"
    raise AssertionError("a config that asks for no tensors")


def damaged_neighbour(r: random.Random) -> bytes:
    """One of the files beside config.json; its name, a zero byte, its content."""
    name = r.choice(list(BESIDE))
    content: object = copy.deepcopy(BESIDE[name])
    for _ in range(r.choice([1, 1, 2, 4])):
        content = mutate(r, content)
    return name.encode() + b"\0" + json.dumps(content).encode()


def check_neighbour(directory: Path, data: bytes) -> str:
    name, _, content = data.partition(b"\0")
    path = directory / name.decode()
    path.write_bytes(content)
    try:
        return check_config(directory, json.dumps(HUB[0]).encode())
    finally:
        path.unlink()


def damaged_index(r: random.Random) -> bytes:
    index: object = {"metadata": {}, "weight_map": dict.fromkeys(SHAPES, "model-1.safetensors")}
    names = [
        "../model-1.safetensors",
        "/etc/passwd",
        "..",
        "",
        "model-2.safetensors",
        "a/b.safetensors",
        "x.bin",
        "\u0000.safetensors",
    ]
    if r.random() < 0.5:
        index["weight_map"][r.choice(list(SHAPES))] = r.choice(names)
    for _ in range(r.choice([0, 1, 2])):
        index = mutate(r, index)
    return json.dumps(index).encode()


def check_index(directory: Path, data: bytes) -> str:
    header, body = good_file()
    text = json.dumps(header).encode()
    (directory / "model-1.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    (directory / "model.safetensors").unlink(missing_ok=True)
    (directory / "model.safetensors.index.json").write_bytes(data)
    try:
        checkpoint = Checkpoint(directory, memory=0)
    except CheckpointError as error:
        assert str(directory) in str(error), error
        return "refused"
    assert set(checkpoint) == set(SHAPES)
    return "read"


KINDS = {
    "file": (damaged_file, check_file),
    "config": (damaged_config, check_config),
    "beside": (damaged_neighbour, check_neighbour),
    "index": (damaged_index, check_index),
}


def run_case(number: int, directory: Path) -> tuple[str, str]:
    r = random.Random(number)
    kind = ("file", "config", "file", "config", "file", "beside", "index")[number % 7]
    make, check = KINDS[kind]
    return kind, check(directory, make(r))


MOST_MEMORY = 3 * 10**9  # of address space, which libraries and their threads take a part of


def peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))  # a case that takes more ends the run by number
    counts: Counter[tuple[str, str]] = Counter()
    start, peak = time.perf_counter(), None
    with tempfile.TemporaryDirectory() as directory:
        for number in range(given.first, given.first + given.cases):
            try:
                counts[run_case(number, Path(directory))] += 1
            except Exception as error:
                sys.exit(f"case {number}: {type(error).__name__}: {error}")
            if number == given.first + 500:
                peak = peak_bytes()
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{kind:8} {outcome:8} {count:8,}")
    grown = 0 if peak is None else peak_bytes() - peak
    print(f"{given.cases:,} cases in {time.perf_counter() - start:.0f} s; peak memory {peak_bytes() / 1e6:.0f} MB, "
          f"of which {grown / 1e6:.0f} MB after the first 500 cases")  # fmt: skip


if __name__ == "__main__":
    main()
