"""The config reader: both spellings, missing keys, noise, and every contradiction by name."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SHAPES, small_config

from minigemma.config import GLOBAL, LOCAL, PRESETS, Config, Sampling, read_config
from minigemma.config_checks import validate
from minigemma.errors import ConfigError
from minigemma.hub_config import from_hub, to_hub

E2B, MOE = to_hub(PRESETS["E2B"]), to_hub(PRESETS["26B-A4B"])
ABSENT = object()


def changed(hub: dict, path: str, value: object) -> dict:
    """A copy with one key (``text_config.head_dim``) changed, or removed."""
    hub = copy.deepcopy(hub)
    *outer, last = path.split(".")
    inner = hub
    for name in outer:
        inner = inner[name]
    if value is ABSENT:
        del inner[last]
    else:
        inner[last] = value
    return hub


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_possible_and_survive_the_journey_to_the_hub_and_back(name):
    assert validate(PRESETS[name]) is PRESETS[name]
    assert from_hub(json.loads(json.dumps(to_hub(PRESETS[name])))) == PRESETS[name]
    assert Config.from_hub(to_hub(PRESETS[name])) == PRESETS[name]


@pytest.mark.parametrize("shape", SHAPES)
def test_small_models_survive_the_journey(shape):
    config = small_config(shape, towers=True)
    assert from_hub(to_hub(config)) == config


@pytest.mark.parametrize("name", PRESETS)
def test_per_layer_spelling_means_the_same(name):
    text, hub = PRESETS[name].text, to_hub(PRESETS[name])
    del hub["text_config"]["global_head_dim"], hub["text_config"]["num_global_key_value_heads"]
    hub["text_config"]["per_layer_config"] = {
        f"{i:02d}": {"head_dim": 512, "num_key_value_heads": text.num_global_key_value_heads}
        for i, kind in enumerate(text.layer_types)
        if kind == GLOBAL
    }
    assert from_hub(hub) == PRESETS[name]


def test_per_layer_spelling_beats_the_plain_keys_and_may_be_empty():
    hub = changed(E2B, "text_config.per_layer_config", {})
    assert from_hub(hub).text.global_head_dim == 256  # no override: all layers alike
    layers = {str(i): {"head_dim": 128} for i in range(4, 35, 5)}
    assert from_hub(changed(E2B, "text_config.per_layer_config", layers)).text.global_head_dim == 128
    same = {"3": {"sliding_window": 512, "skip": None}}
    assert from_hub(changed(E2B, "text_config.per_layer_config", same)).text.head_dim == 256


def test_global_kv_heads_count_only_where_keys_are_values():
    assert from_hub(changed(E2B, "text_config.num_global_key_value_heads", 4)).text.num_global_key_value_heads == 1
    assert from_hub(changed(MOE, "text_config.num_global_key_value_heads", None)).text.num_global_key_value_heads == 8


def test_missing_and_null_mean_what_the_reference_means():
    text = from_hub({"model_type": "gemma4", "text_config": {}}).text
    assert (text.hidden_size, text.num_hidden_layers, text.intermediate_size) == (2304, 30, 9216)
    assert (text.num_attention_heads, text.num_key_value_heads, text.num_global_key_value_heads) == (8, 4, 4)
    assert (text.hidden_size_per_layer_input, text.final_logit_softcapping) == (256, None)
    assert text.layer_types == ((LOCAL,) * 5 + (GLOBAL,)) * 5
    assert (text.rope_theta_local, text.rope_theta_global, text.rope_fraction_global) == (1e4, 1e6, 0.25)
    hub = {name: None for name in E2B["text_config"]}
    assert from_hub({"model_type": "gemma4", "text_config": hub}).text == text
    odd = from_hub({"model_type": "gemma4", "text_config": {"num_hidden_layers": 4}})
    assert odd.text.layer_types == (LOCAL, LOCAL, LOCAL, GLOBAL)  # the last is global whatever the count


def test_noise_is_ignored():
    hub = copy.deepcopy(E2B) | {"id2label": {"0": "x"}, "chunk_size_feed_forward": 0, "expert_intermediate_size": 3}
    hub["text_config"] |= {"return_dict": True, "problem_type": None, "use_cache": False, "attention_dropout": 0.0}
    hub["vision_config"] |= {"global_head_dim": 7, "max_position_embeddings": 131072}
    assert from_hub(hub) == PRESETS["E2B"]


def test_text_half_alone():
    hub = E2B["text_config"] | {"eos_token_id": [1, 106]}
    config = from_hub(hub)
    assert config.text == PRESETS["E2B"].text
    assert config.vision is config.audio is None
    assert config.eos_token_ids == (1, 106)


def test_end_of_audio_has_two_spellings():
    assert from_hub(changed(E2B, "eoa_token_index", 7)).eoa_token_id == 7
    hub = changed(E2B, "eoa_token_index", ABSENT)
    assert from_hub(hub | {"eoa_token_id": 8}).eoa_token_id == 8
    assert from_hub(hub).eoa_token_id == 258_883


CONTRADICTIONS = [  # where, what is given, words of the message
    ("text_config.num_key_value_heads", 3, "num_attention_heads is 8; expected a multiple of num_key_value_heads = 3"),
    ("text_config.layer_types", [GLOBAL] * 34 + [LOCAL], "the last layer must be full_attention"),
    ("text_config.layer_types", [LOCAL] * 34 + [GLOBAL], "no full_attention layer with keys and values of its own"),
    ("text_config.layer_types", [LOCAL, GLOBAL], "layer_types names 2 layers, not 35"),
    ("text_config.layer_types", [LOCAL] * 34 + ["chunked"], "layer_types has ['chunked']"),
    ("text_config.layer_types", "full_attention", "layer_types is 'full_attention'"),
    ("text_config.num_kv_shared_layers", 35, "num_kv_shared_layers is 35; expected fewer than num_hidden_layers"),
    ("text_config.hidden_size", -1536, "text_config.hidden_size is -1536; expected a whole number from 1"),
    ("text_config.hidden_size", 0, "text_config.hidden_size is 0"),
    ("text_config.hidden_size", True, "text_config.hidden_size is True"),
    ("text_config.hidden_size", 1536.0, "text_config.hidden_size is 1536.0"),
    ("text_config.hidden_size", "1536", "text_config.hidden_size is '1536'"),
    ("text_config.hidden_size", 10**400, "text_config.hidden_size is a huge number"),
    ("text_config.num_hidden_layers", 10**9, "num_hidden_layers is 1000000000; expected 1 to 10000"),
    ("text_config.num_hidden_layers", True, "num_hidden_layers is True"),
    ("text_config.head_dim", 255, "text_config.head_dim is 255; expected an even number"),
    ("text_config.global_head_dim", 511, "text_config.global_head_dim is 511; expected an even number"),
    ("text_config.sliding_window", 0, "text_config.sliding_window is 0"),
    ("text_config.use_bidirectional_attention", "all", "only null and 'vision' are supported"),
    ("text_config.hidden_activation", "gelu", "hidden_activation is 'gelu'; supported: 'gelu_pytorch_tanh'"),
    ("text_config.attention_bias", True, "attention_bias is True; supported: False"),
    ("text_config.attention_k_eq_v", "yes", "attention_k_eq_v is 'yes'; expected true or false"),
    ("text_config.rms_norm_eps", float("nan"), "rms_norm_eps is nan; expected a positive number"),
    ("text_config.rms_norm_eps", -1e-6, "rms_norm_eps is -1e-06; expected a positive number"),
    ("text_config.final_logit_softcapping", float("inf"), "final_logit_softcapping is inf"),
    ("text_config.final_logit_softcapping", 0, "final_logit_softcapping is 0"),
    ("text_config.pad_token_id", 262_144, "pad_token_id is 262144; expected less than vocab_size"),
    ("text_config.vocab_size_per_layer_input", 5, "vocab_size_per_layer_input is 5"),
    ("text_config.per_layer_config", {"35": {}}, "per_layer_config names layer '35' of 35 layers"),
    ("text_config.per_layer_config", {"x": {}}, "per_layer_config names layer 'x'"),
    ("text_config.per_layer_config", {"4": 3}, "per_layer_config[4] is 3; expected an object"),
    ("text_config.per_layer_config", {"4": {"head_dim": 512}}, "gives full_attention layers different heads"),
    ("text_config.per_layer_config", {"4": {"intermediate_size": 9}}, "per_layer_config[4].intermediate_size is 9"),
    ("text_config.per_layer_config", {"4": {"skip": ["mlp"]}}, "per_layer_config[4].skip is ['mlp']"),
    ("text_config.rope_parameters.full_attention.rope_type", "yarn", "rope_type is 'yarn'"),
    ("text_config.rope_parameters.sliding_attention.rope_type", "linear", "rope_type is 'linear'"),
    ("text_config.rope_parameters.sliding_attention.factor", 8.0, "factor is 8.0; supported: 1.0"),
    ("text_config.rope_parameters.full_attention.rope_theta", "x", "rope_theta_global is 'x'"),
    ("text_config.rope_parameters.full_attention.partial_rotary_factor", 1.5, "rope_fraction_global is 1.5"),
    ("text_config.rope_parameters", {"rope_theta": 1e6}, "rope_parameters has the keys ['rope_theta']"),
    ("tie_word_embeddings", False, "tie_word_embeddings is false"),
    ("text_config", [], "text_config is []; expected an object"),
    ("model_type", "gemma3", "model_type is 'gemma3'; expected 'gemma4', 'gemma4_text' or 'gemma3_text'"),
    ("vision_config.head_dim", 66, "vision_config.head_dim is 66; expected a multiple of 4"),
    ("vision_config.num_key_value_heads", 3, "vision_config.num_key_value_heads is 3; supported: 12"),
    ("vision_config.rope_parameters.rope_type", "yarn", "rope_type is 'yarn'"),
    ("vision_config.num_hidden_layers", 10**8, "vision_config.num_hidden_layers is 100000000"),
    ("audio_config.num_attention_heads", 7, "audio_config.hidden_size is 1024; expected a multiple"),
    ("audio_config.subsampling_conv_channels", [128], "subsampling_conv_channels is (128,); expected two numbers"),
    ("audio_config.hidden_act", "relu", "hidden_act is 'relu'"),
    ("eos_token_id", [1, "x"], "eos_token_ids is (1, 'x')"),
    ("image_token_id", -4, "image_token_id is -4"),
    ("vision_soft_tokens_per_image", -1, "default_soft_tokens is -1"),
]


@pytest.mark.parametrize(("path", "value", "words"), CONTRADICTIONS, ids=lambda each: str(each)[:40])
def test_contradictions_are_named(path, value, words):
    with pytest.raises(ConfigError) as caught:
        from_hub(changed(E2B, path, value))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_experts():
    with pytest.raises(ConfigError, match="top_k_experts is 200, more than num_experts = 128"):
        from_hub(changed(MOE, "text_config.top_k_experts", 200))
    with pytest.raises(ConfigError, match="num_experts is 0; enable_moe_block is true and needs at least 1"):
        from_hub(changed(MOE, "text_config.num_experts", None))


def test_all_faults_in_one_error():
    hub = changed(changed(E2B, "text_config.hidden_size", -1), "audio_config.hidden_size", 1.5)
    with pytest.raises(ConfigError, match=r"(?s)text_config.hidden_size is -1.*audio_config.hidden_size is 1.5"):
        from_hub(hub)


def write(directory, **files):
    for name, content in files.items():
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        (directory / f"{name}.json").write_bytes(text)
    return directory


def test_files_beside_the_config(tmp_path):
    write(tmp_path, config=E2B)
    assert read_config(tmp_path) == read_config(tmp_path / "config.json") == PRESETS["E2B"]
    write(
        tmp_path,
        processor_config={"image_processor": {"max_soft_tokens": 1120}, "image_seq_length": 280},
        generation_config={
            "eos_token_id": [1, 106, 50], "do_sample": True, "temperature": 0.7, "top_k": 64, "top_p": 0.95,
            "suppress_tokens": [258883],
        },
    )  # fmt: skip
    config = read_config(tmp_path)
    assert config.default_soft_tokens == 1120
    assert config.eos_token_ids == (1, 106, 50)
    assert config.sampling == Sampling(temperature=0.7, top_k=64, top_p=0.95, suppress_token_ids=(258883,))
    write(tmp_path, generation_config={"temperature": 0.7}, processor_config={"image_seq_length": 70})
    assert read_config(tmp_path).sampling.temperature == 0.0  # greedy unless do_sample
    assert read_config(tmp_path).default_soft_tokens == 70
    write(tmp_path, generation_config={"do_sample": True, "top_p": 3.0})
    with pytest.raises(ConfigError, match=r"generation_config.json.*\n.*top_p is 3.0"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[1]", r"holds \[1\]"),
        (b'"\xff\xfe"', "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b'{"a":' * 100_000, "is not JSON"),
        (b'{"model_type": "gemma4", "text_config": {"hidden_size": 1' + b"0" * 10_000 + b"}}", "is not JSON|huge"),
        (b'{"model_type": "gemma4", "text_config": {"rms_norm_eps": NaN}}', "rms_norm_eps is nan"),
        (b" " * (17 * 2**20), "longer than"),
    ],
    ids=range(9),
)
def test_bad_files(tmp_path, content, words):
    write(tmp_path, config=content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_config(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_PATHS = [(part, name) for part in ("text_config", "vision_config", "audio_config") for name in E2B[part]]
_PATHS += [(None, name) for name in E2B] + [("text_config", "per_layer_config")]


@given(st.lists(st.tuples(st.sampled_from(_PATHS), _JSON), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_values_give_a_config_or_a_config_error(changes):
    hub = copy.deepcopy(E2B)
    for (part, name), value in changes:
        if part is None or isinstance(hub.get(part), dict):
            (hub if part is None else hub[part])[name] = value
    try:
        config = from_hub(hub)
    except ConfigError:
        return
    assert validate(config) is config


@pytest.mark.reference
@settings(max_examples=60, deadline=None)
@given(gone=st.sets(st.sampled_from(sorted(set(E2B["text_config"]) - {"layer_types"}))), moe=st.booleans())
def test_missing_keys_mean_what_they_mean_to_transformers(gone, moe):
    transformers = pytest.importorskip("transformers")
    hub = {name: value for name, value in (MOE if moe else E2B)["text_config"].items() if name not in gone}
    hub["num_hidden_layers"] = len(hub["layer_types"])
    try:
        ours = from_hub({**hub, "model_type": "gemma4_text"}).text
    except ConfigError:
        return
    theirs = transformers.Gemma4TextConfig(**copy.deepcopy(hub))
    for kind, heads, width in (
        (LOCAL, ours.num_key_value_heads, ours.head_dim),
        (GLOBAL, ours.num_global_key_value_heads, ours.global_head_dim),
    ):
        layer = theirs.per_layer_config[ours.layer_types.index(kind)]
        assert (layer.num_key_value_heads, layer.head_dim) == (heads, width)
    plain = set(ours.__dataclass_fields__) & set(theirs.to_dict()) - {"head_dim", "num_key_value_heads"}
    for name in plain:
        mine, their = getattr(ours, name), getattr(theirs, name)
        assert mine == (tuple(their) if isinstance(their, list) else 0 if their is None and mine == 0 else their), name


@pytest.mark.reference
@pytest.mark.parametrize("name", PRESETS)
def test_reads_what_transformers_saves(name, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.Gemma4Config(**copy.deepcopy(to_hub(PRESETS[name])))
    theirs.save_pretrained(tmp_path)
    assert "per_layer_config" in json.loads((tmp_path / "config.json").read_text())["text_config"]
    assert read_config(tmp_path) == PRESETS[name]
    theirs.text_config.save_pretrained(tmp_path / "text")
    assert read_config(tmp_path / "text").text == PRESETS[name].text
