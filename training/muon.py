"""Muon (Keller Jordan et al. 2024): momentum whose singular values are all made about one, for the hidden matrices.

Everything else (embeddings, tables, convolutions, vectors) is left to AdamW. On models this small it reaches AdamW's
losses in well under the steps. Updates are scaled to the size AdamW's have, so that one learning rate serves both.
"""

from __future__ import annotations

import torch


def orthogonal(x: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """x (..., n, m) with its singular values pushed towards one, by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """For parameters (n, m), or stacks of matrices (E, n, m) such as experts."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                momentum = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonal(p.grad.lerp(momentum, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * max(p.shape[-2:]) ** 0.5)


def is_hidden_matrix(name: str, p: torch.Tensor) -> bool:
    """Whether a parameter is one that Muon is meant for."""
    table = any(part in name for part in ("embed_tokens", "position_embedding_table", "conv", "lm_head"))
    return p.dim() in (2, 3) and not table
