"""Names, shapes and counts against the figures published for the released files, and against transformers."""

import math
import re
from pathlib import Path

import pytest
from small_models import SHAPES, small_config

from minigemma.config import PRESETS
from minigemma.hub_config import to_hub
from minigemma.parameters import (
    AUDIO,
    TEXT,
    VISION,
    parameter_count,
    parameters_in_use,
    tensor_shapes,
    unused_tensors,
)

#                   tensors and parameters: in the released file         as the reference builds the model
TOTALS = {
    "E2B": ((2011, 5_123_178_979), (1951, 5_104_298_467)),
    "E4B": ((2130, 7_996_157_418), (2076, 7_941_101_802)),
    "26B-A4B": ((1013, 25_805_936_206), (1013, 25_805_936_206)),
    "31B": ((1188, 31_273_088_876), (1188, 31_273_088_876)),
}
TOWERS = {  # vision, audio, embed_vision, embed_audio
    "E2B": (167_365_056, 304_825_088, 1_179_648, 2_359_296),
    "E4B": (167_365_056, 304_825_088, 1_966_080, 3_932_160),
    "26B-A4B": (569_550_384, 0, 3_244_032, 0),
    "31B": (569_550_384, 0, 6_193_152, 0),
}
TABLES = {  # embedding, per-layer table, rest of the decoder
    "E2B": (402_653_184, 2_348_810_240, 1_877_105_955),
    "E4B": (671_088_640, 2_818_572_288, 3_973_352_490),
    "26B-A4B": (738_197_504, 0, 24_494_944_286),
    "31B": (1_409_286_144, 0, 29_288_059_196),
}


def below(shapes, prefix):
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(prefix))


@pytest.mark.parametrize("name", PRESETS)
def test_totals(name):
    config = PRESETS[name]
    for dead_kv, (tensors, parameters) in zip((True, False), TOTALS[name], strict=True):
        assert len(tensor_shapes(config, dead_kv)) == tensors
        assert sum(parameter_count(config, dead_kv).values()) == parameters


@pytest.mark.parametrize("name", PRESETS)
def test_parts(name):
    shapes, counts = tensor_shapes(PRESETS[name]), parameter_count(PRESETS[name])
    towers = tuple(below(shapes, part) for part in (VISION, AUDIO, "model.embed_vision", "model.embed_audio"))
    assert towers == TOWERS[name]
    assert (counts["vision tower"], counts.get("audio tower", 0), counts["projectors"]) == (
        *towers[:2],
        sum(towers[2:]),
    )
    embedding, table = below(shapes, TEXT + "embed_tokens.w"), below(shapes, TEXT + "embed_tokens_per")
    assert (embedding, table, below(shapes, TEXT) - embedding - table) == TABLES[name]
    assert counts["embedding"] == embedding


def test_experts_and_dead_keys():
    assert parameter_count(PRESETS["26B-A4B"])["experts"] == 22_837_985_280
    dead = unused_tensors(PRESETS["E2B"])
    assert dead.pop("lm_head.weight") == (262_144, 1536)
    assert (len(dead), sum(map(math.prod, dead.values()))) == (60, 18_880_512)
    dead = unused_tensors(PRESETS["E4B"])
    del dead["lm_head.weight"]
    assert (len(dead), sum(map(math.prod, dead.values()))) == (54, 55_055_616)


def test_a_few_shapes():
    shapes = tensor_shapes(PRESETS["26B-A4B"])
    layer = TEXT + "layers.5."
    assert shapes[layer + "experts.gate_up_proj"] == (128, 1408, 2816)
    assert shapes[layer + "self_attn.k_proj.weight"] == (1024, 2816)
    assert layer + "self_attn.v_proj.weight" not in shapes
    shapes = tensor_shapes(PRESETS["E2B"], dead_kv=True)
    assert shapes[TEXT + "layers.15.mlp.gate_proj.weight"] == (12288, 1536)
    assert shapes[TEXT + "layers.19.self_attn.v_proj.weight"] == (512, 1536)
    assert shapes["model.audio_tower.layers.3.self_attn.post.output_max"] == ()


def test_the_page_about_released_weights_says_the_same():
    page = (Path(__file__).parent.parent / "RELEASED_WEIGHTS.md").read_text()
    columns = {"tensors in the file": [], "parameters in the file": [], "parameters of the model": [],
               "read for one token of text": []}  # fmt: skip
    for name, config in PRESETS.items():
        (tensors, stored), (_, parameters) = TOTALS[name]
        numbers = tensors, stored, parameters, parameters_in_use(config)
        for column, number in zip(columns.values(), numbers, strict=True):
            column.append(f"{number:,}")
    for row, numbers in columns.items():
        assert f"| {row} | {' | '.join(numbers)} |" in page
    assert len(re.search(r"```\n(0\.01782[^`]*)```", page)[1].split()) == PRESETS["E2B"].text.num_hidden_layers


@pytest.mark.reference
@pytest.mark.parametrize("name", [*PRESETS, *SHAPES])
def test_names_and_shapes_are_those_of_transformers(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = PRESETS[name] if name in PRESETS else small_config(name, towers=True)
    with torch.device("meta"):
        model = transformers.Gemma4ForConditionalGeneration(transformers.Gemma4Config(**to_hub(config)))
    theirs = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert theirs.pop("lm_head.weight") == (config.text.vocab_size, config.text.hidden_size)
    assert tensor_shapes(config) == theirs
