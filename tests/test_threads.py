"""Large arrays, cut into blocks and shared between threads, give what their rows give one by one."""

import numpy as np
import pytest

from minigemma.ops import FEW, WIDER, clip, gelu, linear, rms_norm
from minigemma.rope import rotate
from minigemma.threads import WORTH_THREADS, each_value, in_blocks

ROWS, WIDTH = 1031, 1026  # no multiples of a block
LARGE = np.random.default_rng(0).standard_normal((ROWS, WIDTH), np.float32)


def test_every_row_once():
    assert LARGE.size > WORTH_THREADS
    for count in (0, 1, 3, ROWS):
        seen = np.zeros((count, WIDTH), np.float32)
        in_blocks(lambda x, seen: np.add(seen, x, out=seen), LARGE[:count], seen)
        np.testing.assert_array_equal(seen, LARGE[:count])


def test_few_long_rows():
    rows, sums = np.ones((3, WORTH_THREADS), np.float32), np.zeros(3)
    in_blocks(lambda rows, sums: np.add(sums, rows.sum(axis=-1), out=sums), rows, sums)
    assert sums.tolist() == [WORTH_THREADS] * 3


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("other", ["C", "F"])
def test_each_value_in_any_order(order, other):
    a, b = LARGE.copy(order), (2 * LARGE).copy(other)
    each_value(np.multiply, a, b, a)
    np.testing.assert_array_equal(a, 2 * LARGE * LARGE)


@pytest.mark.parametrize(
    "x", [LARGE, LARGE.T, LARGE[:, 1:-1], LARGE[::2]], ids=["rows", "columns", "inside", "every second"]
)
def test_operations_are_those_of_single_rows(x, close):
    weight = np.resize(LARGE[0], x.shape[1])
    for operation in (gelu, lambda x: rms_norm(x, weight), lambda x: clip(x, np.float32(-0.5), np.float32(1))):
        close(operation(x), np.array([operation(row[None])[0] for row in x]), 1e-6, "row by row")
    itself = x.copy()
    assert gelu(itself, out=itself) is itself
    close(itself, gelu(x), 1e-7, "in place")


def test_rotation_of_many_tokens(close):
    x = LARGE[:, :1024].reshape(ROWS, 2, 512)
    table = np.cos(LARGE[:, :256]), np.sin(LARGE[:, :256])
    rows = [rotate(x[i : i + 1], (table[0][i : i + 1], table[1][i : i + 1]))[0] for i in range(ROWS)]
    close(rotate(x, table), np.array(rows), 1e-6, "row by row")


@pytest.mark.parametrize("tokens", [1, 2, FEW, FEW + 1])
@pytest.mark.parametrize("wide", [1, WIDER])
def test_linear_however_it_is_laid_out(tokens, wide, close):
    x, weight = LARGE[:tokens, :64], LARGE[: 64 * wide, :64]
    y = linear(x, weight)
    close(y, x.astype(np.float64) @ weight.T, 1e-6, "in float64")
    assert y.flags.c_contiguous or wide == WIDER
