"""The KV cache: keys and values of the tokens so far, kept so that a new token costs one row instead of all of them.

Global layers keep every position. Local layers keep the last ``window`` positions: nothing older can be seen again.
Layers that share KV keep nothing; they read their source layer's. A forward pass adds its rows layer by layer and
commits them all at the end, so a pass that is interrupted leaves the cache as it was.
"""

from __future__ import annotations

import numpy as np

from minigemma.config import TextConfig
from minigemma.interleaving import schedule

KeysValues = tuple[np.ndarray, np.ndarray, int]  # keys, values (rows, G, K) and the position of the first row


class KVCache:
    """Keys and values of every layer that makes its own, after norm and rotation; made by ``model.new_cache()``."""

    def __init__(self, config: TextConfig):
        self.config = config
        self.length = 0  # tokens seen so far: the position of the next one
        own = [spec for spec in schedule(config) if not spec.shares_kv]
        self._windows = {spec.index: spec.window for spec in own}
        # layer -> position of the first row, and keys and values with room for more: (2, room, G, K)
        self._kept = {spec.index: (0, np.empty((2, 0, spec.kv_heads, spec.head_dim), np.float32)) for spec in own}
        self._added = dict(self._kept)  # what becomes of them at the next commit

    def read(self, layer: int) -> KeysValues:
        """What is kept of a layer: keys and values (rows, G, K), and the position of their first row."""
        start, buffer = self._kept[layer]
        first = self._first(layer)
        keys, values = buffer[:, first - start : self.length - start]
        return keys, values, first

    def extend(self, layer: int, keys: np.ndarray, values: np.ndarray) -> KeysValues:
        """What is kept of a layer, then new rows (T, G, K): (rows + T, G, K), and the position of the first row."""
        start, buffer = self._kept[layer]
        first, window = self._first(layer), self._windows[layer]
        if self.length + len(keys) - start > buffer.shape[1]:
            buffer = _with_room(buffer[:, first - start : self.length - start], len(keys))
            start = first
        new = slice(self.length - start, self.length + len(keys) - start)
        buffer[0, new], buffer[1, new] = keys, values
        every_key, every_value = buffer[:, first - start : new.stop]
        if window is not None and buffer.shape[1] > 2 * window:  # after a long prompt: its end is all that is kept
            start, buffer = start + new.stop - window, _with_room(buffer[:, new.stop - window : new.stop])
        self._added[layer] = start, buffer
        return every_key, every_value, first

    def commit(self, count: int) -> None:
        """Called by forward at its end, when every layer has been extended by ``count`` rows."""
        self._kept, self.length = dict(self._added), self.length + count

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values held (float32; rows set aside for growth not counted)."""
        return sum(keys.nbytes + values.nbytes for keys, values, _ in map(self.read, self._kept))

    def _first(self, layer: int) -> int:
        """The first position that a later token can see."""
        window = self._windows[layer]
        return self._kept[layer][0] if window is None else max(self._kept[layer][0], self.length - window)

    def __repr__(self) -> str:
        return f"KVCache({self.length} tokens, {self.nbytes:,} bytes in {len(self._kept)} layers)"


def _with_room(rows: np.ndarray, more: int = 0) -> np.ndarray:
    """A copy of rows (2, n, G, K) with room for ``more`` of them and for a quarter beyond."""
    count = rows.shape[1]
    buffer = np.empty((2, (count + more) * 5 // 4 + 1, *rows.shape[2:]), np.float32)
    buffer[:, :count] = rows
    return buffer


def cache_bytes(config: TextConfig, context: int, bytes_per_value: int = 2) -> int:
    """Bytes the cache of a model holds after ``context`` tokens; 2 bytes a value is bfloat16, 4 this package's float32.

    K and V are both kept, also where K=V: they differ by a weight and a rotation.
    """
    return sum(
        2 * min(context, spec.window or context) * spec.kv_heads * spec.head_dim * bytes_per_value
        for spec in schedule(config)
        if not spec.shares_kv
    )
