"""Pictures: pure functions of arrays and configs that return a matplotlib Figure. One file an idea."""

from minigemma.plots.attention import attention_head, attention_row
from minigemma.plots.attention_grid import attention_grid, attention_view
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
from minigemma.plots.parameters import parameter_bars
from minigemma.plots.ple import ple_bytes, ple_contribution, ple_parts, ple_row
from minigemma.plots.residual import rms_depth, rms_ladder, row_norms, score_histograms
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
from minigemma.plots.sequence import sequence_strip, token_strip
from minigemma.plots.style import save
from minigemma.plots.window import compute_ratio, dilution, generation_window, mask_pair, receptive_field

__all__ = [
    "active_parameters",
    "attention_grid",
    "attention_head",
    "attention_row",
    "attention_view",
    "branch_norms",
    "bytes_ladder",
    "clock_faces",
    "compute_ratio",
    "cosine_decay",
    "dilution",
    "distinct_experts",
    "expert_load",
    "generation_window",
    "head_wiring",
    "key_value_residual",
    "kv_cache_bytes",
    "kv_sharing_arcs",
    "layer_schedule",
    "logit_lens",
    "mask_pair",
    "pair_ruler",
    "parameter_bars",
    "ple_bytes",
    "ple_contribution",
    "ple_parts",
    "ple_row",
    "prefill_decode",
    "qk_by_position",
    "receptive_field",
    "rms_depth",
    "rms_ladder",
    "rope_angles",
    "rotation_bars",
    "router_heatmap",
    "router_waterfall",
    "row_norms",
    "save",
    "score_histograms",
    "sequence_strip",
    "soft_cap_curve",
    "storage_tiles",
    "token_strip",
    "wavelengths",
]
