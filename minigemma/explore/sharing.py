"""Shared keys and values: what every reader of one layer's keys looks at, and what more or fewer readers cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from minigemma import numbers, plots
from minigemma.config import GLOBAL, PRESETS
from minigemma.explore.attention import SCALES
from minigemma.explore.base import Explorer, Reader, choice, end_at, slider, text, toggle
from minigemma.model import Gemma4
from minigemma.plots.style import binary


def key_readers(model: Gemma4, sentence: str, layer: int | None = None) -> Explorer:
    """The layers that read the same keys as one layer, and what a token looks at in each of them."""
    read = Reader(model, "layers.*.attention.pattern")
    last = len(model.schedule) - 1

    def fit(controls: Mapping[str, Any]) -> None:
        end_at(controls["query"], len(read(controls["sentence"].value).tokens) - 1)

    def draw(sentence, layer, query, hide_first, scale) -> Figure:
        reading = read(sentence)
        patterns = {i: reading.trace[f"layers.{i}.attention.pattern"] for i in range(last + 1)}
        options = {"hide_first": hide_first, "scale": scale, "note": reading.note}
        return plots.readers(patterns, model.schedule, reading.tokens, query, layer, **options)

    end = len(read(sentence).tokens) - 1
    controls = {
        "sentence": text("text", sentence),
        "layer": slider("layer", 0, last, last if layer is None else layer),
        "query": slider("query", 0, end, end),
        "hide_first": toggle("hide the first token"),
        "scale": choice("scale", SCALES),
    }
    return Explorer(draw, controls, adapt=fit)


def sharing_layers(variant: str = "E2B") -> Explorer:
    """A released model, if more or fewer of its layers shared keys and values: who reads whom, and the cache's size.

    As many may share as leave one layer of each kind its own.
    """
    texts = {name: config.text for name, config in PRESETS.items()}

    def fit(controls: Mapping[str, Any]) -> None:
        config = texts[controls["variant"].value]
        most = config.num_hidden_layers - config.layer_types.index(GLOBAL) - 1
        controls["shared"].max = most

    def draw(variant, shared) -> Figure:
        config = texts[variant]
        changed = replace(config, num_kv_shared_layers=shared)
        context = config.max_position_embeddings
        size = binary(sum(numbers.kv_cache_bytes(changed, context).values()))
        real = "" if shared != config.num_kv_shared_layers else " (as released)"
        title = f"{variant}, {shared} layers share{real}: a full cache of {context:,} tokens takes {size}"
        return plots.kv_sharing_arcs(changed, title=title)

    shared = texts[variant].num_kv_shared_layers
    controls = {
        "variant": choice("model", list(texts), variant),
        "shared": slider("layers that share", 0, max(shared, 1), shared),
    }
    return Explorer(draw, controls, adapt=fit)
