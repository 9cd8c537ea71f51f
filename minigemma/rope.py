"""Rotary position embeddings: a head is cut into pairs, and each pair is turned by an angle that grows with position.

Pair i of a head of width K is the coordinates (i, i + K/2). It turns by ``position * theta^(-2i/K)``. Local layers turn
every pair (theta 10,000). Global layers use p-RoPE (theta 1,000,000): only the first quarter of the pairs turns, the
others keep the angle 0, so that the slow pairs, which would only drift over a long context, carry content alone.
Sources: Su et al. 2021; Barbero et al. 2024 (p-RoPE); Gemma4TextRotaryEmbedding, rope type "proportional".
"""

from __future__ import annotations

import numpy as np

from minigemma.threads import in_blocks


def rotation_frequencies(head_dim: int, theta: float, fraction: float = 1.0) -> np.ndarray:
    """Radians a token for each pair: (K/2,) float32; the last ``1 - fraction`` of them are 0.

    The exponent's denominator is the whole head width, also when only a fraction turns: p-RoPE prunes frequencies, it
    does not squeeze the same range into fewer pairs.

    >>> rotation_frequencies(8, theta=10_000.0)
    array([1.   , 0.1  , 0.01 , 0.001], dtype=float32)
    >>> rotation_frequencies(8, theta=10_000.0, fraction=0.25)
    array([1., 0., 0., 0.], dtype=float32)
    """
    pairs = head_dim // 2
    frequencies = np.float32(1.0) / np.float32(theta) ** (np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)
    frequencies[int(fraction * pairs) :] = 0.0
    return frequencies


def rotation_table(positions: np.ndarray, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of every pair's angle at every position: positions (T,) -> two arrays (T, K/2)."""
    angles = positions.astype(np.float32)[:, None] * frequencies  # (T, K/2)
    return np.cos(angles), np.sin(angles)


def rotate(x: np.ndarray, rotation: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Turn the pairs of every head. x (T, H, K), rotation two arrays (T, K/2) -> (T, H, K)."""
    turned, half = np.empty_like(x), x.shape[-1] // 2

    def turn(x: np.ndarray, turned: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        a, b = x[..., :half], x[..., half:]  # pair i is (a[i], b[i])
        np.subtract(a * cos, b * sin, out=turned[..., :half])
        np.add(b * cos, a * sin, out=turned[..., half:])

    in_blocks(turn, x, turned, *(table[:, None, :] for table in rotation))  # (T, 1, K/2): the same for every head
    return turned
