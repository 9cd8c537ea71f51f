"""The pictures of the text part: every function returns a labelled Figure, takes the edges, and leaks nothing."""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from minigemma import numbers, plots
from minigemma.cache import cache_bytes
from minigemma.config import GLOBAL, LOCAL, PRESETS
from minigemma.errors import InputError
from minigemma.interleaving import schedule
from minigemma.ops import rms_norm, softmax
from minigemma.parameters import parameter_count
from minigemma.plots import style
from minigemma.rope import rotate, rotation_frequencies, rotation_table

K = 1024
TEXT = {name: config.text for name, config in PRESETS.items()}
SMALL = replace(
    TEXT["E2B"],
    num_hidden_layers=10,
    layer_types=TEXT["E2B"].layer_types[:10],
    num_kv_shared_layers=5,
    sliding_window=4,
)
RNG = np.random.default_rng(0)
AWKWARD = ["<bos>", "▁the", "$x_1$", "\n", "\t", "日本語", "🙂", "", " ", "a" * 40, "\\frac", "%", "<0x0A>"]


def tokens(count: int) -> list[str]:
    return (AWKWARD * (count // len(AWKWARD) + 1))[:count]


def pattern(heads: int, T: int, window: int | None = None) -> np.ndarray:
    scores = RNG.normal(size=(heads, T, T))
    scores[:, ~numbers.visible(T, window)] = -np.inf
    return softmax(scores).astype(np.float32)


def routing(T: int, E: int = 16, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    probabilities = softmax(RNG.normal(size=(T, E)))
    return probabilities, np.argsort(-probabilities, axis=-1)[:, :k]


def rope_vectors(width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    vector = RNG.normal(size=width).astype(np.float32)
    rotation = rotation_table(np.array([7]), rotation_frequencies(width, 1e6, 0.25))
    return vector, rotate(vector[None, None], rotation)[0, 0]


def lens(L: int, T: int) -> tuple:
    return [tokens(T)] * L, RNG.uniform(size=(L, T)), tokens(T)


SPECS = schedule(SMALL)
STREAM = np.exp(RNG.normal(size=10))
ROW = RNG.normal(size=(10, 32))
BEFORE, AFTER = rope_vectors()

CASES = {
    "attention_grid": lambda: plots.attention_grid(
        [pattern(4, 12, s.window) for s in SPECS], SPECS, tokens(12), selected=(4, 1)
    ),
    "attention_grid, one": lambda: plots.attention_grid(np.ones((1, 1, 1, 1)), hide_first=True),
    "attention_grid, long and deep": lambda: plots.attention_grid([pattern(2, 300)] * 13, tokens=tokens(300)),
    "attention_grid, many heads": lambda: plots.attention_grid([pattern(32, 5)], heads=None),
    "attention_view": lambda: plots.attention_view(
        [pattern(4, 12, s.window) for s in SPECS], SPECS, tokens(12), 4, 1, 11, hide_first=True, scale="row-max"
    ),
    "attention_view, one token": lambda: plots.attention_view(np.ones((10, 4, 1, 1)), SPECS, ["<bos>"], 9, 3, 0),
    "attention_view, deep, wide and long": lambda: plots.attention_view(
        [pattern(32, 60, s.window) for s in schedule(TEXT["31B"])],
        schedule(TEXT["31B"]),
        tokens(60),
        59,
        31,
        0,
        note="The first 60 of 61 tokens.",
    ),
    "attention_head": lambda: plots.attention_head(
        pattern(1, 12)[0], tokens(12), query=3, hide_first=True, kind=GLOBAL
    ),
    "attention_head, one token": lambda: plots.attention_head(np.ones((1, 1)), ["<bos>"]),
    "attention_head, 300": lambda: plots.attention_head(pattern(1, 300)[0], tokens(300), scale="log"),
    "attention_head, decoding": lambda: plots.attention_head(
        pattern(1, 9)[0][-1:], ["a"], keys=tokens(9), scale="sqrt"
    ),
    "attention_row": lambda: plots.attention_row(pattern(1, 300)[0], tokens(300)),
    "attention_row, one": lambda: plots.attention_row(np.ones((1, 1))),
    "mask_pair, an image": lambda: plots.mask_pair(12, 4, 5, image=(3, 6)),
    "spread": lambda: plots.spread(np.exp(RNG.normal(size=(10, 40))) * numbers.visible(40)[10:20], SPECS, 3),
    "answer_by_window": lambda: plots.answer_by_window(
        [1, 9], {"Where?": np.array([0.1, 0.9])}, {"Where?": 5}, window=4
    ),
    "layer_schedule": lambda: plots.layer_schedule({**TEXT, "older": (LOCAL,) * 5 + (GLOBAL,) + (LOCAL,)}),
    "layer_schedule, one model": lambda: plots.layer_schedule(SMALL),
    "layer_schedule, a whole config": lambda: plots.layer_schedule(PRESETS["31B"]),
    "layer_schedule, one layer": lambda: plots.layer_schedule((GLOBAL,)),
    "kv_sharing_arcs": lambda: plots.kv_sharing_arcs(PRESETS["E2B"]),
    "kv_sharing_arcs, none shared": lambda: plots.kv_sharing_arcs(TEXT["31B"]),
    "readers": lambda: plots.readers(
        {s.index: pattern(8, 12, s.window) for s in SPECS}, SPECS, tokens(12), 11, 7, hide_first=True
    ),
    "loss_by_source": lambda: plots.loss_by_source({0: 3.0, 3: 2.0}, 3),
    "head_wiring": lambda: plots.head_wiring(PRESETS),
    "head_wiring, one": lambda: plots.head_wiring(SMALL),
    "router_heatmap": lambda: plots.router_heatmap(*routing(12), tokens(12)),
    "router_heatmap, 300 × 128": lambda: plots.router_heatmap(*routing(300, 128, 8), tokens(300)),
    "router_heatmap, one": lambda: plots.router_heatmap(*routing(1)),
    "expert_load": lambda: plots.expert_load(routing(12)[1], 16),
    "expert_load, by domain": lambda: plots.expert_load({"prose": routing(30)[1], "python": routing(1)[1]}, 16),
    "router_waterfall": lambda: plots.router_waterfall(RNG.normal(size=16), 4, RNG.uniform(size=16)),
    "branch_norms": lambda: plots.branch_norms(np.ones(300), np.ones(300), tokens(300)),
    "active_parameters": lambda: plots.active_parameters(*numbers.active_parameters(TEXT["26B-A4B"])),
    "distinct_experts": lambda: plots.distinct_experts(measured={4: 20.0}),
    "kv_cache_bytes": lambda: plots.kv_cache_bytes(PRESETS, context=200 * K),
    "kv_cache_bytes, one": lambda: plots.kv_cache_bytes(SMALL, [1]),
    "cache_calculator": lambda: plots.cache_calculator(TEXT["E2B"], 32 * K, 1, name="E2B"),
    "cache_calculator, K=V": lambda: plots.cache_calculator(TEXT["31B"], 256 * K, keep="one tensor"),
    "cache_growth": lambda: plots.cache_growth(*(range(1, 4), *[{LOCAL: np.ones(3), GLOBAL: np.arange(3)}] * 2)),
    "cache_contents": lambda: plots.cache_contents({"local": (ROW[6:], 6), "global": (ROW, 0)}, tokens(10)),
    "bytes_ladder": lambda: plots.bytes_ladder(numbers.kv_ladder(TEXT["31B"])),
    "key_value_residual": lambda: plots.key_value_residual(AFTER, BEFORE, np.ones(64)),
    "storage_tiles": plots.storage_tiles,
    "prefill_decode": lambda: plots.prefill_decode(5, 3, window=4),
    "prefill_decode, one": lambda: plots.prefill_decode(1, 0),
    "rope_angles": lambda: plots.rope_angles(TEXT["31B"]),
    "rope_angles, one position": lambda: plots.rope_angles(rotation_frequencies(8, 1e4), [0]),
    "clock_faces": lambda: plots.clock_faces(rotation_frequencies(64, 1e6, 0.25), 3),
    "clock_faces, a real key": lambda: plots.clock_faces(rotation_frequencies(64, 1e6, 0.25), 9, vector=BEFORE),
    "loss_by_fraction": lambda: plots.loss_by_fraction([0, 1], {LOCAL: np.ones(2)}, {LOCAL: 1}),
    "clock_faces, one pair": lambda: plots.clock_faces(rotation_frequencies(2, 1e4), 0),
    "pair_ruler": plots.pair_ruler,
    "pair_ruler, one pair": lambda: plots.pair_ruler(2, 1.0),
    "qk_by_position": lambda: plots.qk_by_position(
        numbers.scores_by_position(BEFORE, AFTER, rotation_frequencies(64, 1e4), 20)
    ),
    "wavelengths": lambda: plots.wavelengths(PRESETS["31B"]),
    "wavelengths, none turns": lambda: plots.wavelengths({"still": np.zeros(4)}),
    "cosine_decay": lambda: plots.cosine_decay({"a": np.ones(3)}, np.array([1, 8, 64])),
    "rotation_bars": lambda: plots.rotation_bars(BEFORE, AFTER),
    "next_tokens": lambda: plots.next_tokens(
        {"whole": np.array([0.5, 0.2]), "without": np.array([0.1, 0.6])}, ["a", "▁b"]
    ),
    "logit_lens": lambda: plots.logit_lens(*lens(10, 8)),
    "logit_lens, 60 × 300": lambda: plots.logit_lens(*lens(60, 300)),
    "logit_lens, one": lambda: plots.logit_lens(*lens(1, 1)),
    "lens_ranks": lambda: plots.lens_ranks([tokens(5)] * 60, np.ones((60, 5)) / 5, range(60), np.arange(1, 61), "a"),
    "lens_by_layer": lambda: plots.lens_by_layer({"same": np.ones(len(SPECS) + 1)}, SPECS),
    "token_path": lambda: plots.token_path(ROW[[0, *range(len(SPECS))]], SPECS, {"RMS": tokens(len(SPECS) + 1)}),
    "decode_times": lambda: plots.decode_times([8, 64], {"with": np.ones(2), "without": np.array([1, 8])}),
    "soft_cap_curve": plots.soft_cap_curve,
    "soft_cap_curve, with logits": lambda: plots.soft_cap_curve(30.0, RNG.normal(size=13) * 40, AWKWARD),
    "mask_pair": lambda: plots.mask_pair(12, 4, 6, tokens=tokens(12)),
    "mask_pair, one token": lambda: plots.mask_pair(1, 4),
    "mask_pair, 300": lambda: plots.mask_pair(300, 64),
    "generation_window": lambda: plots.generation_window(tokens(9), 4),
    "generation_window, 300": lambda: plots.generation_window(tokens(300), 16),
    "generation_window, one": lambda: plots.generation_window(["a"], 1),
    "receptive_field": lambda: plots.receptive_field({n: (t.layer_types, t.sliding_window) for n, t in TEXT.items()}),
    "receptive_field, one layer": lambda: plots.receptive_field({"a": ((GLOBAL,), 4), "b": ((LOCAL,), 4)}),
    "dilution": lambda: plots.dilution({"local": numbers.influence((LOCAL,) * 4, 3, 12), "one": np.ones((1, 1))}),
    "compute_ratio": plots.compute_ratio,
    "rms_ladder": lambda: plots.rms_ladder({"stream: in": 12.0, "attention": 0.1, "stream: out": 0.2}),
    "rms_depth": lambda: plots.rms_depth({"with": STREAM, "without": STREAM * 2}, SPECS),
    "rms_depth, one layer": lambda: plots.rms_depth({"with": [1.0]}),
    "score_histograms": lambda: plots.score_histograms({"raw": RNG.normal(size=(2, 9, 9)), "one": np.zeros((1, 1))}),
    "row_norms": lambda: plots.row_norms({"values": rms_norm(RNG.normal(size=(5, 3, 16)))}, 4.0),
    "ple_row": lambda: plots.ple_row(ROW, "$cat_1"),
    "ple_row, one layer": lambda: plots.ple_row(ROW[:1]),
    "ple_parts": lambda: plots.ple_parts(ROW, ROW / 2, ROW),
    "ple_contribution": lambda: plots.ple_contribution(STREAM / 9, STREAM, SPECS),
    "ple_bytes": lambda: plots.ple_bytes(PRESETS),
    "token_strip": lambda: plots.token_strip(tokens(13), range(13), ["text"] * 12 + ["image"]),
    "token_strip, 300": lambda: plots.token_strip(tokens(300)),
    "token_strip, one": lambda: plots.token_strip(["a"], [7]),
    "sequence_strip": lambda: plots.sequence_strip(["text"] * 3 + ["image"] * 64 + ["text"] + ["audio"] * 25),
    "parameter_bars": lambda: plots.parameter_bars({n: parameter_count(c) for n, c in PRESETS.items()}),
    "parameter_bars, per cent": lambda: plots.parameter_bars({"a": {"embedding": 3, "other": 1}}, relative=True),
}


@pytest.mark.parametrize("case", CASES)
def test_picture(case):
    figure = CASES[case]()
    assert isinstance(figure, Figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph or a layout that does not fit
        figure.draw_without_rendering()
    texts = [t for t in figure.findobj(mpl.text.Text) if t.get_text().strip() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= style.SMALL
    titles = [t.get_text() for t in figure.texts] + [figure.get_suptitle()]
    titles += [legend.get_title().get_text() for legend in figure.legends]
    titles += [a.get_title(loc="left") for a in figure.axes]
    assert any(titles), "no title"
    drawn = [a for a in figure.axes if a.get_label() != "<colorbar>"]
    assert any(a.get_xlabel() for a in drawn), "no axis is labelled"
    assert all(a.get_ylabel() for a in figure.axes if a.get_label() == "<colorbar>"), "a colour bar has no label"


def test_every_public_picture_is_tried():
    """Here, or by name in the tests of the vision and audio pictures and of the explorers."""
    tried = {case.split(",")[0] for case in CASES}
    package = Path(plots.__file__).parents[1]
    files = [*Path(__file__).parent.glob("test_*.py"), *(package / "explore").glob("*.py")]
    elsewhere = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [name for name in plots.__all__ if name not in tried | {"save"} and f"{name}(" not in elsewhere] == []


def test_no_pyplot():
    """Pictures are made without pyplot's global list of figures."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = pyplot.get_fignums() if pyplot else []
    for case in ("attention_head", "kv_cache_bytes", "logit_lens"):
        CASES[case]()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert (pyplot.get_fignums() if pyplot else []) == before


def test_a_figure_shows_itself_and_is_saved_the_same_twice(tmp_path):
    assert CASES["storage_tiles"]()._repr_png_().startswith(b"\x89PNG")
    png, svg = plots.save(CASES["bytes_ladder"](), tmp_path / "new" / "ladder.v2")
    assert (png.name, svg.name) == ("ladder.v2.png", "ladder.v2.svg")
    first = png.read_bytes(), svg.read_bytes()
    plots.save(CASES["bytes_ladder"](), tmp_path / "new" / "ladder.v2.png")
    assert (png.read_bytes(), svg.read_bytes()) == first


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: plots.attention_grid([]),
        lambda: plots.attention_grid([np.ones((3, 3))]),
        lambda: plots.attention_head(np.ones((3, 3)), ["a"]),
        lambda: plots.attention_head(np.ones((0, 0))),
        lambda: plots.attention_head(np.ones((2, 2)), scale="cube"),
        lambda: plots.router_heatmap(np.ones((3, 4)), np.full((3, 2), 4)),
        lambda: plots.router_heatmap(np.ones((3, 4)), np.zeros((2, 2), int)),
        lambda: plots.expert_load(np.array([[5]]), 4),
        lambda: plots.router_waterfall(np.ones(4), 5),
        lambda: plots.logit_lens([["a"]], np.ones((2, 1)), ["a"]),
        lambda: plots.lens_ranks([["a"]], np.ones((1, 1)), [0, 1], np.ones(1), "a"),
        lambda: plots.lens_by_layer({"same": np.ones(3)}, SPECS),
        lambda: plots.token_path(np.ones((3, 4)), SPECS, {}),
        lambda: plots.decode_times([1], {}),
        lambda: plots.rope_angles({}),
        lambda: plots.clock_faces(np.ones(4), 1, [4]),
        lambda: plots.pair_ruler(7),
        lambda: plots.mask_pair(4, 0),
        lambda: plots.mask_pair(4, 2, tokens=["a"]),
        lambda: plots.ple_row(np.ones(3)),
        lambda: plots.ple_bytes(TEXT["31B"]),
        lambda: plots.token_strip(["a"], [1, 2]),
        lambda: plots.sequence_strip(["text", "smell"]),
        lambda: numbers.kv_cache_bytes(SMALL, 4, keep="half"),
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()


def test_labels_are_cropped_thinned_and_shown():
    assert style.printable("a" * 40) == "a" * 11 + "…"
    assert style.printable("a\nb\t") == "a↵b⇥"
    assert style.printable("🙂") == "U+1F642"
    figure = plots.attention_head(pattern(1, 300)[0], tokens(300))
    assert any("of 300 tokens is labelled" in t.get_text() for t in figure.findobj(mpl.text.Text))


def test_the_grid_keeps_the_largest_weight_and_marks_what_is_out_of_sight():
    from minigemma.plots.attention_grid import TILE, thumbnail

    weights = np.zeros((300, 300), np.float32)
    weights[250, 7] = 0.9
    small = thumbnail(weights)
    assert small.shape == (TILE, TILE)
    assert np.nanmax(small) == np.float32(0.9)
    assert np.isnan(small).sum() == TILE * TILE - 1
    assert np.isnan(thumbnail(weights[:, 7:], hide_first=True)).all()


# --- the numbers behind the exact pictures ---------------------------------------------------------------------------


def gib(text, context, **options) -> float:
    return sum(numbers.kv_cache_bytes(text, context, **options).values()) / numbers.GIB


def test_cache_sizes():
    big = TEXT["31B"]
    assert gib(numbers.all_global(big, 32, 512), 256 * K) == 960
    assert gib(numbers.all_global(big, 16, 256), 256 * K) == 240
    assert gib(replace(big, num_global_key_value_heads=16, global_head_dim=256), 256 * K) == pytest.approx(
        40.8, abs=0.05
    )
    assert [gib(big, 256 * K, keep=k) for k in numbers.KEEP] == [20.78125, 13.28125, 10.78125]
    assert numbers.kv_cache_bytes(big, 256 * K)[LOCAL] == 0.78125 * numbers.GIB
    sizes = [round(gib(TEXT["26B-A4B"], 256 * K, keep=k), 3) for k in numbers.KEEP]
    assert sizes == [5.195, 3.320, 2.695]
    for name, with_sharing, without in (("E2B", 0.756, 1.764), ("E4B", 2.020, 3.534)):
        assert gib(TEXT[name], 128 * K) == pytest.approx(with_sharing, abs=5e-4)
        assert gib(numbers.without_sharing(TEXT[name]), 128 * K) == pytest.approx(without, abs=5e-4)
    at_32k = [gib(text, 32 * K) for text in TEXT.values()]
    assert at_32k == pytest.approx([0.193, 0.520, 0.820, 3.281], abs=5e-4)


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("context", [1, 511, 512, 5000])
def test_cache_sizes_agree_with_the_cache_module(name, context):
    assert sum(numbers.kv_cache_bytes(TEXT[name], context).values()) == cache_bytes(TEXT[name], context)


def test_ladder():
    assert list(numbers.kv_ladder(TEXT["31B"]).values()) == [32768, 16384, 4096, 8192, 5120, 4096]
    assert len(numbers.kv_ladder(TEXT["E2B"])) == 4


def test_the_ladder_of_a_whole_cache_ends_at_the_cache():
    big = numbers.cache_ladder(TEXT["31B"], 256 * K, keep="one tensor")
    assert [size / numbers.GIB for size in big.values()] == [960, 120, 20.78125, 10.78125]
    small = numbers.cache_ladder(TEXT["E2B"], 128 * K)
    assert list(small.values())[-1] == sum(numbers.kv_cache_bytes(TEXT["E2B"], 128 * K).values())
    assert list(small.values())[-2] / numbers.GIB == pytest.approx(1.764, abs=5e-4)
    assert len(small) == 4


def test_reach_and_pairs():
    fields = {n: numbers.receptive_field(t.layer_types, t.sliding_window) for n, t in TEXT.items()}
    last_local = [max(r for r in field if r < math.inf) for field in fields.values()]
    assert last_local == [2045, 2556, 5116, 5116]
    only_local = [
        numbers.receptive_field([k for k in TEXT[n].layer_types if k == LOCAL], TEXT[n].sliding_window)[-1]
        for n in ("E2B", "31B")
    ]
    assert only_local == [14_309, 51_151]
    assert numbers.receptive_field((LOCAL,) * 5, 4) == [4, 7, 10, 13, 16]
    assert round(numbers.attended_pairs(4096, 512) / numbers.attended_pairs(4096), 3) == 0.234
    assert round(numbers.attended_pairs(131_072, 512) / numbers.attended_pairs(131_072), 4) == 0.0078


@pytest.mark.parametrize("window", [1, 3, 40, None])
def test_pairs_and_reach_agree_with_masks(window):
    mask = numbers.visible(30, window)
    assert numbers.attended_pairs(30, window) == mask.sum()
    if window == 3:
        power = np.linalg.matrix_power(mask.astype(int), 4) > 0
        assert power[-1].sum() == numbers.receptive_field((LOCAL,) * 4, window)[-1] == 9


def test_influence():
    shares = numbers.influence((LOCAL, LOCAL, GLOBAL), 3, 20)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [(row > 0).sum() for row in shares] == [3, 5, 20]


def test_ring_buffer():
    assert [numbers.ring_buffer(step, 4) for step in (0, 3, 4, 6)] == [
        [0, None, None, None],
        [0, 1, 2, 3],
        [4, 1, 2, 3],
        [4, 5, 6, 3],
    ]


def test_rotation():
    local, full, pruned = numbers.rope_variants(TEXT["31B"]).values()
    assert [len(f) for f in (local, full, pruned)] == [128, 256, 256]
    assert [int((f > 0).sum()) for f in (local, full, pruned)] == [128, 256, 64]
    longest = [w[np.isfinite(w)].max() for w in map(numbers.wavelengths, (local, full, pruned))]
    assert longest == pytest.approx([58_470, 5_953_089, 188.3], rel=3e-4)
    assert numbers.wavelengths(rotation_frequencies(128, 1e6))[-1] == pytest.approx(5_063_256, rel=1e-5)  # the mistake
    unfinished = [[numbers.unfinished_turns(f, c) for c in (512, 128 * K, 256 * K)] for f in (local, full, pruned)]
    assert unfinished == [[66, 0, 0], [174, 71, 58], [0, 0, 0]]
    last = [float(f[f > 0][-1]) * 256 * K for f in (local, full, pruned)]
    assert last[:2] == pytest.approx([28.2, 0.277], rel=2e-3)
    assert last[2] / (2 * np.pi) == pytest.approx(1392, abs=1)


def test_slow_pairs_forget_and_pruned_ones_do_not():
    slow = rotation_frequencies(512, 1e6)[64:]
    decay = numbers.mean_cosine(slow, np.array([1, 1000, 100_000, 256 * K]))
    assert decay == pytest.approx([1.0, 0.61, 0.19, 0.01], abs=0.006)
    assert (numbers.mean_cosine(np.zeros(192), np.array([1, 256 * K])) == 1).all()


def test_scores_depend_on_distance_alone():
    scores = numbers.scores_by_position(BEFORE, AFTER, rotation_frequencies(64, 1e4), 12)
    for offset in range(-11, 12):
        diagonal = np.diagonal(scores, offset)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)
    assert np.ptp(scores) > 1


def test_key_is_value_weighted_and_turned():
    """The identity under K=V, drawn by key_value_residual: equal on the 384 coordinates that do not turn."""
    raw, weight = RNG.normal(size=(1, 1, 512)), RNG.uniform(0.5, 1.5, 512)
    rotation = rotation_table(np.array([1000]), rotation_frequencies(512, 1e6, 0.25))
    value = rms_norm(raw)
    key = rotate(rms_norm(raw, weight), rotation)
    np.testing.assert_array_equal(key, rotate(value * weight, rotation))
    same = (key == value * weight)[0, 0]
    turned = np.r_[0:64, 256:320]
    assert same.sum() == 384
    assert not same[turned].any()


def test_parameters_and_experts():
    assert numbers.active_parameters(TEXT["26B-A4B"]) == (3_822_530_560, 25_233_141_760)
    assert numbers.active_parameters(TEXT["31B"]) == (30_697_345_280,) * 2
    assert numbers.active_parameters(TEXT["E2B"])[1] == 4_628_569_344
    assert numbers.active_parameters(TEXT["E4B"])[1] == 7_463_013_376
    assert numbers.expert_parameters(TEXT["26B-A4B"]) == 5_947_392
    assert numbers.idle_parameters(TEXT["26B-A4B"]) == 22_837_985_280 * 120 // 128
    assert numbers.feed_forward_width(TEXT["26B-A4B"]) == 7744
    assert numbers.feed_forward_width(TEXT["31B"]) == 21_504
    awake = numbers.expected_experts(np.array([1, 8, 32, 10_000]))
    assert awake == pytest.approx([8, 51.6, 111.8, 128], abs=0.05)


def test_per_layer_embeddings():
    assert numbers.ple_bytes_per_token(TEXT["E2B"]) == 17_920
    assert numbers.ple_bytes_per_token(TEXT["E4B"]) == 21_504
    assert numbers.ple_table_bytes(TEXT["E2B"]) == 4.375 * numbers.GIB
    assert numbers.ple_table_bytes(TEXT["E4B"]) == 5.25 * numbers.GIB


def test_rms():
    assert numbers.rms(np.array([3.0, -4.0])) == pytest.approx(math.sqrt(12.5))
