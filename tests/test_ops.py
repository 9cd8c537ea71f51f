"""The operations everything is made of, each against its formula in float64, and at the edges of float32."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minigemma import ops
from minigemma.ops import relative_error

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 16)).astype(np.float32) * 5
WEIGHT = RNG.uniform(0.5, 1.5, 16).astype(np.float32)
finite = st.floats(-1e3, 1e3, width=32)
rows = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=finite)


def test_rms_norm(close):
    x = X.astype(np.float64)
    normed = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
    close(ops.rms_norm(X), normed, 1e-6, "without a weight")
    close(ops.rms_norm(X, WEIGHT), normed * WEIGHT, 1e-6, "the factor is the weight, not 1 + weight")
    assert ops.rms_norm(X, WEIGHT).dtype == np.float32


def test_rms_norm_adds_eps_inside_the_root():
    x = np.array([3e-3, -3e-3], np.float32)
    assert ops.rms_norm(x, None, eps=1.6e-5) == pytest.approx(x / 5e-3, rel=1e-6)  # sqrt(9e-6 + 16e-6)
    assert (ops.rms_norm(np.zeros((2, 8), np.float32)) == 0).all()


def test_layer_norm(close):
    x = X.astype(np.float64)
    centred = x - x.mean(axis=-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6) * WEIGHT
    close(ops.layer_norm(X, WEIGHT), expected, 1e-6, "layer norm")


def test_gelu_is_the_tanh_form(close):
    x = np.linspace(-12, 12, 1001)
    expected = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    close(ops.gelu(x.astype(np.float32)), expected, 1e-6, "gelu")
    by_erf = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])
    assert 1e-4 < np.abs(expected - by_erf).max() < 1e-3  # the other form is close, and not it
    given = x.astype(np.float32)
    ops.gelu(given)
    np.testing.assert_array_equal(given, x.astype(np.float32))  # what was given is not written to


def test_sigmoid_and_silu(close):
    x = np.linspace(-20, 20, 401)
    close(ops.sigmoid(x.astype(np.float32)), 1 / (1 + np.exp(-x)), 1e-6, "sigmoid")
    close(ops.silu(x.astype(np.float32)), x / (1 + np.exp(-x)), 1e-6, "silu")
    assert ops.sigmoid(np.float32([-1e30, 1e30])).tolist() == [0, 1]


@given(rows)
def test_softmax_rows_sum_to_one(x):
    p = ops.softmax(x)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(ops.softmax(x + np.float32(64)), p, rtol=1e-3, atol=1e-6)  # a constant changes nothing


def test_softmax_of_masked_and_huge_scores():
    assert ops.softmax(np.float32([-np.inf, 0, 0])).tolist() == [0, 0.5, 0.5]
    assert ops.softmax(np.float32([1e38, -1e38])).tolist() == [1, 0]
    np.testing.assert_allclose(ops.softmax(X, axis=0).sum(axis=0), 1, rtol=1e-6)


def test_softmax_leaves_its_argument_alone():
    x = X.copy()
    ops.softmax(x)
    np.testing.assert_array_equal(x, X)


@given(rows)
def test_soft_cap(x):
    capped = ops.soft_cap(x, 30.0)
    assert (np.abs(capped) <= 30).all()
    np.testing.assert_allclose(capped, 30 * np.tanh(x.astype(np.float64) / 30), rtol=1e-5, atol=1e-6)
    assert (np.diff(ops.soft_cap(np.sort(x), 30.0)) >= 0).all()  # the order stays
    assert ops.soft_cap(x, None) is x


def test_linear_takes_weights_as_they_are_stored(close):
    weight = RNG.normal(size=(5, 16)).astype(np.float32)
    expected = np.einsum("abi,oi->abo", X.astype(np.float64), weight)
    close(ops.linear(X, weight), expected, 1e-6, "linear")


def test_clipped_linear(close):
    weight = RNG.normal(size=(5, 16)).astype(np.float32)
    bounds = {"input_min": -2.0, "input_max": 3.0, "output_min": -4.0, "output_max": 5.0}
    clipped = np.clip(np.clip(X, -2, 3) @ weight.T, -4, 5)
    weights = {"linear.weight": weight, **{name: np.float32(bound) for name, bound in bounds.items()}}
    close(ops.clipped_linear(X, weights), clipped, 1e-6, "both ends clipped")
    close(ops.clipped_linear(X, {"linear.weight": weight}), X @ weight.T, 0, "no bounds in the checkpoint")


def test_relative_error():
    assert relative_error(np.float32([1, 2]), np.float32([1, 2])) == 0
    assert relative_error(np.array([3.0, 4.4]), np.array([3.0, 4.0])) == pytest.approx(0.08)
    assert relative_error(np.ones(4), np.zeros(4)) == 2  # nothing to be relative to: the difference itself
