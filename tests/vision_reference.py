"""The reference's vision tower holding the tensors of vision_case.py (needs transformers)."""

import dataclasses

import numpy as np
import torch
from transformers.models.gemma4 import modeling_gemma4 as reference
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig, Gemma4VisionConfig

from minigemma.config import VisionConfig


def build(config: VisionConfig, weights: dict[str, np.ndarray]):
    """(Gemma4VisionModel, Gemma4MultimodalEmbedder) in float32, eager attention; every tensor must find its place."""
    fields = dataclasses.asdict(config)
    theta = fields.pop("rope_theta")
    fields |= {"num_key_value_heads": config.num_attention_heads}
    fields |= {"rope_parameters": {"rope_type": "default", "rope_theta": theta}, "attn_implementation": "eager"}
    vision_config = Gemma4VisionConfig(**fields)
    text_width = len(weights["embed_vision.embedding_projection.weight"])
    tower = reference.Gemma4VisionModel(vision_config).eval()
    embedder = reference.Gemma4MultimodalEmbedder(vision_config, Gemma4TextConfig(hidden_size=text_width)).eval()
    for module, prefix in ((tower, "vision_tower."), (embedder, "embed_vision.")):
        state = {n[len(prefix) :]: torch.tensor(t) for n, t in weights.items() if n.startswith(prefix)}
        missing = module.load_state_dict(state, strict=False)
        assert not missing.unexpected_keys, missing
        assert not missing.missing_keys, missing
    return tower, embedder


def padded(images, length: int):
    """The reference's batch: zeros and position -1 behind each image."""
    pixels = np.zeros((len(images), length, images[0][0].shape[1]), np.float32)
    positions = np.full((len(images), length, 2), -1)
    for i, (patches, places) in enumerate(images):
        pixels[i, : len(patches)], positions[i, : len(patches)] = patches, places
    return torch.tensor(pixels), torch.tensor(positions)


@torch.no_grad()
def run(tower, embedder, images, length: int) -> tuple[np.ndarray, np.ndarray]:
    """All images in one padded batch -> soft tokens (all n, D) before and after the embedder, in order."""
    soft = tower(*padded(images, length)).last_hidden_state
    return soft.numpy(), embedder(soft).numpy()
