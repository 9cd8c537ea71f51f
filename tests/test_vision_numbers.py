"""The numbers behind the pictures of the vision part, against the modules that do the work."""

import dataclasses

import numpy as np
import pytest
import vision_case as case
from hypothesis import given
from hypothesis import strategies as st

from minigemma import vision
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.vision import numbers
from minigemma.vision.encoder import rotate_2d, rotations_2d
from minigemma.vision.patches import grid
from minigemma.vision.pooling import cells

CONFIG = PRESETS["31B"].vision


def test_budget_table_is_what_is_made():
    photo = case.synthetic_photo()
    for row in numbers.budget_table(photo.shape[1], photo.shape[0]):
        patches, positions = vision.prepare(photo, row.budget)
        assert (row.width // 16, row.height // 16) == tuple(positions.max(axis=0) + 1)
        assert (row.patches, row.soft_tokens) == (len(patches), vision.soft_token_count(positions))


@given(st.floats(0.001, 1000), st.sampled_from(vision.BUDGETS))
def test_soft_tokens_by_shape(ratio, budget):
    (tokens,) = numbers.soft_tokens_by_shape(np.array([ratio]), budget)
    assert 0.4 * budget < tokens <= budget


def test_soft_tokens_by_shape_of_known_pictures():
    np.testing.assert_array_equal(
        numbers.soft_tokens_by_shape(np.array([1.0, 4 / 3, 16 / 9, 1.5])), [256, 266, 264, 260]
    )


def test_angles_are_those_of_the_encoder():
    positions = grid(7, 5)
    angles = numbers.rotation_angles(positions, CONFIG)
    assert angles.shape == (2, 35, 18)
    for ours, (cos, sin) in zip(angles, rotations_2d(positions, CONFIG), strict=True):
        np.testing.assert_allclose(np.cos(ours), cos, atol=1e-6)
        np.testing.assert_allclose(np.sin(ours), sin, atol=1e-6)


def test_likeness_is_the_score_of_equal_content():
    """A head of ones in one coordinate of every pair, rotated by the encoder: the score of two places."""
    positions, K = grid(6, 9), CONFIG.head_dim
    head = np.zeros((len(positions), 1, K), np.float32)
    head[..., np.arange(K) % (K // 2) < K // 4] = 1
    turned = rotate_2d(head, rotations_2d(positions, CONFIG))[:, 0]
    scores = turned @ turned[20] / (K // 2)
    np.testing.assert_allclose(numbers.rotation_likeness(positions, 20, CONFIG).mean(axis=1), scores, atol=1e-6)
    assert numbers.rotation_likeness(positions, 20, CONFIG)[20].tolist() == [1, 1]


def test_cosines():
    a = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(numbers.cosines(a, np.array([[1.0, 0.0], [-6.0, -8.0]])), [[0.6, -1], [0, 0]])


def test_corners_are_the_first_patches_of_the_cells():
    positions = grid(9, 6)
    first = [positions[cells(positions) == i].min(axis=0) for i in range(6)]
    np.testing.assert_array_equal(numbers.token_corners(positions), first)


def test_attention_to_an_image():
    is_image = np.array([0, 1, 1, 0, 1, 1, 1], bool)
    assert numbers.image_runs(is_image) == [slice(1, 3), slice(4, 7)]
    assert numbers.image_runs(np.zeros(3, bool)) == []
    patterns = np.random.default_rng(0).dirichlet(np.ones(7), (2, 4, 7))  # two layers, four heads
    weights = numbers.attention_to(slice(4, 7), list(patterns))
    np.testing.assert_allclose(weights, patterns.mean(axis=(0, 1))[:, 4:7])
    with pytest.raises(InputError, match="pattern"):
        numbers.attention_to(slice(4, 7), [])


def test_pattern_bytes():
    assert numbers.pattern_bytes(10_080, CONFIG) == 16 * 10_080**2 * 4  # 6.5 GB a layer
    assert numbers.pattern_bytes(9, dataclasses.replace(CONFIG, num_attention_heads=2), 2) == 2 * 81 * 2
