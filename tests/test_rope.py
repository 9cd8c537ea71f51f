"""Rotations: which coordinates make a pair, how fast each turns, and that only distances matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigemma.rope import rotate, rotation_frequencies, rotation_table

RNG = np.random.default_rng(0)


def turned(x, position, frequencies):
    """One head (K,) at a position, in float64."""
    return rotate(x[None, None], rotation_table(np.array([position]), frequencies))[0, 0]


def test_frequencies_of_both_kinds_of_layer():
    local = rotation_frequencies(256, 10_000.0)
    np.testing.assert_allclose(local, 10_000.0 ** (-np.arange(128) / 128), rtol=1e-6)
    world = rotation_frequencies(512, 1_000_000.0, 0.25)
    assert (np.flatnonzero(world) == np.arange(64)).all()
    # p-RoPE prunes: the exponent's denominator stays the whole head width
    np.testing.assert_allclose(world[:64], 1_000_000.0 ** (-np.arange(64) / 256), rtol=1e-6)
    assert local.dtype == world.dtype == np.float32


def test_which_coordinates_of_a_global_head_turn():
    x = RNG.normal(size=512)
    same = turned(x, 1000, rotation_frequencies(512, 1_000_000.0, 0.25)) == x
    assert (np.flatnonzero(~same) == np.r_[0:64, 256:320]).all()


@pytest.mark.parametrize("pair", [0, 1, 5])
def test_a_pair_is_a_coordinate_and_the_one_half_a_head_later(pair):
    """An arrow along coordinate ``pair`` turns towards ``pair + K/2``, anticlockwise, by position times frequency."""
    x, frequencies, position = np.zeros(16), rotation_frequencies(16, 100.0).astype(np.float64), 3
    x[pair] = 2
    angle = position * frequencies[pair]
    expected = np.zeros(16)
    expected[pair], expected[pair + 8] = 2 * np.cos(angle), 2 * np.sin(angle)
    np.testing.assert_allclose(turned(x, position, frequencies), expected, atol=1e-12)


def test_position_zero_turns_nothing():
    x = RNG.normal(size=(1, 3, 32)).astype(np.float32)
    np.testing.assert_array_equal(rotate(x, rotation_table(np.array([0]), rotation_frequencies(32, 1e4))), x)


def test_every_head_of_a_token_turns_alike():
    x = np.repeat(RNG.normal(size=(4, 1, 8)), 3, axis=1)
    out = rotate(x, rotation_table(np.arange(4), rotation_frequencies(8, 1e4)))
    np.testing.assert_array_equal(out, np.repeat(out[:, :1], 3, axis=1))
    assert not np.allclose(out[1], out[2])


@given(
    query=st.integers(0, 100_000),
    distance=st.integers(-5000, 5000),
    shift=st.integers(0, 100_000),
    fraction=st.sampled_from([1.0, 0.25, 0.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_score_depends_on_the_distance_alone(query, distance, shift, fraction, seed):
    q, k = np.random.default_rng(seed).normal(size=(2, 32))
    frequencies = rotation_frequencies(32, 10_000.0, fraction).astype(np.float64)
    here = turned(q, query, frequencies) @ turned(k, query + distance, frequencies)
    there = turned(q, query + shift, frequencies) @ turned(k, query + shift + distance, frequencies)
    assert here == pytest.approx(there, abs=1e-8)
    assert np.linalg.norm(turned(q, query, frequencies)) == pytest.approx(np.linalg.norm(q))
