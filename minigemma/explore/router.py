"""The router, token by token: whom it chooses, and what if it chose more, fewer, or without one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.errors import InputError
from minigemma.evaluation.language import passage_ids, token_losses
from minigemma.explore.base import Explorer, choice, play, slider, text
from minigemma.model import Gemma4
from minigemma.trace import Edit, Trace

LONGEST = 64  # tokens of a typed text: each is a row of the picture


def router_player(model: Gemma4, sentence: str, layer: int = 0, top_k: int | None = None) -> Explorer:
    """One layer's router on the reader's text, with another top k or without an expert, in this layer alone.

    top_k: what if so many are chosen; None begins with the model's own. The model is run once for each setting;
    moving along the tokens only draws again.
    """
    config = model.config.text
    if not config.enable_moe_block:
        raise InputError("This model has no experts: load one that has, such as mini-a4b.")
    runs: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}

    def ids(sentence: str) -> np.ndarray:
        if not sentence.strip():
            raise InputError("There is no text to read: type a word or two.")
        return passage_ids(model, sentence)[:LONGEST]

    def run(sentence: str, layer: int, top_k: int, removed: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights (T, E) and surprise (T - 1,) with this setting."""
        key = (sentence, layer, top_k, removed)
        if key not in runs:
            if len(runs) > 32:
                runs.clear()
            runs[key] = routed(model, ids(sentence), layer, top_k, removed)
        return runs[key]

    def fit(controls: Mapping[str, Any]) -> None:
        if controls["sentence"].value.strip():
            controls["token"].max = len(ids(controls["sentence"].value)) - 1

    def draw(sentence, layer, token, top_k, removed) -> Figure:
        read = ids(sentence)
        before, calm = run(sentence, layer, config.top_k_experts, -1)
        after, changed = run(sentence, layer, top_k, removed)
        note = f"The first {LONGEST} tokens." if len(passage_ids(model, sentence)) > LONGEST else ""
        labels, title = model.tokenizer.tokens(read), f"Layer {layer}: weights, what if"
        return plots.router_view(before, after, labels, token, (calm, changed), title=title, note=note)

    last = len(ids(sentence)) - 1
    controls = {
        "sentence": text("text", sentence, rows=2),
        "layer": slider("layer", 0, len(model.schedule) - 1, layer),
        "token": slider("token", 0, last, min(last, 3)),
        "top_k": slider("experts a token (top k)", 1, config.num_experts - 1, top_k or config.top_k_experts),
        "removed": choice("expert removed", {"none": -1} | {str(e): e for e in range(config.num_experts)}),
    }
    return Explorer(draw, controls, beside=[play(controls["token"])], adapt=fit)


def routed(model: Gemma4, ids: np.ndarray, layer: int, top_k: int, removed: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """Run a text with another top k, or without an expert, in one layer: ids (T,) -> weights (T, E), nats (T - 1,).

    removed: an expert that cannot be chosen, or -1.
    """
    name = f"layers.{layer}.moe"
    index, weight = f"{name}.expert_index", f"{name}.expert_weight"
    trace = Trace(index, weight, edit=rerouted(name, top_k, removed))
    losses = token_losses(model.forward(ids, trace=trace, last_only=False), ids)
    weights = np.zeros((len(ids), model.config.text.num_experts), np.float32)
    np.put_along_axis(weights, trace[index], trace[weight], axis=1)
    return weights, losses


def rerouted(name: str, top_k: int, removed: int = -1) -> Mapping[str, Edit]:
    """Edits for ``Trace`` under which the router ``name`` chooses top_k experts, never the removed one."""
    scores = np.zeros((0, 0))

    def close(given: np.ndarray) -> np.ndarray:
        nonlocal scores
        scores = given.copy()
        if removed >= 0:
            scores[:, removed] = -np.inf
        return scores

    def choose(_: np.ndarray) -> np.ndarray:
        return np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]

    return {f"{name}.router_scores": close, f"{name}.expert_index": choose}
