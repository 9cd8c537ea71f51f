"""Between the hub's JSON files and our dataclasses, in both directions.

Two spellings of a config.json are in circulation: plain ``global_head_dim`` / ``num_global_key_value_heads`` keys, and
the newer ``per_layer_config`` {layer: overrides}. Missing keys mean what they mean to the reference's config classes
(which describe no released model); unknown keys are many, and ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from .config import GLOBAL, LOCAL, AudioConfig, Config, Sampling, TextConfig, VisionConfig, interleave
from .config_checks import MOST_LAYERS, short, validate
from .errors import CheckpointError, ConfigError
from .gemma3 import hub as gemma3

_MOST_BYTES = 16 * 2**20  # of a JSON file; the released ones have a few thousand

# What the reference takes a missing key to mean, where our own dataclasses have no default or another one.
_TEXT_DEFAULTS = dict(
    hidden_size=2304, intermediate_size=9216, num_hidden_layers=30, num_attention_heads=8, num_key_value_heads=4,
    hidden_size_per_layer_input=256,
)  # fmt: skip
_VISION_DEFAULTS = dict(
    hidden_size=768, intermediate_size=3072, num_hidden_layers=16, num_attention_heads=12, head_dim=64
)
# Ours by name, straight from the JSON; the rest of each dataclass is worked out below.
_WORKED_OUT = {
    "layer_types", "num_global_key_value_heads", "global_head_dim", "rope_theta_local", "rope_theta_global",
    "rope_fraction_global", "final_logit_softcapping", "tie_word_embeddings", "eos_token_id",
    "attention_scale", "value_norm", "layer_scalar",
}  # fmt: skip
_TEXT_KEYS = [name for name in TextConfig.__dataclass_fields__ if name not in _WORKED_OUT]
_VISION_KEYS = [name for name in VisionConfig.__dataclass_fields__ if name != "rope_theta"]
_AUDIO_KEYS = [name for name in AudioConfig.__dataclass_fields__ if name != "subsampling_conv_channels"]
_TOKEN_KEYS = [name for name in Config.__dataclass_fields__ if name.endswith("_token_id")]


def from_hub(config: dict) -> Config:
    """A parsed ``config.json``: of a whole model (``gemma4``), its text half (``gemma4_text``), or a ``gemma3_text``.

    Raises ConfigError naming the field, what it is, and what was expected.
    """
    if not isinstance(config, dict):
        raise ConfigError(f"a config.json holds an object of keys and values; this one holds {short(config)}")
    kind = config.get("model_type")
    if kind == gemma3.MODEL_TYPE:
        return validate(_gemma3(config))
    alone = kind == "gemma4_text" or (kind is None and "text_config" not in config and "hidden_size" in config)
    if not alone and kind not in ("gemma4", None):
        raise ConfigError(f"model_type is {short(kind)}; expected 'gemma4', 'gemma4_text' or 'gemma3_text'")
    part: Callable[[str], dict | None] = lambda name: None if alone else _object(config, name)  # noqa: E731
    text = config if alone else part("text_config") or {}
    vision, audio = part("vision_config"), part("audio_config")
    tokens = _take(config, _TOKEN_KEYS)
    if config.get("eoa_token_index") is not None:  # the hub's own spelling wins over the one in some copies
        tokens["eoa_token_id"] = config["eoa_token_index"]
    stops = config.get("eos_token_id") if config.get("eos_token_id") is not None else text.get("eos_token_id")
    if isinstance(config.get("vision_soft_tokens_per_image"), int):
        tokens["default_soft_tokens"] = config["vision_soft_tokens_per_image"]
    tied = config.get("tie_word_embeddings")  # the outer config decides, as in the reference
    return validate(
        Config(
            text=_text(text, True if tied is None else tied),
            vision=None if vision is None else _vision(vision),
            audio=None if audio is None else _audio(audio),
            eos_token_ids=_ids(1 if stops is None else stops),
            **tokens,
        )
    )


def read_config(path: str | Path) -> Config:
    """The config of a checkpoint directory, or of a config.json alone.

    Beside config.json, ``processor_config.json`` says how many soft tokens an image may become, and
    ``generation_config.json`` where generation stops and how the next token is drawn; both may be absent.
    """
    path = Path(path)
    file = path / "config.json" if path.is_dir() else path
    try:
        config = from_hub(read_json(file))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    try:
        file = path / "processor_config.json"
        if path.is_dir() and file.exists():
            config = _with_processor(config, read_json(file))
        file = path / "generation_config.json"
        if path.is_dir() and file.exists():
            config = _with_generation(config, read_json(file))
        return validate(config)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def read_json(file: Path) -> dict:
    """A JSON object of bounded length; ConfigError for anything else."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ConfigError(f"is longer than {_MOST_BYTES} bytes; a config is a few thousand")
        content = json.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}") from None
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number of a million digits, nested too deep
        raise ConfigError(f"is not JSON: {short(str(error))}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"holds {short(content)}; expected an object of keys and values")
    return content


def write_json(file: Path, content: dict) -> None:
    """Appears under its name only when it is complete; CheckpointError when the disk says no."""
    unfinished = file.with_name(file.name + ".part")
    try:
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
        unfinished.replace(file)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def to_hub(config: Config) -> dict:
    """The config.json of a whole model, in the plain-key spelling of the released ones."""
    if config.model_type == gemma3.MODEL_TYPE:
        return gemma3.in_gemma3_words(config)
    text = asdict(config.text)
    share, local, world = (text.pop(f"rope_{name}") for name in ("fraction_global", "theta_local", "theta_global"))
    del text["attention_scale"], text["value_norm"], text["layer_scalar"]  # no choice in Gemma 4
    for name in ("num_experts", "top_k_experts", "moe_intermediate_size"):
        text[name] = text[name] or None
    text |= {
        "model_type": "gemma4_text",
        "layer_types": list(config.text.layer_types),
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "num_global_key_value_heads": text["num_global_key_value_heads"] if config.text.attention_k_eq_v else None,
        "rope_parameters": {
            LOCAL: {"rope_type": "default", "rope_theta": local},
            GLOBAL: {"rope_type": "proportional", "partial_rotary_factor": share, "rope_theta": world},
        },
    }
    vision = None if config.vision is None else asdict(config.vision)
    if vision is not None:
        vision["rope_parameters"] = {"rope_type": "default", "rope_theta": vision.pop("rope_theta")}
        vision |= {"model_type": "gemma4_vision", "hidden_activation": "gelu_pytorch_tanh", "attention_bias": False}
        vision["num_key_value_heads"] = vision["num_attention_heads"]
    audio = None if config.audio is None else asdict(config.audio)
    if audio is not None:
        audio["subsampling_conv_channels"] = list(audio["subsampling_conv_channels"])
        audio |= {"model_type": "gemma4_audio", "hidden_act": "silu"}
    tokens = {name: getattr(config, name) for name in _TOKEN_KEYS if name != "eoa_token_id"}
    return {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "model_type": "gemma4",
        "dtype": "bfloat16",
        **tokens,
        "eoa_token_index": config.eoa_token_id,
        "eos_token_id": list(config.eos_token_ids),
        "tie_word_embeddings": config.text.tie_word_embeddings,
        "vision_soft_tokens_per_image": config.default_soft_tokens,
        "text_config": text,
        "vision_config": vision,
        "audio_config": audio,
    }


def _object(content: dict, name: str) -> dict | None:
    value = content.get(name)
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{name} is {short(value)}; expected an object of keys and values")
    return value


def _take(content: dict, names: list[str]) -> dict:
    """The named keys that are there and not null: a null means what a missing key means."""
    return {name: content[name] for name in names if content.get(name) is not None}


def _ids(value: object) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _refuse_unless(where: str, content: dict, name: str, *allowed: object) -> None:
    """For what no Gemma 4 has: the key may be missing or null, or have one of the values that we do compute."""
    value = content.get(name)
    if value is not None and not any(
        value == each and isinstance(value, bool) == isinstance(each, bool) for each in allowed
    ):
        raise ConfigError(f"{where}.{name} is {short(value)}; supported: {', '.join(map(repr, allowed))}")


def _text(text: dict, tied: object) -> TextConfig:
    _refuse_unless("text_config", text, "hidden_activation", "gelu_pytorch_tanh")
    _refuse_unless("text_config", text, "attention_bias", False)
    known = _TEXT_DEFAULTS | _take(text, _TEXT_KEYS)
    layers = known["num_hidden_layers"]
    if not isinstance(layers, int) or isinstance(layers, bool) or not 1 <= layers <= MOST_LAYERS:
        raise ConfigError(f"text_config.num_hidden_layers is {short(layers)}; expected 1 to {MOST_LAYERS}")
    kinds = text.get("layer_types")
    if kinds is None:  # five local layers, then a global one; and the last is global whatever the count
        kinds = [*interleave(layers, 6)[:-1], GLOBAL]
    if not isinstance(kinds, (list, tuple)) or not all(isinstance(kind, str) for kind in kinds):
        raise ConfigError(f"text_config.layer_types is {short(kinds)}; expected a list of names")
    stop = _ids(1 if text.get("eos_token_id") is None else text["eos_token_id"])
    return TextConfig(
        **{**known, **_head_sizes(text, known, kinds), **_rotations(text)},
        layer_types=tuple(kinds),
        final_logit_softcapping=text.get("final_logit_softcapping"),
        tie_word_embeddings=tied,  # type: ignore[arg-type]
        eos_token_id=stop[0] if stop else 1,
    )


def _gemma3(config: dict) -> Config:
    words = gemma3.in_gemma4_words(config)
    text = _text(words, words.get("tie_word_embeddings", True))
    scale = words["query_pre_attn_scalar"] ** -0.5
    return Config(
        model_type=gemma3.MODEL_TYPE,
        text=replace(text, attention_scale=scale, value_norm=False, layer_scalar=False),
        eos_token_ids=_ids(words.get("eos_token_id", 1)),
        **dict.fromkeys(_TOKEN_KEYS, words["vocab_size"]),  # no token stands for an image or a sound
    )


def _head_sizes(text: dict, known: dict, kinds: Sequence[str]) -> dict:
    """Head width and KV heads of the two kinds of layer, from either spelling."""
    per_layer = _object(text, "per_layer_config")
    wide, groups = known.get("head_dim", 256), known["num_key_value_heads"]
    if per_layer is None:  # the key counts only where keys double as values, as in the reference
        stated = text.get("num_global_key_value_heads") if known.get("attention_k_eq_v") else None
        return {
            "global_head_dim": 512 if text.get("global_head_dim") is None else text["global_head_dim"],
            "num_global_key_value_heads": groups if stated is None else stated,
        }
    overrides: dict[int, dict] = {}
    for layer, changes in per_layer.items():
        if not str(layer).isascii() or not str(layer).isdigit() or len(str(layer)) > 9 or int(layer) >= len(kinds):
            raise ConfigError(f"text_config.per_layer_config names layer {short(layer)} of {len(kinds)} layers")
        if not isinstance(changes, dict):
            raise ConfigError(f"text_config.per_layer_config[{layer}] is {short(changes)}; expected an object")
        for name in changes.keys() - {"head_dim", "num_key_value_heads"}:
            _refuse_unless(f"text_config.per_layer_config[{layer}]", changes, name, text.get(name))
        overrides[int(layer)] = changes
    found: dict[str, list] = {}
    for kind in (LOCAL, GLOBAL):
        sizes = [
            [changes.get("head_dim", wide), changes.get("num_key_value_heads", groups)]
            for changes in (overrides.get(i, {}) for i, each in enumerate(kinds) if each == kind)
        ]
        if any(size != sizes[0] for size in sizes):
            raise ConfigError(
                f"text_config.per_layer_config gives {kind} layers different heads; expected one size a kind"
            )
        found[kind] = sizes[0] if sizes else [wide, groups]
    return dict(
        zip(
            ("head_dim", "num_key_value_heads", "global_head_dim", "num_global_key_value_heads"),
            found[LOCAL] + found[GLOBAL],
            strict=True,
        )
    )


def _rotations(text: dict) -> dict:
    """Rotation speeds: all pairs of a local head turn, the first ``partial_rotary_factor`` of a global head's."""
    rope = _object(text, "rope_parameters") or {}
    local = _object(rope, LOCAL) or {}
    world = _object(rope, GLOBAL)
    where = "text_config.rope_parameters"
    if rope and not local and world is None:
        raise ConfigError(f"{where} has the keys {short(sorted(rope))}; expected {LOCAL} and {GLOBAL}")
    if world is None:
        world = {"rope_type": "proportional", "partial_rotary_factor": 0.25}
    _refuse_unless(f"{where}.{LOCAL}", local, "rope_type", "default")
    _refuse_unless(f"{where}.{GLOBAL}", world, "rope_type", "proportional", "default")
    for kind, each in ((LOCAL, local), (GLOBAL, world)):
        _refuse_unless(f"{where}.{kind}", each, "factor", 1.0)
    share = world.get("partial_rotary_factor") if world.get("rope_type") == "proportional" else 1.0
    return {
        "rope_theta_local": 10_000.0 if local.get("rope_theta") is None else local["rope_theta"],
        "rope_theta_global": 1_000_000.0 if world.get("rope_theta") is None else world["rope_theta"],
        "rope_fraction_global": 1.0 if share is None else share,
    }


def _vision(vision: dict) -> VisionConfig:
    known = _VISION_DEFAULTS | _take(vision, _VISION_KEYS)
    rope = _object(vision, "rope_parameters") or {}
    _refuse_unless("vision_config", vision, "hidden_activation", "gelu_pytorch_tanh")
    _refuse_unless("vision_config", vision, "attention_bias", False)
    _refuse_unless("vision_config", vision, "num_key_value_heads", known["num_attention_heads"])
    # the hub's files say "default"; the reference reads that as its own two-dimensional "axial"
    _refuse_unless("vision_config.rope_parameters", rope, "rope_type", "default", "axial")
    return VisionConfig(**known, rope_theta=100.0 if rope.get("rope_theta") is None else rope["rope_theta"])


def _audio(audio: dict) -> AudioConfig:
    _refuse_unless("audio_config", audio, "hidden_act", "silu")
    channels = audio.get("subsampling_conv_channels")
    return AudioConfig(
        **_take(audio, _AUDIO_KEYS),
        subsampling_conv_channels=(128, 32) if channels is None else _ids(channels),  # type: ignore[arg-type]
    )


def _with_processor(config: Config, processor: dict) -> Config:
    images = _object(processor, "image_processor") or {}
    for budget in (images.get("max_soft_tokens"), processor.get("image_seq_length")):
        if budget is not None:
            return replace(config, default_soft_tokens=budget)
    return config


def _with_generation(config: Config, generation: dict) -> Config:
    stops, silent = generation.get("eos_token_id"), generation.get("suppress_tokens")
    sampling = Sampling(suppress_token_ids=() if silent is None else _ids(silent))
    if generation.get("do_sample") is True:
        heat = generation.get("temperature")
        sampling = replace(
            sampling,
            temperature=1.0 if heat is None else heat,
            top_k=generation.get("top_k") or None,  # 0: no limit
            top_p=generation.get("top_p"),
        )
    return replace(config, sampling=sampling, eos_token_ids=config.eos_token_ids if stops is None else _ids(stops))
