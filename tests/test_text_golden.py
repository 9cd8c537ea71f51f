"""The decoder against the reference's stored outputs, without torch: modules to 1e-5, whole models to 1e-4.

Goldens are remade by make_goldens_text.py; the random weights are drawn again from their names.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from small_models import SHAPES, draw_weights, media_prompt, small_config

from minigemma.checkpoint import Weights
from minigemma.decoder import Context, layer, self_attention
from minigemma.feed_forward import feed_forward
from minigemma.model import Gemma4
from minigemma.moe import experts, route
from minigemma.ops import rms_norm
from minigemma.ple import inject, per_layer_inputs
from minigemma.rope import rotation_frequencies, rotation_table
from minigemma.trace import Trace

GOLDENS = Path(__file__).parent / "goldens"
MODULE, WHOLE = 1e-5, 1e-4  # relative error allowed


@cache
def golden(name):
    with np.load(GOLDENS / f"text_{name}.npz") as file:
        return {key: file[key] for key in file.files}


@cache
def model(name):
    stored, (shape, *media) = golden(name), name.split("_")
    weights = Weights.of(draw_weights(json.loads(str(stored["shapes"])), int(stored["seed"])))
    return Gemma4(small_config(shape, towers=bool(media)), weights.under("model."))


def detailed(*parts):
    """(shape, layer) of every layer stored in detail that has these parts."""
    return [
        pytest.param(shape, i, id=f"{shape}-layer{i}")
        for shape in SHAPES
        for i in range(small_config(shape).text.num_hidden_layers)
        if all(f"layers.{i}.{part}" in golden(shape) for part in parts)
    ]


def parts_of(shape, i):
    """The layer's record, weights and stored tensors, and what its forward pass shares with the others."""
    stored, gemma = golden(shape), model(shape)
    context = Context(gemma.schedule, np.arange(len(stored["ids"])))
    source = f"layers.{gemma.schedule[i].kv_source}.attention"
    context.keys_values[gemma.schedule[i].kv_source] = (stored[f"{source}.keys"], stored[f"{source}.values"], 0)
    tensors = {name.removeprefix(f"layers.{i}."): array for name, array in stored.items()}
    return gemma.schedule[i], gemma.text_weights.under(f"layers.{i}."), tensors, context, gemma.config.text


@pytest.mark.parametrize("shape", SHAPES)
def test_whole_model(shape, close):
    """Logits, the output of every layer, every pattern, every router probability, and all that is stored besides."""
    stored, trace = golden(shape), Trace()
    logits = model(shape).forward(stored["ids"], trace=trace)
    close(logits, stored["logits"], WHOLE, "logits")
    compared = {name for name in stored if name in trace}
    for name in compared:
        if name.endswith("expert_index"):
            np.testing.assert_array_equal(trace[name], stored[name], err_msg=name)
        else:
            close(trace[name], stored[name], WHOLE, name)
    outputs_of_experts = {name for name in stored if ".moe.expert_" in name}  # compared module by module
    tables = {name for name in stored if name.startswith("rotation.")}
    assert set(stored) - compared - outputs_of_experts - tables == {"ids", "seed", "shapes", "continuation"}
    layers = model(shape).config.text.num_hidden_layers
    assert {f"layers.{i}.{part}" for i in range(layers) for part in ("output", "attention.pattern")} < compared


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_continuation(shape):
    stored = golden(shape)
    new = list(model(shape).generate(stored["ids"], len(stored["continuation"]), stop=()))
    assert new == stored["continuation"].tolist()


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_images_and_sounds_in_the_prompt(shape, close):
    """Soft tokens unscaled in their places, the pad row of the PLE table there, images whole in 26B's local layers."""
    name = f"{shape}_media"
    stored, trace = golden(name), Trace()
    ids, images, audio = media_prompt(shape, int(stored["seed"]))
    np.testing.assert_array_equal(ids, stored["ids"])
    logits = model(name).forward(ids, images, audio, trace=trace)
    close(logits, stored["logits"], WHOLE, "logits")
    for part in set(stored) - {"ids", "seed", "shapes", "logits"}:
        close(trace[part], stored[part], WHOLE, part)
    looks_ahead = np.triu(trace["layers.0.attention.pattern"], 1).any()
    assert looks_ahead == (shape == "26b")


