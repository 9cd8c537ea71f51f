"""What a forward pass has to do at least, counted from the config: operations, and weights to be read."""

from __future__ import annotations

import math

import numpy as np

from minigemma.config import Config
from minigemma.interleaving import LayerSpec, schedule, visible_keys
from minigemma.parameters import TEXT, tensor_shapes


def layer_values(config: Config) -> list[int]:
    """Values of all matrices of each layer of a decoder without experts."""
    shapes, layers = tensor_shapes(config), range(config.text.num_hidden_layers)
    return [
        sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(f"{TEXT}layers.{i}.") and shape[1:])
        for i in layers
    ]


def outer_values(config: Config) -> tuple[int, int]:
    """Values of the matrices before the layers (of the per-layer embeddings) and after them (the head)."""
    shapes = tensor_shapes(config)
    before = math.prod(shapes.get(TEXT + "per_layer_model_projection.weight", (0,)))
    return before, math.prod(shapes[TEXT + "embed_tokens.weight"])


def token_values(config: Config) -> int:
    """Values of weight that one token is multiplied with."""
    return sum(layer_values(config)) + sum(outer_values(config))


def last_only_values(config: Config) -> int:
    """Of these, the ones that a prompt meets with its last token alone: shared layers, head."""
    return sum(layer_values(config)[config.text.first_shared_layer :]) + outer_values(config)[1]


def prefill_operations(config: Config, tokens: int, every: bool = False) -> int:
    """Floating-point operations of a prompt; shared layers and head for its last token alone unless for ``every``."""
    before, head = outer_values(config)
    operations = 2 * tokens * before + 2 * (tokens if every else 1) * head
    for spec, values in zip(schedule(config.text), layer_values(config), strict=True):
        queries = tokens if every or spec.index < config.text.first_shared_layer else 1
        operations += 2 * queries * values + 4 * spec.heads * spec.head_dim * _pairs(spec, tokens, queries)
    return operations


def _pairs(spec: LayerSpec, tokens: int, queries: int) -> int:
    """Queries times the keys that each of them sees."""
    first, last = visible_keys(np.arange(tokens - queries, tokens), spec.window)
    return int((last - first + 1).sum())
