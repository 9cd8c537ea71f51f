"""The KV cache: its bytes against the published table, what it keeps, and that only a finished pass changes it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import SHAPES, TEXT

from minigemma.cache import KVCache, cache_bytes
from minigemma.config import PRESETS
from minigemma.interleaving import schedule

RNG = np.random.default_rng(0)
K = 1024


def test_bytes_of_the_released_models():
    """bfloat16, K and V both kept, W rows in a full local layer, layers that share nothing."""
    expected = {  # megabytes at 32K, 128K and (where the context is that long) 256K
        "E2B": (207.6, 811.6),
        "E4B": (557.8, 2168.5),
        "26B-A4B": (880.8, 2894.1, 5578.4),
        "31B": (3523.2, 11576.3, 22313.7),
    }
    for name, sizes in expected.items():
        found = [cache_bytes(PRESETS[name].text, context) / 1e6 for context in (32 * K, 128 * K, 256 * K)]
        assert found[: len(sizes)] == pytest.approx(sizes, abs=0.05), name


@pytest.mark.parametrize(
    ("name", "local", "world", "own", "token"),  # bytes a token in a layer of each kind; layers with own KV; all layers
    [
        ("E2B", 1024, 2048, (12, 3), 18_432),
        ("E4B", 2048, 4096, (20, 4), 57_344),
        ("26B-A4B", 8192, 4096, (25, 5), 225_280),
        ("31B", 16_384, 8192, (50, 10), 901_120),
    ],
)
def test_bytes_of_one_token(name, local, world, own, token):
    config = PRESETS[name].text
    keep = [spec for spec in schedule(config) if not spec.shares_kv]
    assert {2 * 2 * s.kv_heads * s.head_dim for s in keep if s.is_local} == {local}
    assert {2 * 2 * s.kv_heads * s.head_dim for s in keep if not s.is_local} == {world}
    assert (sum(s.is_local for s in keep), sum(not s.is_local for s in keep)) == own
    assert cache_bytes(config, 1) == token
    assert cache_bytes(config, 7, bytes_per_value=4) == 7 * 2 * token
    full = 100_000  # past the window only the global layers grow
    assert cache_bytes(config, full + 1) - cache_bytes(config, full) == own[1] * world


def random_rows(spec, count):
    return RNG.normal(size=(2, count, spec.kv_heads, spec.head_dim)).astype(np.float32)


def owners(config):
    return [spec for spec in schedule(config) if not spec.shares_kv]


@given(
    shape=st.sampled_from(SHAPES),
    pieces=st.lists(st.integers(1, 25), min_size=1, max_size=12),
    failed=st.lists(st.integers(0, 30), min_size=12, max_size=12),
)
def test_it_keeps_what_can_be_seen(shape, pieces, failed):
    """Against the plain list of all rows; passes that fail halfway (by 0 to 30 rows) leave no mark."""
    config = TEXT[shape]
    cache = KVCache(config)
    every = {spec.index: np.empty((2, 0, spec.kv_heads, spec.head_dim), np.float32) for spec in owners(config)}
    for count, more in zip(pieces, failed, strict=False):
        for spec in owners(config)[: more % 5]:  # a pass that does not come to its end
            cache.extend(spec.index, *random_rows(spec, more + 1))
        for spec in owners(config):
            new = random_rows(spec, count)
            every[spec.index] = np.concatenate([every[spec.index], new], axis=1)
            keys, values, first = cache.extend(spec.index, *new)
            kept = cache.length if spec.window is None else min(cache.length, spec.window)
            assert first == cache.length - kept
            np.testing.assert_array_equal([keys, values], every[spec.index][:, first:])
        cache.commit(count)
        assert cache.nbytes == cache_bytes(config, cache.length, bytes_per_value=4)
        for spec in owners(config):
            keys, values, first = cache.read(spec.index)
            assert len(keys) == min(cache.length, spec.window or cache.length) == cache.length - first
            np.testing.assert_array_equal([keys, values], every[spec.index][:, first:])
    assert cache.length == sum(pieces[: len(failed)])


def test_a_long_prompt_is_forgotten_where_it_can_be():
    """A local layer does not go on holding the memory of a prompt far longer than its window."""
    config = TEXT["31b"]
    cache = KVCache(config)
    for spec in owners(config):
        cache.extend(spec.index, *random_rows(spec, 1000))
    cache.commit(1000)
    for spec in owners(config):
        keys = cache.read(spec.index)[0]
        held = keys.base if keys.base.base is None else keys.base.base
        assert held.shape[1] <= (2 * spec.window if spec.is_local else 1251)


def test_a_global_layer_grows_in_steps():
    config = TEXT["31b"]
    cache, buffers = KVCache(config), set()
    spec = owners(config)[-1]
    for _ in range(500):
        cache.extend(spec.index, *random_rows(spec, 1))
        cache.commit(1)
        buffers.add(cache.read(spec.index)[0].__array_interface__["data"][0])
    assert len(buffers) < 30  # not one copy of all rows a token


def test_layers_that_share_keep_nothing():
    cache = KVCache(TEXT["e2b"])
    with pytest.raises(KeyError):
        cache.read(7)
    assert repr(cache) == "KVCache(0 tokens, 0 bytes in 7 layers)"
