"""Pictures: pure functions of arrays and configs that return a matplotlib Figure. One file an idea."""

from minigemma.plots.attention import attention_head, attention_row
from minigemma.plots.attention_grid import attention_grid, attention_view
from minigemma.plots.budgets import budget_calculator, budgets, patch_grid, patch_numbers
from minigemma.plots.cache import cache_contents, key_value_residual, prefill_decode, storage_tiles
from minigemma.plots.cache_size import bytes_ladder, cache_calculator, cache_growth, kv_cache_bytes
from minigemma.plots.conformer import chunk_mask, conformer_path, relative_bias, relative_shift, sound_reach
from minigemma.plots.conformer_view import sound_head, sound_spread
from minigemma.plots.decoding import decode_times, token_path
from minigemma.plots.generations import key_against_value, value_sizes
from minigemma.plots.heads import head_habits
from minigemma.plots.image_mask import image_mask
from minigemma.plots.layer_step import layer_step
from minigemma.plots.lens import logit_lens, next_tokens, soft_cap_curve
from minigemma.plots.lens_layers import lens_by_layer, lens_ranks
from minigemma.plots.looking import patch_attention, patch_similarity
from minigemma.plots.mel import frame_stages, mel_filter_bank
from minigemma.plots.model_map import model_map
from minigemma.plots.moe import (
    active_parameters,
    branch_norms,
    distinct_experts,
    expert_load,
    router_heatmap,
    router_view,
    router_waterfall,
)
from minigemma.plots.parameters import parameter_bars
from minigemma.plots.patch_view import patch_padding, patch_view
from minigemma.plots.picture_cost import budget_detail, budget_work, picture_cost
from minigemma.plots.places import position_tables, rope2d_angles, rope2d_similarity
from minigemma.plots.ple import ple_bytes, ple_contribution, ple_parts, ple_row
from minigemma.plots.reach import answer_by_window, dilution, receptive_field, spread
from minigemma.plots.residual import rms_depth, rms_ladder, row_norms, score_histograms, stream_shares
from minigemma.plots.rope import clock_faces, pair_ruler, qk_by_position, rotation_bars
from minigemma.plots.rope_scales import cosine_decay, loss_by_fraction, rope_angles, wavelengths
from minigemma.plots.schedule import head_wiring, layer_schedule
from minigemma.plots.senses import senses_view
from minigemma.plots.sequence import sequence_strip, token_strip
from minigemma.plots.shares import answer_shares
from minigemma.plots.sharing import kv_sharing_arcs, loss_by_source, readers
from minigemma.plots.soft_tokens import soft_token_attention, soft_token_grid, soft_token_readers
from minigemma.plots.sound_view import frame_view, sound_shapes, token_view
from minigemma.plots.sources import ple_along, share_by_layer, source_map
from minigemma.plots.spectrogram import (
    convolution_stages,
    sound_attention,
    token_span,
    waveform_and_mel,
)
from minigemma.plots.style import save
from minigemma.plots.whatif import difference_growth, difference_map, what_if
from minigemma.plots.window import compute_ratio, generation_window, mask_pair

__all__ = [
    "active_parameters",
    "answer_by_window",
    "answer_shares",
    "attention_grid",
    "attention_head",
    "attention_row",
    "attention_view",
    "branch_norms",
    "budget_calculator",
    "budget_detail",
    "budget_work",
    "budgets",
    "bytes_ladder",
    "cache_calculator",
    "cache_contents",
    "cache_growth",
    "chunk_mask",
    "clock_faces",
    "compute_ratio",
    "conformer_path",
    "convolution_stages",
    "cosine_decay",
    "decode_times",
    "difference_growth",
    "difference_map",
    "dilution",
    "distinct_experts",
    "expert_load",
    "frame_stages",
    "frame_view",
    "generation_window",
    "head_habits",
    "head_wiring",
    "image_mask",
    "key_against_value",
    "key_value_residual",
    "kv_cache_bytes",
    "kv_sharing_arcs",
    "layer_schedule",
    "layer_step",
    "lens_by_layer",
    "lens_ranks",
    "logit_lens",
    "loss_by_fraction",
    "loss_by_source",
    "mask_pair",
    "mel_filter_bank",
    "model_map",
    "next_tokens",
    "pair_ruler",
    "parameter_bars",
    "patch_attention",
    "patch_grid",
    "patch_numbers",
    "patch_padding",
    "patch_similarity",
    "patch_view",
    "picture_cost",
    "ple_along",
    "ple_bytes",
    "ple_contribution",
    "ple_parts",
    "ple_row",
    "position_tables",
    "prefill_decode",
    "qk_by_position",
    "readers",
    "receptive_field",
    "relative_bias",
    "relative_shift",
    "rms_depth",
    "rms_ladder",
    "rope2d_angles",
    "rope2d_similarity",
    "rope_angles",
    "rotation_bars",
    "router_heatmap",
    "router_view",
    "router_waterfall",
    "row_norms",
    "save",
    "score_histograms",
    "senses_view",
    "sequence_strip",
    "share_by_layer",
    "soft_cap_curve",
    "soft_token_attention",
    "soft_token_grid",
    "soft_token_readers",
    "sound_attention",
    "sound_head",
    "sound_reach",
    "sound_shapes",
    "sound_spread",
    "source_map",
    "spread",
    "storage_tiles",
    "stream_shares",
    "token_path",
    "token_span",
    "token_strip",
    "token_view",
    "value_sizes",
    "waveform_and_mel",
    "wavelengths",
    "what_if",
]
