"""Watching: what is recorded under which name, in which order, and that an edit changes what follows."""

import numpy as np
import pytest
from small_models import SHAPES, draw_ids, media_prompt, random_gemma, small_config

from minigemma.interleaving import schedule
from minigemma.trace import Trace, unwatched

IDS = draw_ids(9, seed=1)

ATTENTION = ["input", "queries_projected", "queries_normed", "queries"]
OWN_KEYS = ["keys_projected", "values_projected", "keys_normed", "keys", "values"]
AFTER_KEYS = ["scores", "pattern", "heads", "output", "added"]
FEED_FORWARD = ["input", "gate", "inner", "output"]
MOE = ["router_scores", "router_probabilities", "expert_index", "expert_weight", "dense", "experts"]


def layer_names(spec, ple: bool) -> list[str]:
    """What one layer records, in order."""
    attention = ATTENTION + ([] if spec.shares_kv else OWN_KEYS) + AFTER_KEYS
    return [
        "input",
        *(f"attention.{name}" for name in attention),
        "middle",
        *(f"feed_forward.{name}" for name in FEED_FORWARD),
        *(f"moe.{name}" for name in MOE if spec.experts),
        "feed_forward.added",
        *(f"ple.{name}" for name in ("gate", "added") if ple),
        "before_scalar",
        "output",
    ]


