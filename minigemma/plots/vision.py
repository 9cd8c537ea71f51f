"""The pictures of the vision part, gathered from the files that hold one idea each."""

from minigemma.plots.budgets import budget_calculator, budgets, patch_grid, patch_numbers
from minigemma.plots.image_mask import image_mask
from minigemma.plots.looking import patch_attention, patch_similarity
from minigemma.plots.places import position_tables, rope2d_angles, rope2d_similarity
from minigemma.plots.soft_tokens import soft_token_attention, soft_token_grid, soft_token_readers

__all__ = [
    "budget_calculator",
    "budgets",
    "image_mask",
    "patch_attention",
    "patch_grid",
    "patch_numbers",
    "patch_similarity",
    "position_tables",
    "rope2d_angles",
    "rope2d_similarity",
    "soft_token_attention",
    "soft_token_grid",
    "soft_token_readers",
]
