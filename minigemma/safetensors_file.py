"""One safetensors file: eight bytes of header length, a JSON header {name: dtype, shape, offsets}, then the tensors.

The safetensors library checks the header and reads whole F16 and F32 tensors. What it cannot do from NumPy is ours:
bfloat16, and single rows out of a mapped file. Where the library is missing (in a browser) ours does it all.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .config_checks import short
from .errors import CheckpointError

try:
    from safetensors import safe_open
except ImportError:  # pragma: no cover - not built for every platform
    safe_open = None  # type: ignore[assignment,misc]

STORED: dict[str, np.dtype] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}  # what a value is on disk
_MOST_HEADER = 16 * 2**20  # bytes; two thousand tensors need 0.3 MB
_PIECE = 2**18  # bytes that are read ahead at a time: more would not stay in the processor's cache
_PROBES = 4  # places at which a tensor is looked up in the system's cache


class Entry(NamedTuple):
    """What the header says of one tensor; start and stop are bytes from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class SafetensorsFile:
    """A mapped file. Nothing is read but the header until a tensor is asked for.

    The file is looked at before each read: one that was shortened, rewritten or replaced meanwhile raises
    CheckpointError. Only a file cut in the few milliseconds while a tensor is being copied could still end the process
    (the system's SIGBUS).
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise self._error("is not a file")
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115 - stays open as long as the map
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}") from None
        try:
            self._state = os.fstat(self._file.fileno())
            self.entries = self._read_header(self._file)
            self._bytes = self._map()
            self._library = self._open_with_library()
        except BaseException:
            self._file.close()
            raise

    def flat(self, name: str, first: int = 0, last: int | None = None) -> np.ndarray:
        """The stored values of rows first..last of a tensor, as a one-dimensional view of the file."""
        self._check_unchanged()
        entry = self.entries[name]
        dtype = STORED[entry.dtype]
        values = self._bytes[entry.start : entry.stop].view(dtype)
        if first == 0 and last is None:
            return values
        width = math.prod(entry.shape[1:])
        return values[first * width : (entry.shape[0] if last is None else last) * width]

    def whole(self, name: str) -> np.ndarray | None:
        """A float32 tensor through the library, or None for what the library cannot give NumPy."""
        if self._library is None or self.entries[name].dtype == "BF16":
            return None
        self._check_unchanged()
        return self._library.get_tensor(name).astype(np.float32, copy=False)

    def will_need(self, name: str, first: int = 0, last: int | None = None) -> None:
        """Have rows first..last of a tensor read into the system's cache soon; returns at once."""
        if self._mapped is None:  # all of it has been read already
            return
        entry = self.entries[name]
        row = (entry.stop - entry.start) // max(1, entry.shape[0] if entry.shape else 1)
        start, stop = entry.start + first * row, entry.stop if last is None else entry.start + last * row
        if sys.platform == "linux":  # which reads no more than the beginning of what it is advised to read
            _reader().put(lambda: self._read_ahead(start, stop))
        elif hasattr(mmap, "MADV_WILLNEED"):
            start -= start % mmap.ALLOCATIONGRANULARITY
            self._mapped.madvise(mmap.MADV_WILLNEED, start, stop - start)

    def _read_ahead(self, start: int, stop: int) -> None:
        """Read bytes start..stop and keep nothing: the system's cache keeps them."""
        if all(_is_cached(self._file, start + i * (stop - start) // _PROBES) for i in range(_PROBES)):
            return
        buffer = memoryview(bytearray(_PIECE))
        with contextlib.suppress(OSError), open(self.path, "rb", buffering=0) as file:
            file.seek(start)
            while start < stop and (count := file.readinto(buffer[: stop - start])):
                start += count

    def _error(self, message: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {message}")

    def _map(self) -> np.ndarray:
        self._mapped: mmap.mmap | None = None
        try:
            self._mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            return np.frombuffer(self._mapped, np.uint8)
        except (OSError, ValueError):  # file systems without maps
            return np.fromfile(self.path, np.uint8)

    def _check_unchanged(self) -> None:
        if self._mapped is None:
            return
        now, then = os.fstat(self._file.fileno()), self._state
        if now.st_size != then.st_size:
            raise self._error(f"had {then.st_size} bytes when it was opened and has {now.st_size} now; load it again")
        if now.st_mtime_ns != then.st_mtime_ns:
            raise self._error("was written to since it was opened; load it again")
        try:
            named = os.stat(self.path)
        except OSError:  # removed: what is open stays whole
            return
        if not os.path.samestat(named, then):
            raise self._error("was replaced by another file since it was opened; load it again")

    def _open_with_library(self) -> Any:
        if safe_open is None:
            return None
        try:
            return safe_open(str(self.path), framework="np")
        except Exception as error:  # its own SafetensorError is no ValueError
            raise self._error(f"is damaged: {short(str(error))}") from None

    def _read_header(self, file: BinaryIO) -> dict[str, Entry]:
        size, start = self._state.st_size, file.read(8)
        if len(start) < 8:
            raise self._error(
                f"is no safetensors file: it has {size} bytes, and 8 are needed to say how long its header is"
            )
        (length,) = struct.unpack("<Q", start)
        if length > min(size - 8, _MOST_HEADER):
            raise self._error(
                f"is damaged, incomplete or no safetensors file: it announces a header of {length} bytes "
                f"in a file of {size} (at most {_MOST_HEADER} are read)"
            )
        try:
            text = file.read(length).decode()
            header = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constants)
        except (ValueError, RecursionError) as error:
            raise self._error(f"has a header that is not JSON: {short(str(error))}") from None
        if not isinstance(header, dict):
            raise self._error("has a header that is not an object of names")
        metadata = header.pop("__metadata__", None)
        if metadata is not None and not _texts(metadata):
            raise self._error("has metadata other than names and texts")
        entries = {name: self._entry(name, each, 8 + length, size) for name, each in header.items()}
        self._check_layout(entries, 8 + length, size)
        return entries

    def _entry(self, name: str, each: Any, start: int, size: int) -> Entry:
        """One line of the header, checked."""
        where = f"tensor {short(name)}"
        try:
            dtype, shape, offsets = each["dtype"], each["shape"], each["data_offsets"]
        except (TypeError, KeyError):
            raise self._error(f"{where} lacks dtype, shape or data_offsets") from None
        if not isinstance(dtype, str) or dtype not in STORED:
            raise self._error(f"{where} is stored as {short(dtype)}; only {', '.join(STORED)} can be read")
        if not _whole_numbers(shape) or len(shape) > 8:
            raise self._error(f"{where} has the shape {short(shape)}; expected up to 8 whole numbers")
        if not _whole_numbers(offsets) or len(offsets) != 2:
            raise self._error(f"{where} has the offsets {short(offsets)}; expected two whole numbers")
        first, last = offsets
        if not first <= last <= size - start:
            raise self._error(
                f"{where} would lie in bytes {first} to {last} of {size - start}: the file is cut or damaged"
            )
        entry = Entry(dtype, tuple(shape), start + first, start + last)
        if entry.size * STORED[dtype].itemsize != last - first:
            raise self._error(f"{where} of shape {short(shape)} in {dtype} does not fill its {last - first} bytes")
        return entry

    def _check_layout(self, entries: dict[str, Entry], start: int, size: int) -> None:
        """Tensors lie end to end: none overlaps another, and no byte belongs to none."""
        for name, entry in sorted(entries.items(), key=lambda each: each[1][2:]):
            if entry.start != start:
                fault = "overlaps the one before it" if entry.start < start else "leaves a gap before it"
                raise self._error(f"tensor {short(name)} {fault}")
            start = entry.stop
        if start != size:
            raise self._error(f"has {size - start} bytes after its last tensor: it is damaged")


@cache
def _reader() -> SimpleQueue:
    """What is put there is done by a thread that reads ahead, one after the other, and that no exit waits for."""
    jobs: SimpleQueue = SimpleQueue()

    def work() -> None:
        while True:
            jobs.get()()

    threading.Thread(target=work, name="read ahead", daemon=True).start()
    return jobs


def _is_cached(file: BinaryIO, offset: int) -> bool:
    """Is this byte in the system's cache? False where the system cannot say (Linux can, of most file systems)."""
    try:
        return os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except (AttributeError, OSError):
        return False


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 2**48 for each in value)


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _no_constants(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def write_safetensors(
    path: str | Path,
    shapes: Mapping[str, tuple[int, ...]],
    values: Callable[[str], Iterable[np.ndarray]],
    dtype: str = "BF16",
) -> None:
    """Write a file in a stream: ``values(name)`` gives the stored values of each tensor in one or more pieces.

    It appears under its name only when it is complete; a full disk raises CheckpointError and leaves nothing behind.
    """
    path, item = Path(path), STORED[dtype].itemsize
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * item
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    unfinished = path.with_name(path.name + ".part")
    try:
        with open(unfinished, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name, shape in shapes.items():
                written = 0
                for piece in values(name):
                    written += file.write(np.ascontiguousarray(piece, STORED[dtype]).data)
                if written != math.prod(shape) * item:
                    raise CheckpointError(f"{name} of shape {shape} was given {written} bytes")
        os.replace(unfinished, path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
