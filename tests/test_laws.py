"""Laws that hold for every prompt: how it is cut into passes, what a token may depend on, what a pattern is."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SHAPES, TEXT_IDS, random_gemma

from minigemma import naive
from minigemma.trace import Trace

prompts = st.lists(st.integers(0, TEXT_IDS - 1), min_size=1, max_size=60)  # up to fifteen windows
few = settings(max_examples=12)


def pieces(ids, cuts):
    """A prompt cut at the given places."""
    edges = sorted({0, len(ids), *(cut % len(ids) for cut in cuts)})
    return [ids[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("shape", SHAPES)
@few
@given(ids=prompts, cuts=st.lists(st.integers(0, 59), max_size=8), last_only=st.booleans())
def test_in_pieces_as_in_one(shape, ids, cuts, last_only):
    """At every position, however the prompt is cut; a piece of which only the last logits were wanted is no worse."""
    model = random_gemma(shape)
    whole, cache, start = model.forward(ids), model.new_cache(), 0
    for piece in pieces(ids, cuts):
        logits = model.forward(piece, cache=cache, last_only=last_only)
        expected = whole[start : start + len(piece)]
        np.testing.assert_allclose(logits, expected[-1:] if last_only else expected, rtol=1e-3, atol=1e-4)
        start += len(piece)
    assert cache.length == len(ids)


@pytest.mark.parametrize("shape", SHAPES)
def test_token_by_token(shape):
    model, ids = random_gemma(shape), np.random.default_rng(0).integers(0, TEXT_IDS, 50)
    cache = model.new_cache()
    one_by_one = np.concatenate([model.forward([i], cache=cache) for i in ids])
    np.testing.assert_allclose(one_by_one, model.forward(ids), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@few
@given(ids=prompts)
def test_patterns(shape, ids):
    """Rows sum to one, and weight lies exactly where the rule lets a query look."""
    model, trace = random_gemma(shape), Trace("layers.*.attention.pattern")
    model.forward(ids, trace=trace)
    assert len(trace) == model.config.text.num_hidden_layers
    for spec, pattern in zip(model.schedule, trace.values(), strict=True):
        np.testing.assert_allclose(pattern.sum(axis=-1), 1, rtol=1e-5)
        np.testing.assert_array_equal(pattern > 0, np.tile(naive.mask(len(ids), spec.window), (spec.heads, 1, 1)))


@pytest.mark.parametrize("shape", SHAPES)
@few
@given(ids=prompts, more=prompts)
def test_no_token_depends_on_a_later_one(shape, ids, more):
    model = random_gemma(shape)
    np.testing.assert_allclose(model.forward([*ids, *more])[: len(ids)], model.forward(ids), rtol=1e-3, atol=1e-4)


@few
@given(ids=st.lists(st.integers(0, TEXT_IDS - 1), min_size=30, max_size=40), change=st.integers(0, TEXT_IDS - 1))
def test_local_layers_alone_reach_so_far(ids, change):
    """Three local layers of window 3 carry a token 3 * 2 positions ahead, and not one further."""
    config = {"num_hidden_layers": 3, "layer_types": ("sliding_attention",) * 3, "num_kv_shared_layers": 0}
    model = random_gemma("e2b", sliding_window=3, **config)
    other = [change if change != ids[0] else (change + 1) % TEXT_IDS, *ids[1:]]
    differs = (model.forward(ids) != model.forward(other)).any(axis=-1)
    assert (np.flatnonzero(differs) == np.arange(7)).all()
