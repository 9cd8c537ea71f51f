"""Many questions after one picture or story, each as if it were the only one.

They lie one behind the other in a sequence. Each sees what all share and itself, not the others, and its positions
begin where the shared part ends. So a model that is asked one question later has learned just that, and one picture
or story still serves a dozen questions.
"""

from __future__ import annotations

import torch


def positions(branches: list[int], length: int) -> list[int]:
    """Positions of the tokens of a sample, padded to ``length``: every branch goes on where what all share ends."""
    shared = branches.index(1) if 1 in branches else len(branches)
    found = list(range(length))
    for at in range(shared, len(branches)):
        found[at] = shared if branches[at] != branches[at - 1] else found[at - 1] + 1
    return found


def masks(branch: torch.Tensor, position: torch.Tensor, image: torch.Tensor, window: int, both_ways: bool) -> dict:
    """What each token may see, for the reference's two kinds of layers: {kind: bool (B, 1, T, T)}.

    branch: (B, T) int, 0 for what all share, then the number of the question. position: (B, T) int. image: (B, T)
    bool, soft tokens of the one picture. both_ways: they see each other in local layers.
    """
    order = torch.arange(branch.shape[1])
    causal = order[:, None] >= order
    own = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    seen = causal & own
    near = (position[:, :, None] - position[:, None, :]) < window
    local = seen | (image[:, :, None] & image[:, None, :]) if both_ways else seen
    return {"full_attention": seen[:, None], "sliding_attention": (local & near)[:, None]}
