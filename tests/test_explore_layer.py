"""The walk through a layer: its steps against the arithmetic they name, and every control of its explorer moved."""

import warnings

import matplotlib as mpl
import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model, move_everything
from gemma3_models import HUB, small_gemma3

from minigemma import plots
from minigemma.errors import InputError
from minigemma.explore import layer_player
from minigemma.explore.layer import LONGEST
from minigemma.layer_steps import TRACED, Step, fading, ladder, layer_steps, stream_shares
from minigemma.ops import linear, rms_norm
from minigemma.trace import Trace

IDS = list(range(3, 20))


def walked(model, layer):
    trace = Trace(*TRACED)
    model.forward(IDS, trace=trace)
    return layer_steps(model, trace, layer)


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_a_layer(shape):
    model = letter_model(shape)
    for spec in model.schedule:
        steps = walked(model, spec.index)
        named = {step.name: step.value for step in steps}
        weights = model.text_weights.under(f"layers.{spec.index}.")
        stream = [step.value for step in steps if step.stream]
        assert len(stream) == 4 + (shape in ("e2b", "e4b"))  # input, after each branch, output
        added = [steps[i - 1].value for i, step in enumerate(steps) if step.stream and i and step is not steps[-1]]
        for before, branch, after in zip(stream[:-2], added, stream[1:-1], strict=True):
            np.testing.assert_allclose(before + branch, after, atol=1e-5)
        np.testing.assert_allclose(stream[-2] * weights["layer_scalar"], stream[-1], atol=1e-5)
        np.testing.assert_array_equal(
            rms_norm(stream[0], weights["input_layernorm.weight"], model.config.text.rms_norm_eps), steps[1].value
        )
        projected = linear(steps[1].value, weights["self_attn.q_proj.weight"])
        np.testing.assert_allclose(named["queries"].reshape(len(IDS), -1), projected, atol=1e-5)
        assert ("keys, borrowed" in named) == spec.shares_kv != ("keys" in named)
        assert ("expert weights" in named) == (shape == "26b")
        for step in steps:
            assert len(step.letters.split(", ")) == step.value.ndim, step.name
            assert np.isfinite(step.rms), step.name
        np.testing.assert_allclose(named["softmax"].sum(axis=-1), 1, atol=1e-5)
        if spec.experts:
            assert np.all((named["expert weights"] > 0).sum(axis=1) == model.config.text.top_k_experts)


def test_the_last_steps_meet_the_next_layer():
    model = letter_model("26b")
    np.testing.assert_array_equal(walked(model, 3)[-1].value, walked(model, 4)[0].value)


def test_a_model_of_the_generation_before():
    steps = {step.name: step for step in walked(small_gemma3(next(iter(HUB)), 1), 0)}
    assert "values" in steps
    assert "values, normed" not in steps
    assert "scaled" in steps["scores"].does


@pytest.mark.parametrize("shape", SHAPES)
def test_every_control_moves(shape):
    model = letter_model(shape)
    assert move_everything(layer_player(model, "some words", 1)) > 4


def test_every_step_of_every_layer_is_drawn():
    explorer = layer_player(letter_model("26b"), "some words", 4)
    for step in range(explorer.controls["step"].max + 1):
        explorer.controls["step"].value = step
        assert explorer.message.value == ""


def test_a_layer_with_fewer_steps_ends_earlier():
    explorer = layer_player(letter_model("e2b"), "some words", 0)
    explorer.controls["step"].value = last = explorer.controls["step"].max
    explorer.controls["layer"].value = 11  # reads the keys of another
    assert explorer.controls["step"].value == explorer.controls["step"].max < last
    assert explorer.message.value == ""


def test_long_and_empty_texts():
    explorer = layer_player(letter_model("31b"), "word " * 20, 0)
    assert explorer.message.value == ""
    explorer.controls["sentence"].value = "  "
    assert "no text to read" in explorer.message.value
    assert LONGEST < 100


def test_what_is_not_there_is_refused():
    model = letter_model("e2b")
    steps, tokens = walked(model, 0), [""] * len(IDS)
    with pytest.raises(InputError, match="layers 0 to 11"):
        layer_steps(model, {}, 12)
    with pytest.raises(InputError, match="steps 0 to"):
        plots.layer_step(steps, len(steps), tokens)
    with pytest.raises(InputError, match="query heads 0 to 3"):
        plots.layer_step(steps, 2, tokens, head=4, heads=4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shares_of_the_stream_are_all_of_it(shape):
    model, trace = letter_model(shape), Trace(*TRACED)
    model.forward(IDS, trace=trace)
    shares = stream_shares(model, trace)
    assert sum(part.sum() for part in shares.values()) == pytest.approx(1, abs=1e-5)
    assert ("PLE" in shares) == (shape in ("e2b", "e4b"))
    assert plots.stream_shares(shares, model.schedule).axes
    with pytest.raises(InputError, match="expected"):
        plots.stream_shares({"attention": np.ones(3)})


def test_fading_includes_the_layers_own_scalar():
    np.testing.assert_allclose(fading([0.5, 0.1, 2.0]), [0.1, 0.2, 2.0])


def test_the_ladder_names_every_step_once():
    steps = walked(letter_model("26b"), 2)
    sizes = ladder(steps)
    assert len(sizes) == sum(step.letters == "T, D" for step in steps)
    assert sizes["stream: input"] == pytest.approx(steps[0].rms)


def wide_step(width):
    rng = np.random.default_rng(0)
    return Step("attention", "normed", "x / rms(x)", "T, D", rng.normal(size=(32, width)).astype(np.float32))


@pytest.mark.parametrize("width", [512, 513, 21_504])
def test_wide_tensors_are_gathered_and_the_picture_says_so(width):
    figure = plots.layer_step([wide_step(width)] * 30, 3, ["$a_1$", "\n", "日本語", "a" * 40] * 8, title="Layer 0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    [image] = [image for axes in figure.axes for image in axes.get_images() if axes.get_label() != "<colorbar>"]
    texts = [text for text in figure.findobj(mpl.text.Text) if text.get_text().strip() and text.get_visible()]
    assert image.get_array().shape[1] <= 512
    assert image.get_extent()[1] >= width - 0.5
    assert min(text.get_fontsize() for text in texts) >= plots.style.SMALL
    assert any("neighbours" in text.get_text() for text in texts) == (width > 512)


def test_the_largest_neighbour_is_kept_with_its_sign():
    step = wide_step(1024)
    step.value[0, 701] = -9
    figure = plots.layer_step([step], 0, ["a"] * 32)
    [image] = [image for axes in figure.axes for image in axes.get_images() if axes.get_label() != "<colorbar>"]
    assert image.get_array()[0, 350] == -9
