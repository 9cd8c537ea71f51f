"""The router step by step, the experts against every expert on every token, and that the others are not read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigemma import naive
from minigemma.checkpoint import Weights
from minigemma.moe import experts, route
from minigemma.ops import softmax
from minigemma.trace import Trace

EPS = 1e-6


def router(seed, D=20, E=12):
    random = np.random.default_rng(seed)
    return Weights.of(
        {
            "proj.weight": random.normal(size=(E, D)) * 3,
            "scale": random.uniform(0.5, 1.5, D),
            "per_expert_scale": random.uniform(0.5, 1.5, E),
        }
    )


def bank(seed, D=20, E=12, F=6):
    random = np.random.default_rng(seed)
    arrays = {"gate_up_proj": random.normal(size=(E, 2 * F, D)), "down_proj": random.normal(size=(E, D, F))}
    return Weights.of({name: array / 3 for name, array in arrays.items()})


def tokens(seed, count, D=20):
    return (np.random.default_rng(seed).normal(size=(count, D)) * 4).astype(np.float32)


def test_route_step_by_step():
    x, weights, trace = tokens(0, 9), router(0), Trace()
    index, weight = route(x, weights, 3, EPS, trace)
    for t, vector in enumerate(x.astype(np.float64)):
        normed = vector / np.sqrt(np.mean(vector**2) + EPS) * weights["scale"] / np.sqrt(20)
        scores = weights["proj.weight"].astype(np.float64) @ normed
        p = np.exp(scores) / np.exp(scores).sum()
        best = sorted(range(12), key=lambda e: -p[e])[:3]
        shares = p[best] / p[best].sum()
        assert index[t].tolist() == best
        np.testing.assert_allclose(weight[t], shares * weights["per_expert_scale"][best], rtol=1e-4)
        np.testing.assert_allclose(trace["router_probabilities"][t], p, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(trace["router_scores"][t], scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(trace["expert_index"], index)
    np.testing.assert_array_equal(trace["expert_weight"], weight)


@given(seed=st.integers(0, 10_000), k=st.integers(1, 12))
def test_kept_probabilities_are_the_softmax_of_the_kept_scores(seed, k):
    trace, weights = Trace(), router(seed)
    index, weight = route(tokens(seed, 5), weights, k, EPS, trace)
    shares = weight / weights["per_expert_scale"][index]  # the scale comes after: only without it they sum to one
    np.testing.assert_allclose(shares.sum(axis=-1), 1, rtol=1e-5)
    kept = np.take_along_axis(trace["router_scores"], index, axis=-1)
    np.testing.assert_allclose(shares, softmax(kept), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(trace["router_probabilities"].sum(axis=-1), 1, rtol=1e-5)
    assert (np.diff(kept, axis=-1) <= 0).all()
    assert all(len(set(row)) == k for row in index)


def test_of_equal_experts_the_lower_number_is_taken():
    weights = {name: array.copy() for name, array in router(1).items()}
    weights["proj.weight"][:] = weights["proj.weight"][0]
    index, weight = route(tokens(1, 4), Weights.of(weights), 3, EPS)
    assert index.tolist() == [[0, 1, 2]] * 4
    np.testing.assert_allclose(weight, weights["per_expert_scale"][:3] / 3 * np.ones((4, 1)), rtol=1e-6)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 30), k=st.integers(1, 12))
def test_grouped_by_expert_is_every_expert_on_every_token(seed, count, k):
    x, weights = tokens(seed, count), bank(seed)
    random = np.random.default_rng(seed)
    index = random.permuted(np.tile(np.arange(12), (count, 1)), axis=1)[:, :k]
    weight = random.uniform(0, 1.5, (count, k)).astype(np.float32)
    expected = naive.experts(x, index, weight, weights)
    np.testing.assert_allclose(experts(x, index, weight, weights), expected, rtol=1e-3, atol=1e-4)


def test_gate_comes_first_and_is_what_gelu_acts_on():
    """One expert whose gate is large: gelu(g) = g there, so its output is g * up, not gelu(up) * g."""
    weights = Weights.of({"gate_up_proj": [[[100.0], [-2.0]]], "down_proj": [[[1.0]]]})
    x, first = np.ones((1, 1), np.float32), np.zeros((1, 1), int)
    assert experts(x, first, np.ones((1, 1), np.float32), weights) == pytest.approx(-200)


class Counting(dict):
    """Arrays that note which of their matrices are read."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.read = set()

    def matrix(self, name, i):
        self.read.add((name, i))
        return self[name][i]


def test_experts_that_nobody_chose_are_not_read():
    source = Counting(dict(bank(0)))
    index = np.array([[3, 5], [5, 11]])
    experts(tokens(0, 2), index, np.ones((2, 2), np.float32), Weights(source))
    assert source.read == {(name, e) for name in ("gate_up_proj", "down_proj") for e in (3, 5, 11)}
