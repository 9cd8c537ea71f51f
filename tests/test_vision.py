"""The vision tower against goldens of the reference, and its own promises: places, memory, names, errors."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
import vision_case as case

from minigemma import vision
from minigemma.checkpoint import Weights
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.ops import relative_error
from minigemma.rope import rotate
from minigemma.trace import Trace
from minigemma.vision.encoder import rotate_2d, rotations_2d
from minigemma.vision.patches import grid, patchify, unpatchify
from minigemma.vision.pooling import cells, pool_patches

TOWERS = {"small": (case.SMALL, 11), "large": (case.LARGE, 12)}


@pytest.fixture(scope="module", params=TOWERS)
def tower(request):
    config, seed = TOWERS[request.param]
    return request.param, config, Weights.of(case.random_tower(config, seed)), case.random_images(seed)


def test_every_stage_equals_the_reference(tower):
    name, config, weights, images = tower
    golden, _ = case.goldens()
    for i, image in enumerate(images):
        trace = Trace()
        soft = vision.encode(*image, weights.under("vision_tower."), config, trace.under("images.0"))
        for layer, expected in enumerate(golden[f"{name}.{i}.layers"]):
            assert relative_error(trace[f"images.0.layers.{layer}.output"], expected) < 1e-5, (i, layer)
        assert relative_error(soft, golden[f"{name}.{i}.soft"]) < 1e-5
        projected = vision.project(soft, weights.under("embed_vision."), config.rms_norm_eps, trace.under("images.0"))
        assert relative_error(projected, golden[f"{name}.{i}.projected"]) < 1e-5
        assert trace["images.0.soft_tokens"] is not projected
        assert soft.dtype == projected.dtype == np.float32


def test_clip_bounds_bite():
    """Without its bounds the small tower gives something else: the goldens would notice."""
    weights, image = case.random_tower(case.SMALL, 11), case.random_images(11)[0]
    bare = {n: t for n, t in weights.items() if not n.endswith(("_min", "_max"))}
    clipped, free = (vision.encode(*image, Weights.of(w).under("vision_tower."), case.SMALL) for w in (weights, bare))
    assert relative_error(free, clipped) > 0.1


def test_names_in_a_trace(tower):
    _, config, weights, images = tower
    trace = Trace()
    config = dataclasses.replace(config, num_hidden_layers=1)
    vision.encode(*images[0], weights.under("vision_tower."), config, trace.under("images.0"))
    attention = ["input", "queries", "keys", "values", "scores", "pattern", "heads", "output", "added"]
    feed_forward = ["input", "gate", "inner", "output", "added"]
    layer = ["input", *[f"attention.{n}" for n in attention], "middle", *[f"feed_forward.{n}" for n in feed_forward]]
    expected = ["patch_embedding", "position_embedding", *[f"layers.0.{n}" for n in [*layer, "output"]], "pooled"]
    assert list(trace) == [f"images.0.{n}" for n in expected + ["standardised"] * config.standardize]
    N, H = len(images[0][0]), config.num_attention_heads
    pattern = trace["images.0.layers.0.attention.pattern"]
    assert pattern.shape == (H, N, N)
    np.testing.assert_allclose(pattern.sum(axis=-1), 1, rtol=1e-5)
    assert pattern.min() > 0  # nothing is hidden from anything
    assert trace["images.0.layers.0.feed_forward.gate"].shape == (N, config.intermediate_size)


def test_watching_changes_nothing(tower, monkeypatch):
    """A traced pass keeps whole patterns, a plain one works in blocks of queries: here three to a head."""
    _, config, weights, images = tower
    monkeypatch.setattr("minigemma.vision.encoder.SCORES_AT_ONCE", 20 * len(images[0][0]))
    plain = vision.encode(*images[0], weights.under("vision_tower."), config)
    assert relative_error(plain, vision.encode(*images[0], weights.under("vision_tower."), config, Trace())) < 1e-6


def test_an_edit_changes_the_result(tower):
    _, config, weights, images = tower
    plain = vision.encode(*images[0], weights.under("vision_tower."), config)
    trace = Trace(edit={"layers.1.attention.values": lambda values: values * 0})
    assert relative_error(vision.encode(*images[0], weights.under("vision_tower."), config, trace), plain) > 0.01


def test_order_of_patches_does_not_matter(tower):
    """Place is in the positions, not in the order of the rows."""
    _, config, weights, images = tower
    patches, positions = images[0]
    order = np.random.default_rng(0).permutation(len(patches))
    straight = vision.encode(patches, positions, weights.under("vision_tower."), config)
    shuffled = vision.encode(patches[order], positions[order], weights.under("vision_tower."), config)
    assert relative_error(shuffled, straight) < 1e-5


def test_rotation_by_x_then_y():
    """The first half of a head turns with x alone, the second with y; scores depend on offsets only."""
    config = case.LARGE
    head = np.random.default_rng(0).standard_normal((1, 2, config.head_dim)).astype(np.float32)

    def at(x, y):
        return rotate_2d(head, rotations_2d(np.array([[x, y]]), config))[0]

    half = config.head_dim // 2
    np.testing.assert_array_equal(at(3, 0)[:, half:], head[0, :, half:])
    np.testing.assert_array_equal(at(0, 3)[:, :half], head[0, :, :half])
    assert np.abs(at(3, 0)[:, :half] - head[0, :, :half]).max() > 0.1
    np.testing.assert_allclose(at(1, 2) @ at(4, 7).T, at(11, 20) @ at(14, 25).T, rtol=1e-4, atol=1e-4)

    # by hand: frequencies 100^(-2j / (K/2)) for K/4 pairs, pair j is (j, j + K/4) inside the half
    frequencies = 100.0 ** (-2 * np.arange(config.head_dim // 4) / half)
    turn = (np.cos(5 * frequencies)[None], np.sin(5 * frequencies)[None])
    np.testing.assert_allclose(at(5, 0)[:, :half], rotate(head[..., :half], turn)[0], rtol=1e-5, atol=1e-6)


def test_patches_and_back():
    image = np.arange(48 * 96 * 3).reshape(48, 96, 3)
    patches, positions = patchify(image), grid(6, 3)
    assert patches.shape == (18, 768)
    np.testing.assert_array_equal(positions[:7], [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [0, 1]])
    np.testing.assert_array_equal(patches[7], image[16:32, 16:32].reshape(-1))  # (x, y) = (1, 1): row, column, channel
    np.testing.assert_array_equal(unpatchify(patches, positions), image)


def test_pooling_by_hand():
    positions = grid(6, 6)
    x = np.random.default_rng(0).standard_normal((36, 5)).astype(np.float32)
    by_hand = x.reshape(2, 3, 2, 3, 5).mean(axis=(1, 3)).reshape(4, 5) * 5**0.5
    np.testing.assert_allclose(pool_patches(x, positions), by_hand, rtol=1e-5, atol=1e-6)
    assert pool_patches(x[positions[:, 0] < 3], positions[positions[:, 0] < 3]).shape == (2, 5)
    with pytest.raises(InputError, match="5 x 6"):
        cells(grid(5, 6))


def test_memory_is_bounded():
    """The largest picture through one layer of the large tower's true width: its pattern alone would be 6.5 GB."""
    config = dataclasses.replace(PRESETS["31B"].vision, num_hidden_layers=1, position_embedding_size=128)
    weights = Weights.of(case.random_tower(config, 0)).under("vision_tower.")
    image = case.random_images(0, [(120, 84)])[0]
    assert len(image[0]) == 1120 * 9 == 10_080
    tracemalloc.start()
    soft = vision.encode(*image, weights, config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert soft.shape == (1120, 1152)
    assert np.isfinite(soft).all()
    assert peak < 0.7e9  # 0.54 as measured; a GB is what was promised


def test_wrong_patches_are_named(tower):
    _, config, weights, images = tower
    patches, positions = images[0]
    for wrong, message in (
        ((patches[:, :100], positions), r"\(54, 100\)"),
        ((patches, positions[:-1]), r"\(53, 2\)"),
        ((patches[:0], positions[:0]), "expected"),
        ((patches, positions.astype(float)), "float64"),
        ((patches, positions - 1), "padding"),
        ((patches, positions + 30), "39 patches long.*32"),
    ):
        with pytest.raises(InputError, match=message):
            vision.encode(*wrong, weights.under("vision_tower."), config)
