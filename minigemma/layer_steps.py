"""One decoder layer as a list of steps, in the order of ``decoder.layer``: what is done, and what comes out.

Made from a trace, so it shows what a forward pass really computed. The letters of shapes: T tokens, D model width,
H query heads, G key/value heads, K width of a head, S keys, F feed-forward width, E experts, P width of a per-layer
embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minigemma import numbers
from minigemma.config import TextConfig
from minigemma.errors import InputError
from minigemma.interleaving import LayerSpec
from minigemma.model import Gemma4

TRACED = ("layers.*", "ple.inputs")  # the names a trace must record
ATTENTION, FEED_FORWARD, EXPERTS, PLE, END = "attention", "feed-forward", "experts", "PLE", "end"


@dataclass(frozen=True)
class Step:
    """One step of a layer. ``stream`` says that the value is the residual stream itself."""

    part: str  # of the layer: ATTENTION, FEED_FORWARD, EXPERTS, PLE or END
    name: str
    does: str  # the operation, in one line
    letters: str  # of the shape, such as "T, H, K"
    value: np.ndarray
    stream: bool = False

    @property
    def rms(self) -> float:
        """Root mean square of the value; scores that are hidden (-inf) are left out."""
        return numbers.rms(self.value[np.isfinite(self.value)])

    @property
    def shape(self) -> str:
        """The shape with its letters: ``(T, H, K) = (12, 4, 32)``."""
        return f"({self.letters}) = ({', '.join(map(str, self.value.shape))})"


def layer_steps(model: Gemma4, trace: Mapping[str, np.ndarray], layer: int) -> list[Step]:
    """The steps of one layer. trace: of a forward pass of this model that recorded ``TRACED``."""
    if not 0 <= layer < len(model.schedule):
        raise InputError(f"layer is {layer}; this model has layers 0 to {len(model.schedule) - 1}")
    spec, config = model.schedule[layer], model.config.text
    x = _Names(trace, f"layers.{layer}.")
    part, added = EXPERTS if spec.experts else FEED_FORWARD, x["feed_forward.added"]
    scalar = float(np.squeeze(model.text_weights[f"layers.{layer}.layer_scalar"]))
    return [
        *_attention(x, trace, spec),
        *_feed_forward(x),
        *(_experts(x, config) if spec.experts else ()),
        Step(part, "normed again", "RMSNorm with post_feedforward_layernorm", "T, D", added),
        Step(part, "stream + feed-forward", "added to the stream", "T, D", x["middle"] + added, True),
        *(_ple(x, trace, layer) if config.hidden_size_per_layer_input else ()),
        Step(END, "output", f"the whole stream × layer_scalar = {scalar:.3g}", "T, D", x["output"], True),
    ]


class _Names:
    """The tensors of one layer by their short names."""

    def __init__(self, trace: Mapping[str, np.ndarray], prefix: str):
        self.trace, self.prefix = trace, prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self.trace[self.prefix + name]


def _attention(x: _Names, trace: Mapping[str, np.ndarray], spec: LayerSpec) -> Iterator[Step]:
    def step(name: str, does: str, letters: str, traced: str) -> Step:
        return Step(ATTENTION, name, does, letters, x["attention." + traced])

    heads, groups = "T, H, K", "T, G, K"
    yield Step(ATTENTION, "input", "the residual stream as it enters the layer", "T, D", x["input"], True)
    yield step("normed", "RMSNorm with input_layernorm: x / rms(x) · weight", "T, D", "input")
    yield step("queries", "times q_proj, cut into H heads", heads, "queries_projected")
    if not spec.shares_kv:
        yield step("keys", "times k_proj, cut into G heads", groups, "keys_projected")
        does = "the same as the keys: no v_proj (K=V)" if spec.k_eq_v else "times v_proj, cut into G heads"
        yield step("values", does, groups, "values_projected")
    yield step("queries, normed", "RMSNorm with q_norm, each head by itself", heads, "queries_normed")
    if not spec.shares_kv:
        yield step("keys, normed", "RMSNorm with k_norm, each head by itself", groups, "keys_normed")
        if spec.value_norm:
            yield step("values, normed", "RMSNorm without a weight; values are never rotated", groups, "values")
    does = f"RoPE: turned by position, {spec.rope_fraction:.0%} of the pairs"
    yield step("queries, rotated", does, heads, "queries")
    if spec.shares_kv:
        source = _Names(trace, f"layers.{spec.kv_source}.attention.")
        yield Step(ATTENTION, "keys, borrowed", f"as layer {spec.kv_source} made them", groups, source["keys"])
        yield Step(ATTENTION, "values, borrowed", f"as layer {spec.kv_source} made them", groups, source["values"])
    else:
        yield step("keys, rotated", does, groups, "keys")
    seen = "of all tokens so far" if spec.window is None else f"of the last {spec.window} tokens"
    scaled = "not divided by √K" if spec.attention_scale == 1 else "the queries were scaled"
    yield step("scores", f"query · key, {scaled}; keys {seen}", "H, T, S", "scores")
    yield step("softmax", "every row becomes weights that sum to 1", "H, T, S", "pattern")
    yield step("values, mixed", "each query's weighted mean of the values", heads, "heads")
    yield step("heads joined", "side by side, times o_proj: back to the model's width", "T, D", "output")
    yield step("normed again", "RMSNorm with post_attention_layernorm", "T, D", "added")
    yield Step(ATTENTION, "stream + attention", "added to the stream", "T, D", x["middle"], True)


def _feed_forward(x: _Names) -> Iterator[Step]:
    def step(name: str, does: str, letters: str, traced: str) -> Step:
        return Step(FEED_FORWARD, name, does, letters, x["feed_forward." + traced])

    yield step("normed", "RMSNorm with pre_feedforward_layernorm", "T, D", "input")
    yield step("gate", "GELU(times gate_proj): which inner units open", "T, F", "gate")
    yield step("gate × up", "times up_proj, multiplied by the gate", "T, F", "inner")
    yield step("down", "times down_proj: back to the model's width", "T, D", "output")


def _experts(x: _Names, config: TextConfig) -> Iterator[Step]:
    index, weight = x["moe.expert_index"], x["moe.expert_weight"]
    weights = np.zeros_like(x["moe.router_probabilities"])
    np.put_along_axis(weights, index, weight, axis=1)
    dense, chosen = x["moe.dense"], x["moe.experts"]
    kept = f"the best {config.top_k_experts}, renormalised, × per_expert_scale"

    yield Step(EXPERTS, "dense, normed", "RMSNorm with post_feedforward_layernorm_1", "T, D", dense)
    yield Step(
        EXPERTS, "router scores", "the stream, normed and scaled, times router.proj", "T, E", x["moe.router_scores"]
    )
    yield Step(EXPERTS, "router softmax", "over all experts", "T, E", x["moe.router_probabilities"])
    yield Step(EXPERTS, "expert weights", kept, "T, E", weights)
    yield Step(EXPERTS, "experts, normed", "their weighted sum, RMSNorm with _2", "T, D", chosen)
    yield Step(EXPERTS, "dense + experts", "both branches added", "T, D", dense + chosen)


def _ple(x: _Names, trace: Mapping[str, np.ndarray], layer: int) -> Iterator[Step]:
    vectors = trace["ple.inputs"][:, layer]
    yield Step(PLE, "this layer's vectors", "the per-layer embedding of every token", "T, P", vectors)
    yield Step(PLE, "gate", "GELU(the stream times per_layer_input_gate)", "T, P", x["ple.gate"])
    yield Step(PLE, "added", "(gate × vector) times per_layer_projection, normed", "T, D", x["ple.added"])
    yield Step(PLE, "stream + PLE", "added to the stream", "T, D", x["before_scalar"], True)


def ladder(steps: list[Step]) -> dict[str, float]:
    """RMS of the steps as wide as the model, by name, for ``plots.rms_ladder``."""
    wide = [step for step in steps if step.letters == "T, D"]
    name = lambda s: s.name if s.name.startswith("stream") else f"{'stream' if s.stream else s.part}: {s.name}"  # noqa: E731
    return {name(step): step.rms for step in wide}


def stream_shares(model: Gemma4, trace: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Who wrote the last layer's output: {"embedding": (1,), "attention": (L,), "feed-forward": (L,), "PLE": (L,)}.

    The stream is a sum: the embedding, and what every branch added, each times the layer scalars it met on its way.
    A part's share is its length along the whole, as a fraction of the whole's, the mean over tokens; it is negative
    where later parts took it back. All shares together make exactly 1. trace: one that recorded ``TRACED``.
    """
    L = len(model.schedule)
    scalars = [float(np.squeeze(model.text_weights[f"layers.{i}.layer_scalar"])) for i in range(L)]
    kept = fading(scalars)
    whole = np.asarray(trace[f"layers.{L - 1}.output"], np.float64)  # (T, D)

    def share(part: np.ndarray, factor: float) -> float:
        return float(np.mean(factor * np.vecdot(part, whole) / np.vecdot(whole, whole)))

    names = {ATTENTION: "attention.added", FEED_FORWARD: "feed_forward.added", PLE: "ple.added"}
    if not model.config.text.hidden_size_per_layer_input:
        del names[PLE]
    branches = {
        branch: np.array([share(trace[f"layers.{i}.{name}"], kept[i]) for i in range(L)])
        for branch, name in names.items()
    }
    return {"embedding": np.array([share(trace["layers.0.input"], kept[0])]), **branches}


def fading(scalars: Sequence[float] | np.ndarray) -> np.ndarray:
    """What is left at the end of anything a layer adds: the product of its scalar and all later ones, (L,) -> (L,)."""
    return np.cumprod(np.asarray(scalars, np.float64)[::-1])[::-1]