def text_names(shape: str) -> list[str]:
    """What the decoder records, in order."""
    text = small_config(shape).text
    ple = bool(text.hidden_size_per_layer_input)
    return [
        "embedding",
        *(f"ple.{name}" for name in ("token_part", "context_part", "inputs") if ple),
        *(f"layers.{spec.index}.{name}" for spec in schedule(text) for name in layer_names(spec, ple)),
        "final_norm",
        "logits",
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_names_in_order(shape):
    trace = Trace()
    random_gemma(shape).forward(IDS, trace=trace)
    assert list(trace) == text_names(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_images_and_sounds_come_first(shape):
    """Everything of image 0, of image 1, of sound 0; then the decoder."""
    ids, images, audio = media_prompt(shape, seed=1)
    trace = Trace()
    random_gemma(shape, towers=True).forward(ids, images, audio, trace=trace)
    names = list(trace)
    heads = [".".join(name.split(".")[:2]) for name in names]
    first_of_text = names.index("embedding")
    expected = [*(f"images.{i}" for i in range(2)), *(f"audio.{i}" for i in range(len(audio)))]
    assert list(dict.fromkeys(heads[:first_of_text])) == expected
    assert names[first_of_text:] == text_names(shape)
    for i, (patches, _) in enumerate(images):
        assert trace[f"images.{i}.soft_tokens"].shape == (len(patches) // 9, small_config(shape).text.hidden_size)
    for i in range(len(audio)):
        assert trace[f"audio.{i}.soft_tokens"].shape == (10, small_config(shape).text.hidden_size)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    trace, text = Trace(), small_config(shape).text
    random_gemma(shape).forward(IDS, trace=trace)
    T, D = len(IDS), text.hidden_size
    for spec in schedule(text):
        H, G, K, name = spec.heads, spec.kv_heads, spec.head_dim, f"layers.{spec.index}"
        assert trace[f"{name}.output"].shape == (T, D)
        assert trace[f"{name}.attention.pattern"].shape == trace[f"{name}.attention.scores"].shape == (H, T, T)
        assert trace[f"{name}.attention.queries"].shape == trace[f"{name}.attention.heads"].shape == (T, H, K)
        if not spec.shares_kv:
            assert trace[f"{name}.attention.keys"].shape == trace[f"{name}.attention.values"].shape == (T, G, K)
        assert trace[f"{name}.feed_forward.inner"].shape == (T, spec.feed_forward)
        if spec.experts:
            assert trace[f"{name}.moe.router_probabilities"].shape == (T, spec.experts)
            assert trace[f"{name}.moe.expert_index"].shape == (T, text.top_k_experts)
            assert trace[f"{name}.moe.expert_weight"].shape == (T, text.top_k_experts)
    assert trace["logits"].shape == (T, text.vocab_size)


def test_a_pattern_covers_the_whole_sequence_also_from_a_cache():
    """Absolute positions, zeros outside the window, rows that sum to one; the last rows of the pass in one piece."""
    model, ids = random_gemma("e2b"), draw_ids(21, seed=2)
    whole, rest = Trace("layers.*.attention.pattern"), Trace("layers.*.attention.pattern")
    model.forward(ids, trace=whole)
    cache = model.new_cache()
    model.forward(ids[:14], cache=cache)
    model.forward(ids[14:], cache=cache, trace=rest)
    for spec in model.schedule:
        name = f"layers.{spec.index}.attention.pattern"
        assert rest[name].shape == (spec.heads, 7, 21)
        np.testing.assert_allclose(rest[name], whole[name][:, 14:], atol=1e-5)
        np.testing.assert_allclose(rest[name].sum(axis=-1), 1, rtol=1e-5)
        if spec.window is not None:
            assert (whole[name][:, 20, : 21 - spec.window] == 0).all()
            assert (whole[name][:, 20, 21 - spec.window :] > 0).all()


def test_only_what_matches_is_recorded():
    trace = Trace("layers.*.attention.pattern")
    random_gemma("26b").forward(IDS, trace=trace)
    assert list(trace) == [f"layers.{i}.attention.pattern" for i in range(10)]
    trace = Trace("layers.3.output", "logits", "layers.[01].moe.expert_*")
    random_gemma("26b").forward(IDS, trace=trace)
    assert list(trace) == [
        "layers.0.moe.expert_index",
        "layers.0.moe.expert_weight",
        "layers.1.moe.expert_index",
        "layers.1.moe.expert_weight",
        "layers.3.output",
        "logits",
    ]


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_watching_changes_nothing(shape):
    model = random_gemma(shape)
    plain = model.forward(IDS)
    np.testing.assert_allclose(model.forward(IDS, trace=Trace()), plain, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.forward(IDS, trace=Trace("layers.*.output")), plain)


def test_what_is_recorded_is_a_copy():
    """Later steps may work in place; a recorded tensor stays as it was, and changing it changes no run."""
    trace = Trace()
    first = random_gemma("e2b").forward(IDS, trace=trace)
    trace["logits"][:] = 0
    assert first.any()
    output = trace["layers.2.feed_forward.gate"] * 1
    inner = trace["layers.2.feed_forward.inner"]
    assert not np.array_equal(output, inner)


def test_the_parts_add_up():
    """Residual before, the two branches and the per-layer embedding, the scalar."""
    model, trace = random_gemma("e2b"), Trace()
    model.forward(IDS, trace=trace)
    for i in range(model.config.text.num_hidden_layers):
        step = {name.removeprefix(f"layers.{i}."): value for name, value in trace.match(f"layers.{i}.*").items()}
        np.testing.assert_allclose(step["input"] + step["attention.added"], step["middle"], atol=1e-5)
        after = step["middle"] + step["feed_forward.added"] + step["ple.added"]
        np.testing.assert_allclose(after, step["before_scalar"], atol=1e-5)
        scalar = model.text_weights[f"layers.{i}.layer_scalar"]
        np.testing.assert_allclose(step["before_scalar"] * scalar, step["output"], atol=1e-5)


def test_an_edit_changes_what_follows_and_nothing_before():
    model, plain = random_gemma("26b"), Trace("layers.*.output")
    model.forward(IDS, trace=plain)

    def without_head_one(pattern):
        pattern = pattern.copy()
        pattern[1] = 0
        return pattern

    edited = Trace("layers.*.output", edit={"layers.4.attention.pattern": without_head_one})
    model.forward(IDS, trace=edited)
    for i in range(10):
        same = np.array_equal(edited[f"layers.{i}.output"], plain[f"layers.{i}.output"])
        assert same == (i < 4)


@pytest.mark.parametrize(
    "name", ["embedding", "layers.2.attention.keys", "layers.2.attention.scores", "layers.2.moe.expert_weight",
             "layers.2.middle", "final_norm"],
)  # fmt: skip
def test_every_named_step_is_on_the_way(name):
    """Zeros in its place change the logits: what is recorded is what the model goes on with."""
    model = random_gemma("26b")
    trace = Trace(edit={name: np.zeros_like})
    logits = model.forward(IDS, trace=trace)
    assert list(trace) == [name]
    assert np.abs(logits - model.forward(IDS)).max() > 1e-3


def test_names_that_are_not_there():
    trace = Trace("layers.*.output")
    random_gemma("e2b").forward(IDS, trace=trace)
    with pytest.raises(KeyError, match=r"'layers.99.output' was not recorded \(12 tensors were\).*layers.0.output"):
        trace["layers.99.output"]
    assert "layers.99.output" not in trace
    assert list(trace) == [f"layers.{i}.output" for i in range(12)]  # and not layers.0.attention.output
    assert len(trace.match("layers.1?.output")) == 2
    assert repr(trace) == "Trace(12 tensors)"
    assert unwatched.under("layers.0")("anything", 5) == 5
    assert not unwatched.wants("layers.0.attention.pattern")
