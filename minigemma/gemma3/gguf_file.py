"""The header of a GGUF file: metadata by name, and where each tensor lies.

Magic, version, counts; (name, type, value) for each piece of metadata; (name, sizes, type, offset) for each tensor;
then the tensors. (The library ``gguf`` reads this too, but makes arrays of every string: 262,144 of them take seconds.)
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from ..errors import CheckpointError

_NUMBERS = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
_STRING, _ARRAY = 8, 9


class Stored(NamedTuple):
    """A tensor in the file: its shape as NumPy says it, the number of its storage type, its first byte."""

    shape: tuple[int, ...]
    kind: int
    start: int


def read_header(data: np.ndarray) -> tuple[dict[str, Any], dict[str, Stored]]:
    """data (bytes,) uint8, the whole file -> metadata, tensors. CheckpointError for what is no GGUF file."""
    reader = _Reader(data)
    if bytes(data[:4]) != b"GGUF":
        raise CheckpointError(f"no GGUF file: it begins with {bytes(data[:4])!r}")
    try:
        reader.number("<u4"), reader.number("<u4")  # magic, version
        tensors, pieces = reader.number("<u8"), reader.number("<u8")
        metadata = {}
        for _ in range(pieces):
            name = reader.string()
            metadata[name] = reader.value(reader.number("<u4"))
        places = {}
        for _ in range(tensors):
            name = reader.string()
            sizes = [reader.number("<u8") for _ in range(reader.number("<u4"))]
            places[name] = Stored(tuple(reversed(sizes)), reader.number("<u4"), reader.number("<u8"))
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise CheckpointError(f"damaged GGUF file: its header cannot be read ({error})") from None
    align = metadata.get("general.alignment", 32)
    first = -(-reader.at // align) * align
    return metadata, {name: place._replace(start=first + place.start) for name, place in places.items()}


class _Reader:
    def __init__(self, data: np.ndarray):
        self.data, self.at = data.data, 0

    def number(self, dtype: str) -> Any:
        return self.numbers(dtype, 1)[0].item()

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        found = np.frombuffer(self.data, dtype, count, self.at)
        self.at += found.nbytes
        return found

    def string(self) -> str:
        (length,) = struct.unpack_from("<Q", self.data, self.at)
        start, self.at = self.at + 8, self.at + 8 + length
        return str(self.data[start : self.at], "utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner, count = self.number("<u4"), self.number("<u8")
            if inner == _STRING:
                return [self.string() for _ in range(count)]
            return self.numbers(_NUMBERS[inner], count).tolist()
        return self.number(_NUMBERS[kind])
