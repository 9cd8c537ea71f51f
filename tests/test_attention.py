"""Attention in blocks against one head at a time; queries, keys, values against their formulas; what is never made."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import TEXT

from minigemma import attention, naive
from minigemma.checkpoint import Weights
from minigemma.interleaving import image_block_ends, schedule, visible_keys
from minigemma.ops import rms_norm
from minigemma.rope import rotate, rotation_frequencies, rotation_table
from minigemma.trace import Trace

EPS = 1e-6


def heads(seed, T, S, H, G, K):
    """Queries (T, H, K), keys and values (S, G, K)."""
    random = np.random.default_rng(seed)
    return (random.normal(size=shape).astype(np.float32) for shape in ((T, H, K), (S, G, K), (S, G, K)))


@st.composite
def cases(draw):
    """T queries at the end of S tokens, some of them images; a window or none; blocks of any size."""
    S = draw(st.integers(1, 40))
    T = draw(st.integers(1, S))
    G, group = draw(st.sampled_from([(1, 1), (1, 4), (2, 1), (2, 3), (3, 2)]))
    is_image = np.array(draw(st.lists(st.booleans(), min_size=T, max_size=T)))
    ends = image_block_ends(is_image, S - T) if draw(st.booleans()) else None
    window = draw(st.none() | st.integers(1, 50))
    rows = draw(st.sampled_from([1, 2, 7, 1000]))
    return S, T, G, G * group, ends, window, rows, draw(st.integers(0, 2**32 - 1))


@given(case=cases())
def test_blocks_are_the_whole(case):
    S, T, G, H, ends, window, rows, seed = case
    queries, keys, values = heads(seed, T, S, H, G, K=8)
    first, last = visible_keys(np.arange(S - T, S), window, ends)
    mask = (np.arange(S) >= first[:, None]) & (np.arange(S) <= last[:, None])
    expected = naive.attend(queries, keys, values, mask)

    with pytest.MonkeyPatch.context() as patch:
        cut = [slice(start, min(start + rows, T)) for start in range(0, T, rows)]
        patch.setattr(attention, "query_blocks", lambda *_: cut)
        found = attention.attend(queries, keys, values, first, last)
        gone = int(first.min())  # what a cache may have forgotten already
        short = attention.attend(queries, keys[gone:], values[gone:], first, last, key_start=gone)
        trace = Trace()
        watched = attention.attend(queries, keys[gone:], values[gone:], first, last, trace, key_start=gone)
    for ours in (found, short, watched):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)

    pattern = trace["pattern"]
    assert pattern.shape == trace["scores"].shape == (H, T, S)  # keys in absolute positions, whatever was forgotten
    np.testing.assert_array_equal(pattern > 0, np.broadcast_to(mask, pattern.shape))
    np.testing.assert_array_equal(np.isfinite(trace["scores"]), pattern > 0)
    np.testing.assert_allclose(pattern.sum(axis=-1), 1, rtol=1e-5)


@given(tokens=st.integers(1, 700), window=st.none() | st.integers(1, 600), heads=st.sampled_from([1, 8, 32]))
def test_query_blocks_cut_all_queries_once(tokens, window, heads):
    first, last = visible_keys(np.arange(tokens), window)
    blocks = attention.query_blocks(first, last, heads)
    assert np.concatenate([np.arange(tokens)[rows] for rows in blocks]).tolist() == list(range(tokens))


def block_sizes(monkeypatch, T, window, H=4, G=2, K=16):
    """The shape of every block of scores that is made, and the most memory used meanwhile."""
    queries, keys, values = heads(0, T, T, H, G, K)
    shapes, plain = [], attention.masked_scores

    def spy(*arguments):
        scores = plain(*arguments)
        shapes.append(scores.shape)
        return scores

    monkeypatch.setattr(attention, "masked_scores", spy)
    first, last = visible_keys(np.arange(T), window)
    tracemalloc.start()
    attention.attend(queries, keys, values, first, last)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return shapes, peak


def test_a_local_layer_never_makes_all_scores(monkeypatch):
    T, window, H, K = 4096, 64, 4, 16
    shapes, peak = block_sizes(monkeypatch, T, window, H, K=K)
    assert sum(h * t * s for h, t, s in shapes) <= 2.5 * H * T * window  # linear in T
    assert max(h * t * s for h, t, s in shapes) <= attention.SCORES_AT_ONCE
    heads_alone = 4 * T * H * K
    assert peak < heads_alone + 2**20 < 4 * H * T * T / 50  # the outputs, a block or two, and nothing (H, T, T)


def test_a_global_layer_makes_its_scores_in_blocks(monkeypatch):
    T, H = 3000, 4
    shapes, peak = block_sizes(monkeypatch, T, None, H)
    assert len(shapes) > 3
    assert max(h * t * s for h, t, s in shapes) <= attention.SCORES_AT_ONCE
    assert sum(h * t * s for h, t, s in shapes) < 0.7 * H * T * T  # what lies ahead of a block is left out
    assert peak < 3 * 4 * attention.SCORES_AT_ONCE


def test_an_edited_pattern_is_what_the_values_are_mixed_with():
    queries, keys, values = heads(1, 5, 5, 2, 1, 8)
    seen = visible_keys(np.arange(5), None)
    equal = np.broadcast_to(np.tri(5) / np.arange(1, 6)[:, None], (2, 5, 5)).astype(np.float32)
    found = attention.attend(queries, keys, values, *seen, Trace(edit={"pattern": lambda pattern: equal}))
    means = np.cumsum(values[:, 0], axis=0) / np.arange(1, 6)[:, None]
    np.testing.assert_allclose(found, np.repeat(means[:, None], 2, axis=1), rtol=1e-5, atol=1e-6)


# --- queries, keys, values ------------------------------------------------------------------------------------------


def one_layer(shape, i):
    """A layer's record, weights and rotation, an input (T, D), and the projections by hand in float64."""
    spec, config, random = schedule(TEXT[shape])[i], TEXT[shape], np.random.default_rng(i)
    shapes = {
        "q_proj.weight": (spec.heads * spec.head_dim, config.hidden_size),
        "k_proj.weight": (spec.kv_heads * spec.head_dim, config.hidden_size),
        "q_norm.weight": (spec.head_dim,),
        "k_norm.weight": (spec.head_dim,),
    }
    if not spec.k_eq_v:
        shapes["v_proj.weight"] = shapes["k_proj.weight"]
    weights = Weights.of({name: random.normal(size=size) for name, size in shapes.items()})
    x = random.normal(size=(7, config.hidden_size)).astype(np.float32)
    frequencies = rotation_frequencies(spec.head_dim, spec.rope_theta, spec.rope_fraction)
    project = lambda name: np.einsum("td,od->to", x, weights[name], dtype=np.float64).reshape(7, -1, spec.head_dim)  # noqa: E731
    return spec, weights, rotation_table(np.arange(7), frequencies), x, project


