"""The schedule of the released models, written out, and the masks: intervals against the rule as it is said."""

import doctest
import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigemma import naive
from minigemma.config import GLOBAL, LOCAL, PRESETS
from minigemma.interleaving import format_schedule, image_block_ends, interval_mask, schedule, visible_keys

SPECS = {name: schedule(config.text) for name, config in PRESETS.items()}


@pytest.mark.parametrize("name", ["interleaving", "rope", "trace"])
def test_examples_in_the_docstrings(name):
    found = doctest.testmod(importlib.import_module(f"minigemma.{name}"))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    ("name", "layers", "every"), [("E2B", 35, 5), ("E4B", 42, 6), ("26B-A4B", 30, 6), ("31B", 60, 6)]
)
def test_local_and_global_layers(name, layers, every):
    kinds = [spec.kind for spec in SPECS[name]]
    assert kinds == ([LOCAL] * (every - 1) + [GLOBAL]) * (layers // every)
    assert [spec.index for spec in SPECS[name]] == list(range(layers))
    assert all(spec.is_local == (spec.kind == LOCAL) for spec in SPECS[name])


@pytest.mark.parametrize(
    ("name", "local", "world"),  # window, H, G, K, V made from K
    [
        ("E2B", (512, 8, 1, 256, False), (None, 8, 1, 512, False)),
        ("E4B", (512, 8, 2, 256, False), (None, 8, 2, 512, False)),
        ("26B-A4B", (1024, 16, 8, 256, False), (None, 16, 2, 512, True)),
        ("31B", (1024, 32, 16, 256, False), (None, 32, 4, 512, True)),
    ],
)
def test_heads_and_windows(name, local, world):
    for spec in SPECS[name]:
        found = (spec.window, spec.heads, spec.kv_heads, spec.head_dim, spec.k_eq_v)
        assert found == (local if spec.is_local else world)
        assert (spec.rope_theta, spec.rope_fraction) == ((1e4, 1.0) if spec.is_local else (1e6, 0.25))


def test_whose_keys_and_values_are_read():
    own = list(range(15))
    assert [spec.kv_source for spec in SPECS["E2B"]] == own + [13, 13, 13, 13, 14] * 4
    own = list(range(24))
    assert [spec.kv_source for spec in SPECS["E4B"]] == own + [22, 22, 22, 22, 22, 23] * 3
    for name in ("26B-A4B", "31B"):
        assert not any(spec.shares_kv for spec in SPECS[name])
    assert [spec.index for spec in SPECS["E2B"] if spec.shares_kv] == list(range(15, 35))


def test_feed_forward_widths_and_experts():
    assert [spec.feed_forward for spec in SPECS["E2B"]] == [6144] * 15 + [12_288] * 20
    assert {spec.feed_forward for spec in SPECS["E4B"]} == {10_240}
    assert {(spec.feed_forward, spec.experts) for spec in SPECS["26B-A4B"]} == {(2112, 128)}
    assert {(spec.feed_forward, spec.experts) for spec in SPECS["31B"]} == {(21_504, 0)}


def test_the_schedule_as_a_table():
    lines = format_schedule(SPECS["E2B"]).splitlines()
    assert len(lines) == 36
    assert lines[1].split() == ["0", "local", "512", "8/1", "x", "256", "own", "v_proj", "6144", "-"]
    assert lines[-1].split() == ["34", "GLOBAL", "all", "8/1", "x", "512", "layer", "14", "-", "12288", "-"]
    assert "k_proj" in format_schedule(SPECS["31B"])
    assert len({len(line.rstrip()) for line in format_schedule(SPECS["26B-A4B"]).splitlines()[1:]}) == 1


def as_runs(is_image):
    """The number of the image each token belongs to, -1 for text."""
    return np.where(is_image, np.cumsum(np.diff(is_image, prepend=False) & is_image), -1)


def test_an_image_longer_than_the_window_is_cut_on_its_left_only():
    is_image = np.array([0, 1, 1, 1, 1, 1, 0], bool)
    mask = interval_mask(*visible_keys(np.arange(7), 3, image_block_ends(is_image)), 7)
    assert mask.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 1, 1, 1],
    ]


@given(is_image=st.lists(st.booleans(), min_size=1, max_size=24), window=st.none() | st.integers(1, 30))
def test_intervals_are_the_rule(is_image, window):
    is_image = np.array(is_image)
    tokens = len(is_image)
    first, last = visible_keys(np.arange(tokens), window, image_block_ends(is_image))
    np.testing.assert_array_equal(interval_mask(first, last, tokens), naive.mask(tokens, window, as_runs(is_image)))
    causal = interval_mask(*visible_keys(np.arange(tokens), window), tokens)
    np.testing.assert_array_equal(causal, naive.mask(tokens, window))


@given(is_image=st.lists(st.booleans(), min_size=1, max_size=24), window=st.none() | st.integers(1, 30), data=st.data())
def test_a_later_piece_sees_what_it_would_have_seen_in_one(is_image, window, data):
    """Positions that start anywhere (but inside an image) give the rows of the whole mask."""
    is_image = np.array(is_image)
    tokens = len(is_image)
    cuts = [t for t in range(tokens) if t == 0 or not (is_image[t - 1] and is_image[t])]
    start = data.draw(st.sampled_from(cuts))
    ends = image_block_ends(is_image[start:], start)
    first, last = visible_keys(np.arange(start, tokens), window, ends)
    whole = naive.mask(tokens, window, as_runs(is_image))
    np.testing.assert_array_equal(interval_mask(first, last, tokens), whole[start:])
