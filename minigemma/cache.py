"""The KV cache: keys and values of the tokens so far, kept so that a new token costs one row instead of all of them.

Global layers keep every position. Local layers keep the last ``window`` positions: nothing older can be seen again.
Layers that share KV keep nothing; they read their source layer's. A forward pass adds its rows to every layer and only
then advances the length, so an interrupted pass leaves the cache as it was.
"""

from __future__ import annotations

import numpy as np

from minigemma.config import TextConfig
from minigemma.interleaving import LayerSpec, schedule


class LayerCache:
    """Keys and values of one layer for the positions [start, start + rows)."""

    def __init__(self, spec: LayerSpec):
        self.window = spec.window
        self.start = 0
        self.rows = 0
        self._keys = np.empty((0, spec.kv_heads, spec.head_dim), np.float32)
        self._values = np.empty_like(self._keys)

    @property
    def keys(self) -> np.ndarray:
        """(rows, G, K), after norm and rotation."""
        return self._keys[: self.rows]

    @property
    def values(self) -> np.ndarray:
        """(rows, G, K), after norm."""
        return self._values[: self.rows]

    def extend(self, keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The kept rows, then the new ones, not yet committed: keys, values (T, G, K) -> two (rows + T, G, K)."""
        end = self.rows + len(keys)
        if end > len(self._keys):
            capacity = end + end // 4 if self.window is None else end  # global layers grow: make room for what follows
            self._keys, self._values = _grown(self.keys, capacity), _grown(self.values, capacity)
        self._keys[self.rows : end], self._values[self.rows : end] = keys, values
        return self._keys[:end], self._values[:end]

    def commit(self, count: int) -> None:
        """Keep the ``count`` rows added last, and forget what no later token can see."""
        self.rows += count
        excess = 0 if self.window is None else self.rows - self.window
        if excess > 0:
            room = self.window + 1  # type: ignore[operator]  # the window, and the next token beside it
            self._keys, self._values = _grown(self.keys[excess:], room), _grown(self.values[excess:], room)
            self.start += excess
            self.rows -= excess


def _grown(rows: np.ndarray, capacity: int) -> np.ndarray:
    buffer = np.empty((capacity, *rows.shape[1:]), np.float32)
    buffer[: len(rows)] = rows
    return buffer


class KVCache:
    """One LayerCache for every layer that makes its own keys and values; made by ``model.new_cache()``."""

    def __init__(self, config: TextConfig):
        self.layers = {spec.index: LayerCache(spec) for spec in schedule(config) if not spec.shares_kv}
        self.length = 0  # tokens seen so far: the position of the next one

    def commit(self, count: int) -> None:
        """Called by forward when all layers have been extended by ``count`` rows."""
        for layer in self.layers.values():
            layer.commit(count)
        self.length += count

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values held (float32; rows set aside for growth not counted)."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.layers.values())

    def __repr__(self) -> str:
        return f"KVCache({self.length} tokens, {self.nbytes:,} bytes in {len(self.layers)} layers)"


def cache_bytes(config: TextConfig, context: int, bytes_per_value: int = 2) -> int:
    """Bytes the cache of a model holds after ``context`` tokens; 2 bytes a value is bfloat16, 4 this package's float32.

    K and V are both kept, also where K=V: they differ by a weight and a rotation.
    """
    return sum(
        2 * min(context, spec.window or context) * spec.kv_heads * spec.head_dim * bytes_per_value
        for spec in schedule(config)
        if not spec.shares_kv
    )
