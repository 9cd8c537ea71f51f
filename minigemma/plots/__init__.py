"""Pictures: pure functions of arrays and configs that return a matplotlib Figure. One file an idea."""

from minigemma.plots.attention import attention_grid, attention_head, attention_row
from minigemma.plots.cache import bytes_ladder, key_value_residual, kv_cache_bytes, prefill_decode, storage_tiles
from minigemma.plots.lens import logit_lens, soft_cap_curve
from minigemma.plots.moe import (
    active_parameters,
    branch_norms,
    distinct_experts,
    expert_load,
    router_heatmap,
    router_waterfall,
)
from minigemma.plots.rope import (
    clock_faces,
    cosine_decay,
    pair_ruler,
    qk_by_position,
    rope_angles,
    rotation_bars,
    wavelengths,
)
from minigemma.plots.schedule import head_wiring, kv_sharing_arcs, layer_schedule
from minigemma.plots.style import save

__all__ = [
    "active_parameters",
    "attention_grid",
    "attention_head",
    "attention_row",
    "branch_norms",
    "bytes_ladder",
    "clock_faces",
    "cosine_decay",
    "distinct_experts",
    "expert_load",
    "head_wiring",
    "key_value_residual",
    "kv_cache_bytes",
    "kv_sharing_arcs",
    "layer_schedule",
    "logit_lens",
    "pair_ruler",
    "prefill_decode",
    "qk_by_position",
    "rope_angles",
    "rotation_bars",
    "router_heatmap",
    "router_waterfall",
    "save",
    "soft_cap_curve",
    "storage_tiles",
    "wavelengths",
]
