"""The decoder against the installed transformers, live: every step, caches, continuations, odd configurations."""

import numpy as np
import pytest
from small_models import SHAPES, TEXT, draw_ids, media_prompt

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
from reference import random_model, reference_generate, reference_inputs, reference_run, save, twin  # noqa: E402

from minigemma.generate import next_token_probabilities  # noqa: E402
from minigemma.model import load  # noqa: E402
from minigemma.trace import Trace  # noqa: E402

pytestmark = pytest.mark.reference
TOLERANCE = 1e-4
NOT_TRACED = ("moe.expert_input", "moe.expert_output", ".cos", ".sin")  # inside functions; compared in test_text_golden


def compare_every_step(model, close, ids, images=(), audio=()):
    """All that hooks can see of the reference, against the trace of the same forward pass."""
    expected, trace = reference_run(model, ids, images, audio), Trace()
    logits = twin(model).forward(ids, images, audio, trace=trace)
    for name, array in expected.items():
        if name.endswith(NOT_TRACED):
            continue
        if name.endswith("expert_index"):
            np.testing.assert_array_equal(np.sort(trace[name]), np.sort(array), err_msg=name)
        else:
            close(trace[name], array, TOLERANCE, name)
    close(logits, expected["logits"], TOLERANCE, "logits")


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_left_at_its_initial_value(shape):
    for name, tensor in random_model(shape, seed=1, towers=True).state_dict().items():
        assert torch.isfinite(tensor).all(), name
        neutral = (tensor == 0) | (tensor == 1)
        assert not neutral.all(), name
        assert tensor.numel() == 1 or tensor.std() > 0, name
    assert all(tensor.abs().sum() > 0 for name, tensor in random_model(shape).state_dict().items() if "embed" in name)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [1, 2, 45])
def test_every_step(shape, length, close):
    compare_every_step(random_model(shape, seed=length), close, draw_ids(length, seed=3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beyond", [0, 1])
def test_a_prompt_as_long_as_the_window(shape, beyond, close):
    compare_every_step(random_model(shape, seed=5), close, draw_ids(TEXT[shape].sliding_window + beyond, seed=5))


@pytest.mark.parametrize(
    ("shape", "overrides"),
    [
        ("e2b", {"num_kv_shared_layers": 0}),
        ("e2b", {"use_double_wide_mlp": False}),
        ("e2b", {"sliding_window": 1}),
        ("e4b", {"final_logit_softcapping": None}),
        ("e4b", {"rope_fraction_global": 0.5, "rope_theta_local": 123.0, "rope_theta_global": 4567.0}),
        ("26b", {"top_k_experts": 1}),
        ("26b", {"top_k_experts": 12}),
        ("26b", {"attention_k_eq_v": False, "num_global_key_value_heads": 2}),
        ("31b", {"rms_norm_eps": 0.1}),
        ("31b", {"sliding_window": 100}),
        ("31b", {"hidden_size_per_layer_input": 12, "num_kv_shared_layers": 4}),
    ],
)
def test_odd_configurations(shape, overrides, close):
    compare_every_step(random_model(shape, seed=11, **overrides), close, draw_ids(21, seed=11))


@pytest.mark.parametrize("shape", ["e2b", "26b", "31b"])
def test_images_and_sounds(shape, close):
    ids, images, audio = media_prompt(shape, seed=2)
    compare_every_step(random_model(shape, seed=2, towers=True), close, ids, images, audio)


def test_experts_that_are_equally_probable(close):
    """Twin experts, an odd number chosen: either twin may be taken, and the output may not depend on which."""
    model = random_model("26b", seed=4)
    for name, tensor in model.state_dict().items():
        if "experts" in name or name.endswith(("router.proj.weight", "per_expert_scale")):
            tensor[1::2] = tensor[::2]
    ids = draw_ids(30, seed=4)
    expected, trace = reference_run(model, ids), Trace()
    close(twin(model).forward(ids, trace=trace), expected["logits"], TOLERANCE, "logits")
    for name, index in trace.match("*.expert_index").items():
        np.testing.assert_array_equal(np.sort(index // 2), np.sort(expected[name] // 2), err_msg=name)
        assert all(len(set(row)) == len(row) for row in index)


@pytest.mark.parametrize("shape", SHAPES)
def test_cached_in_chunks(shape, close):
    """Chunks longer and shorter than the window, single tokens between them: the reference's one full pass."""
    model, ids = random_model(shape, seed=6), draw_ids(61, seed=6)
    expected, ours = reference_run(model, ids)["logits"], twin(model)
    cache, logits, start = ours.new_cache(), [], 0
    for count in (11, 1, 1, 20, 3, 1, 24):
        logits.append(ours.forward(ids[start : start + count], cache=cache))
        start += count
    close(np.concatenate(logits), expected, TOLERANCE, "logits")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [1, 29])
def test_greedy_continuation(shape, length):
    """Past the window, from the reference's own generate with its own cache."""
    model, ids = random_model(shape, seed=8), draw_ids(length, seed=8)
    assert list(twin(model).generate(ids, 24, stop=())) == reference_generate(model, ids, 24)


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_greedy_continuation_of_images_and_sounds(shape):
    model = random_model(shape, seed=9, towers=True)
    ids, images, audio = media_prompt(shape, seed=9)
    ours = list(twin(model).generate(ids, 16, images, audio, stop=()))
    assert ours == reference_generate(model, ids, 16, images=images, audio=audio)


@pytest.mark.parametrize("shape", SHAPES)
def test_last_only(shape, close):
    """The reference skips the KV-sharing layers for the prompt too, when only the last logits are asked for."""
    model, ids = random_model(shape, seed=10), draw_ids(33, seed=10)
    inputs = reference_inputs(model, ids)
    expected = model(**inputs, logits_to_keep=1, use_cache=False).logits[0].numpy()
    close(twin(model).forward(ids, last_only=True), expected, TOLERANCE, "logits")


@pytest.mark.parametrize("causal_lm", [False, True], ids=["whole", "text only"])
@pytest.mark.parametrize("shape", SHAPES)
def test_saved_checkpoints_load(shape, causal_lm, close, tmp_path):
    """What the reference writes, in both its classes, is what we read."""
    model, ids = random_model(shape, seed=12, causal_lm=causal_lm), draw_ids(17, seed=12)
    loaded = load(save(model, tmp_path))
    assert loaded.config.text == model.small_config.text
    close(loaded.forward(ids), reference_run(model, ids)["logits"], TOLERANCE, "logits")


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, None, None),
        (0.7, None, None),
        (1.0, 5, None),
        (1.3, None, 0.8),
        (0.6, 40, 0.95),
        (1.0, 1, None),
        (2.0, 200, 0.01),
    ],
)
def test_sampling_distribution(temperature, top_k, top_p, close):
    from transformers.generation import logits_process as steps

    logits = (draw_ids(97, seed=1) / 10 + np.linspace(0, 1, 97)).astype(np.float32)
    scores = torch.from_numpy(logits)[None]
    for step, option in (
        (steps.TemperatureLogitsWarper, temperature),
        (steps.TopKLogitsWarper, top_k),
        (steps.TopPLogitsWarper, top_p),
    ):
        if option not in (None, 1.0) or (step is steps.TopKLogitsWarper and option):
            scores = step(option)(None, scores)
    expected = scores.softmax(-1)[0].numpy()
    ours = next_token_probabilities(logits, temperature, top_k, top_p)
    np.testing.assert_array_equal(ours > 0, expected > 0)
    close(ours, expected, 1e-5, "probabilities")