@pytest.mark.parametrize(("shape", "i"), detailed("attention.input"))
def test_attention(shape, i, close):
    spec, weights, stored, context, config = parts_of(shape, i)
    trace = Trace()
    x = stored["attention.input"]
    output = self_attention(x, spec, weights.under("self_attn."), context, config.rms_norm_eps, trace.under("here"))
    for part in ("queries", "pattern", *(() if spec.shares_kv else ("keys", "values"))):
        close(trace[f"here.{part}"], stored[f"attention.{part}"], MODULE, part)
    close(output, stored["attention.output"], MODULE, "output")


@pytest.mark.parametrize(("shape", "i"), detailed("feed_forward.input"))
def test_feed_forward(shape, i, close):
    _, weights, stored, _, _ = parts_of(shape, i)
    close(
        feed_forward(stored["feed_forward.input"], weights.under("mlp.")), stored["feed_forward.output"], MODULE, "mlp"
    )


@pytest.mark.parametrize(("shape", "i"), detailed("moe.expert_index"))
def test_router(shape, i, close):
    _, weights, stored, _, config = parts_of(shape, i)
    trace = Trace()
    index, weight = route(stored["middle"], weights.under("router."), config.top_k_experts, config.rms_norm_eps, trace)
    close(trace["router_probabilities"], stored["moe.router_probabilities"], MODULE, "probabilities")
    np.testing.assert_array_equal(index, stored["moe.expert_index"])
    close(weight, stored["moe.expert_weight"], MODULE, "weights")


@pytest.mark.parametrize(("shape", "i"), detailed("moe.expert_index"))
def test_experts(shape, i, close):
    _, weights, stored, _, config = parts_of(shape, i)
    x = rms_norm(stored["middle"], weights["pre_feedforward_layernorm_2.weight"], config.rms_norm_eps)
    close(x, stored["moe.expert_input"], MODULE, "input")
    output = experts(x, stored["moe.expert_index"], stored["moe.expert_weight"], weights.under("experts."))
    close(output, stored["moe.expert_output"], MODULE, "output")


def test_per_layer_inputs(close):
    stored, gemma, trace = golden("e2b"), model("e2b"), Trace()
    config = gemma.config.text
    ple = per_layer_inputs(
        stored["ids"], stored["embedding"], gemma.text_weights, config.num_hidden_layers, config.rms_norm_eps, trace
    )
    for part in ("token_part", "context_part"):
        close(trace[part], stored[f"ple.{part}"], MODULE, part)
    close(ple, stored["ple.inputs"], MODULE, "inputs")


@pytest.mark.parametrize(("shape", "i"), detailed("ple.added"))
def test_per_layer_embedding_added(shape, i, close):
    _, weights, stored, _, config = parts_of(shape, i)
    x = stored["middle"] + stored["feed_forward.added"]
    close(inject(x, stored["ple.inputs"][:, i], weights, config.rms_norm_eps), stored["ple.added"], MODULE, "added")


@pytest.mark.parametrize(("shape", "i"), detailed("attention.input"))
def test_one_layer(shape, i, close):
    """A whole layer from the reference's own input: the output of the layer below."""
    spec, weights, stored, context, config = parts_of(shape, i)
    ple = stored["ple.inputs"][:, i] if "ple.inputs" in stored else None
    x = golden(shape)[f"layers.{i - 1}.output"]
    close(layer(x, spec, weights, context, config, ple), stored["output"], MODULE, "output")


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_rotation_tables(shape, close):
    stored, gemma = golden(shape), model(shape)
    for spec in {spec.kind: spec for spec in gemma.schedule}.values():
        frequencies = rotation_frequencies(spec.head_dim, spec.rope_theta, spec.rope_fraction)
        tables = rotation_table(np.arange(len(stored["ids"])), frequencies)
        for part, table in zip(("cos", "sin"), tables, strict=True):
            close(table, stored[f"rotation.{spec.kind}.{part}"], MODULE, f"{spec.kind} {part}")
