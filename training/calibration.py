"""Buffers of the encoders that no gradient reaches, set from what passes through: standardisation and clip bounds."""

from __future__ import annotations

import torch
from transformers.models.gemma4 import modeling_gemma4 as reference

from .data import Batch


@torch.no_grad()
def calibrate_standardisation(model, batches: list[Batch]) -> None:
    """std_bias and std_scale: mean and inverse deviation of each channel of the pooled vision output."""
    tower = model.model.vision_tower
    if not tower.config.standardize:
        return
    bias, scale = tower.std_bias.clone(), tower.std_scale.clone()
    out = torch.cat(
        [
            tower(b.inputs["pixel_values"], b.inputs["image_position_ids"]).last_hidden_state / scale + bias
            for b in batches
        ]
    )
    tower.std_bias.copy_(out.mean(0).bfloat16())
    tower.std_scale.copy_((1 / out.std(0).clamp(min=1e-3)).bfloat16())


@torch.no_grad()
def calibrate_clips(model, batches: list[Batch], share: float, margin: float) -> None:
    """Clip bounds of the encoders' linears: quantiles ``1 - share`` and ``share`` of what passes, times ``margin``."""
    seen: dict[str, list[torch.Tensor]] = {}
    hooks = []
    for name, m in model.named_modules():
        if isinstance(m, reference.Gemma4ClippableLinear) and m.use_clipped_linears:
            for b in (m.input_min, m.output_min):
                b.fill_(-float("inf"))
            for b in (m.input_max, m.output_max):
                b.fill_(float("inf"))

            def note(_m, inputs, output, name=name):
                for side, x in (("input", inputs[0]), ("output", output)):
                    flat = x.flatten()
                    k = max(1, int(flat.numel() * (1 - share)))
                    ends = torch.stack([flat.kthvalue(k).values, flat.kthvalue(flat.numel() - k + 1).values])
                    seen.setdefault(f"{name}.{side}", []).append(ends)

            hooks.append(m.register_forward_hook(note))
    for b in batches:
        model.model(**b.inputs, use_cache=False)
    for h in hooks:
        h.remove()
    modules = dict(model.named_modules())
    for key, ends in seen.items():
        name, side = key.rsplit(".", 1)
        low, high = torch.stack(ends)[:, 0].min(), torch.stack(ends)[:, 1].max()
        reach = torch.maximum(high.abs(), low.abs()) * 0.05  # both bounds stay away from zero
        getattr(modules[name], side + "_min").copy_(torch.minimum(low * margin, -reach).bfloat16())
        getattr(modules[name], side + "_max").copy_(torch.maximum(high * margin, reach).bfloat16())