@pytest.mark.parametrize(("shape", "i"), [("e2b", 0), ("e2b", 2), ("26b", 0), ("26b", 4), ("31b", 5)])
def test_queries_keys_and_values(shape, i, close):
    """Norm, then rotation, no 1/sqrt(K); values normed without a weight and never rotated."""
    spec, weights, rotation, x, project = one_layer(shape, i)
    queries = attention.make_queries(x, spec, weights, rotation, EPS)
    keys, values = attention.make_keys_values(x, spec, weights, rotation, EPS)
    q, k, v = (
        project("q_proj.weight"),
        project("k_proj.weight"),
        project("k_proj.weight" if spec.k_eq_v else "v_proj.weight"),
    )
    close(queries, rotate(rms_norm(q, weights["q_norm.weight"]), rotation), 1e-5, "queries")
    close(keys, rotate(rms_norm(k, weights["k_norm.weight"]), rotation), 1e-5, "keys")
    close(values, rms_norm(v), 1e-5, "values")
    assert (queries.shape[1], keys.shape[1], values.shape[1]) == (spec.heads, spec.kv_heads, spec.kv_heads)
    np.testing.assert_allclose(np.linalg.norm(values, axis=-1), np.sqrt(spec.head_dim), rtol=1e-4)


@pytest.mark.parametrize(("shape", "i"), [("26b", 4), ("31b", 11)])
def test_where_keys_and_values_come_from_one_projection(shape, i):
    """K = RoPE(V * w): bit for bit V * w where nothing turns, and something else where it does."""
    spec, weights, rotation, x, _ = one_layer(shape, i)
    keys, values = attention.make_keys_values(x, spec, weights, rotation, EPS)
    weighted = values * weights["k_norm.weight"]
    np.testing.assert_array_equal(keys, rotate(weighted, rotation))
    turning = np.tile(np.arange(spec.head_dim // 2) < spec.head_dim // 8, 2)  # a quarter of the pairs
    np.testing.assert_array_equal(keys[..., ~turning], weighted[..., ~turning])
    assert (keys[1:, :, turning] != weighted[1:, :, turning]).mean() > 0.9


def test_query_heads_share_the_keys_of_their_group():
    """Query heads 0 to 2 read KV head 0, heads 3 to 5 KV head 1."""
    queries, keys, values = heads(2, 4, 4, 6, 2, 8)
    values[:, 0], values[:, 1] = 1, 2
    found = attention.attend(queries, keys, values, *visible_keys(np.arange(4), None))
    np.testing.assert_allclose(found[:, :3], 1, rtol=1e-6)
    np.testing.assert_allclose(found[:, 3:], 2, rtol=1e-6)


def test_one_token_sees_itself_and_nothing_else():
    queries, keys, values = heads(3, 1, 1, 4, 2, 8)
    found = attention.attend(queries, keys, values, *visible_keys(np.arange(1), 1))
    np.testing.assert_allclose(found, np.repeat(values, 2, axis=1), rtol=1e-6)


def test_what_gemma_3_does_otherwise():
    """Scaled queries, values as they are projected: two numbers of the config."""
    spec, weights, rotation, x, project = one_layer("e2b", 0)
    older = dataclasses.replace(spec, attention_scale=0.25, value_norm=False)
    plain = attention.make_queries(x, spec, weights, rotation, EPS)
    np.testing.assert_allclose(attention.make_queries(x, older, weights, rotation, EPS), plain * 0.25, rtol=1e-6)
    values = attention.make_keys_values(x, older, weights, rotation, EPS)[1]
    np.testing.assert_allclose(values, project("v_proj.weight"), rtol=1e-4, atol=1e-5)
