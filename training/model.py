"""The reference model as it is trained: its first weights, its experts in one product, what pushes the routers to
share the work, and its loss.
"""

from __future__ import annotations

import json
from random import Random

import torch
from torch.nn import functional as F
from transformers import Gemma4Config, Gemma4ForConditionalGeneration
from transformers.models.gemma4 import modeling_gemma4 as reference

from . import apart
from .data import Batch


def experts_in_one_product(self, x, top_k_index, top_k_weights):
    """The tokens of each expert side by side, padded to the fullest, so that all experts are one batched product."""
    k, expert = top_k_index.shape[1], top_k_index.flatten()
    order = expert.argsort(stable=True)
    counts = torch.bincount(expert, minlength=self.num_experts)
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts)[expert[order]]  # of each token among its expert's
    rows = x.new_zeros(self.num_experts, int(counts.max()), x.shape[1])
    rows[expert[order], place] = x[order // k]
    gate, up = torch.bmm(rows, self.gate_up_proj.mT).chunk(2, -1)
    out = torch.bmm(self.act_fn(gate) * up, self.down_proj.mT)
    chosen = out[expert[order], place] * top_k_weights.flatten()[order][:, None]
    return torch.zeros_like(x).index_add(0, order // k, chosen.to(x.dtype))


def build(config: dict, seed: int) -> Gemma4ForConditionalGeneration:
    """The reference model with weights drawn for its small width (its own initialisation suits large ones)."""
    torch.manual_seed(seed)
    settings = Gemma4Config(**json.loads(json.dumps(config)))
    settings._attn_implementation = {"text_config": "sdpa", "vision_config": "sdpa", "audio_config": "eager"}
    model = Gemma4ForConditionalGeneration(settings).float()
    random = Random(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("embed_tokens.weight", "embed_tokens_per_layer.weight")):
                p.normal_(0, p.shape[1] ** -0.5 if "per_layer" not in name else 0.25)
            elif "position_embedding_table" in name:
                p.copy_(_waves(p.shape[1], p.shape[2]).expand_as(p))
            elif "k_norm" in name:
                p.fill_(p.numel() ** -0.5)  # takes the place of attention's 1/sqrt(K), which is 1 in this family
            elif name.endswith(("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")):
                p.fill_(0.5)
            elif "post_per_layer_input_norm" in name:
                p.fill_(0.3)
            elif p.dim() >= 2:
                fan_in = p[0].numel() if "experts" not in name else p.shape[2]
                p.normal_(0, fan_in**-0.5)
        for layer in model.model.language_model.layers:
            layer.layer_scalar.fill_(round(random.uniform(0.7, 1.0), 2))
    if model.config.text_config.enable_moe_block:
        reference.Gemma4TextExperts.forward = experts_in_one_product
    return model


def _waves(length: int, width: int) -> torch.Tensor:
    """(1, length, width) slow sines and cosines of the position, small: a smooth start for learned positions."""
    angle = torch.arange(length)[:, None] * torch.exp(torch.linspace(0, -5, width // 2))[None]
    return 0.2 * torch.cat([angle.sin(), angle.cos()], -1)[None]


class Balance:
    """Watches the routers; adds to the loss what pushes tokens away from experts that were overused lately."""

    def __init__(self, model: Gemma4ForConditionalGeneration, weight: float = 0.02):
        self.weight, self.seen = weight, {}
        self.load: dict[int, torch.Tensor] = {}
        for i, layer in enumerate(model.model.language_model.layers):
            if layer.enable_moe_block:
                layer.router.register_forward_hook(lambda _m, _i, out, i=i: self.seen.__setitem__(i, (out[0], out[2])))

    def loss(self) -> torch.Tensor | float:
        total: torch.Tensor | float = 0.0
        for i, (p, chosen) in self.seen.items():
            share = F.one_hot(chosen, p.shape[1]).float().mean((0, 1))  # (E,) sums to one
            self.load[i] = 0.98 * self.load.get(i, share) + 0.02 * share
            total = total + self.weight * p.shape[1] * (self.load[i] * p.mean(0)).sum()
        self.seen = {}
        return total


def run(model: Gemma4ForConditionalGeneration, batch: Batch) -> torch.Tensor:
    """The last hidden states (B, T, D); questions of one branch do not see those of another."""
    inputs, text = dict(batch.inputs), model.config.text_config
    if batch.branches is not None:
        image, both_ways = inputs["mm_token_type_ids"] == 1, text.use_bidirectional_attention == "vision"
        inputs["attention_mask"] = apart.masks(
            batch.branches, inputs["position_ids"], image, text.sliding_window, both_ways
        )
    with torch.autocast("cpu", torch.bfloat16):
        return model.model(**inputs, use_cache=False).last_hidden_state


def loss_of(model: Gemma4ForConditionalGeneration, batch: Batch) -> torch.Tensor:
    """Weighted mean of the cross-entropy over the supervised tokens."""
    hidden = run(model, batch)[:, :-1]
    at = batch.weights[:, 1:] > 0
    logits = model.lm_head(hidden[at].float())
    cap = model.config.text_config.final_logit_softcapping
    logits = cap * torch.tanh(logits / cap)
    target, weight = batch.inputs["input_ids"][:, 1:][at], batch.weights[:, 1:][at]
    return (F.cross_entropy(logits.float(), target, reduction="none") * weight).sum() / weight.sum()


def tower_pass(model: Gemma4ForConditionalGeneration, batch: Batch) -> None:
    """Run the encoders alone; the heads have listened."""
    with torch.autocast("cpu", torch.bfloat16):
        if "pixel_values" in batch.inputs:
            model.model.get_image_features(batch.inputs["pixel_values"], batch.inputs["image_position_ids"])
        else:
            model.model.get_audio_features(batch.inputs["input_features"], batch.inputs["input_features_mask"])
