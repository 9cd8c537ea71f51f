"""Is this config possible? Every contradiction, named, in one error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

from .config import GLOBAL, LOCAL, Config, TextConfig
from .errors import ConfigError

_MAY_BE_ZERO = {
    "hidden_size_per_layer_input", "num_kv_shared_layers", "num_experts", "top_k_experts", "moe_intermediate_size",
    "attention_context_right", "pad_token_id", "eos_token_id", "bos_token_id", "temperature", "residual_weight",
}  # fmt: skip
_MAY_BE_NEGATIVE = {"attention_invalid_logits_value"}
MOST_LAYERS = 10_000  # a number no decoder reaches: a damaged file must not make us list a billion layers
_MOST = 2**31 - 1


def validate(config: Config) -> Config:
    """The config itself if nothing in it contradicts anything else; otherwise one ConfigError naming every fault."""
    faults = [*_wrong_values(config, "")]
    for part in ("text", "vision", "audio"):
        if (sizes := getattr(config, part)) is not None:
            faults += _wrong_values(sizes, f"{part}_config.")
    faults += _wrong_values(config.sampling, "generation_config.")
    if not faults:  # relations mean something only between numbers that are numbers
        faults += _text_contradictions(config.text)
        faults += _last_layer(config)
        faults += _tower_contradictions(config)
    if faults:
        raise ConfigError("this is not the config of a Gemma 4 model:\n  " + "\n  ".join(faults))
    return config


def _wrong_values(sizes: object, where: str) -> Iterator[str]:
    """Fields whose value has the wrong kind or an impossible size."""
    for f in fields(sizes):  # type: ignore[arg-type]
        value, kinds = getattr(sizes, f.name), str(f.type)
        if "Config" in kinds or "Sampling" in kinds or (value is None and "None" in kinds):
            continue
        wanted = _fault(f.name, value, kinds)
        if wanted:
            yield f"{where}{f.name} is {short(value)}; expected {wanted}"


def _fault(name: str, value: object, kinds: str) -> str | None:
    """What the field should have been, or None when it is fine."""
    least = 0 if name in _MAY_BE_ZERO or name.endswith(("_token_id", "_token_ids")) else 1
    if kinds.startswith("tuple"):
        item = "str" if "str" in kinds else "int"
        if not isinstance(value, tuple) or any(_fault(name, each, item) for each in value):
            return f"a sequence of {'names' if item == 'str' else f'whole numbers from {least} up'}"
        if "int, int" in kinds and len(value) != 2:
            return "two numbers"
    elif "str" in kinds:
        return None if isinstance(value, str) else "a name"
    elif kinds == "bool":
        return None if isinstance(value, bool) else "true or false"
    elif "int" in kinds:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole and least <= value <= _MOST else f"a whole number from {least} to {_MOST}"  # type: ignore[operator]
    elif "float" in kinds:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        finite = number and abs(value) < 1e300 and math.isfinite(value)  # type: ignore[arg-type]
        if not finite or (name not in _MAY_BE_NEGATIVE and (value < 0 or (value == 0 and name not in _MAY_BE_ZERO))):  # type: ignore[operator]
            return "a finite number" if name in _MAY_BE_NEGATIVE else "a positive number"
    return None


def short(value: object) -> str:
    text = (
        repr(value) if not isinstance(value, int) or isinstance(value, bool) or abs(value) < 10**20 else "a huge number"
    )
    return text if len(text) <= 80 else text[:77] + "..."


def _text_contradictions(text: TextConfig) -> Iterator[str]:
    if text.num_hidden_layers > MOST_LAYERS:
        yield f"text_config.num_hidden_layers is {text.num_hidden_layers}; expected at most {MOST_LAYERS}"
        return
    kinds = set(text.layer_types)
    if len(text.layer_types) != text.num_hidden_layers:
        yield f"text_config.layer_types names {len(text.layer_types)} layers, not {text.num_hidden_layers}"
    elif kinds - {LOCAL, GLOBAL}:
        strange = short(sorted(kinds - {LOCAL, GLOBAL}))
        yield f"text_config.layer_types has {strange}; expected only {LOCAL} and {GLOBAL}"
    elif text.num_kv_shared_layers >= text.num_hidden_layers:
        yield f"text_config.num_kv_shared_layers is {text.num_kv_shared_layers}; expected fewer than num_hidden_layers"
    else:
        for orphan in sorted(kinds - set(text.layer_types[: text.first_shared_layer])):
            yield (
                f"text_config.num_kv_shared_layers is {text.num_kv_shared_layers}; "
                f"that leaves no {orphan} layer with keys and values of its own to share"
            )
    for name in ("num_key_value_heads", "num_global_key_value_heads"):
        if text.num_attention_heads % getattr(text, name):
            yield (
                f"text_config.num_attention_heads is {text.num_attention_heads}; "
                f"expected a multiple of {name} = {getattr(text, name)}"
            )
    for name in ("head_dim", "global_head_dim"):
        if getattr(text, name) % 2:
            yield f"text_config.{name} is {getattr(text, name)}; expected an even number, for rotation turns pairs"
    if text.rope_fraction_global > 1:
        yield f"text_config.rope_fraction_global is {text.rope_fraction_global}; expected a share, at most 1"
    if text.use_bidirectional_attention not in (None, "vision"):
        yield (
            f"text_config.use_bidirectional_attention is {short(text.use_bidirectional_attention)}; "
            "only null and 'vision' are supported"
        )
    if not text.tie_word_embeddings:
        yield "tie_word_embeddings is false; every Gemma 4 reads its logits off the embedding table"
    if text.pad_token_id >= text.vocab_size:
        yield f"text_config.pad_token_id is {text.pad_token_id}; expected less than vocab_size = {text.vocab_size}"
    if text.hidden_size_per_layer_input and text.vocab_size_per_layer_input < text.vocab_size:
        yield (
            f"text_config.vocab_size_per_layer_input is {text.vocab_size_per_layer_input}; "
            f"expected a row for each of vocab_size = {text.vocab_size} tokens"
        )
    if text.enable_moe_block:
        for name in ("num_experts", "top_k_experts", "moe_intermediate_size"):
            if getattr(text, name) < 1:
                yield f"text_config.{name} is {getattr(text, name)}; enable_moe_block is true and needs at least 1"
        if text.top_k_experts > text.num_experts:
            yield f"text_config.top_k_experts is {text.top_k_experts}, more than num_experts = {text.num_experts}"


def _last_layer(config: Config) -> Iterator[str]:
    if config.model_type == "gemma4" and config.text.layer_types[-1:] == (LOCAL,):
        yield f"text_config.layer_types ends with {LOCAL}; the last layer must be {GLOBAL}"


def _tower_contradictions(config: Config) -> Iterator[str]:
    vision, audio = config.vision, config.audio
    if vision and vision.head_dim % 4:
        yield f"vision_config.head_dim is {vision.head_dim}; expected a multiple of 4: pairs that turn by x, pairs by y"
    if audio and audio.hidden_size % audio.num_attention_heads:
        yield (
            f"audio_config.hidden_size is {audio.hidden_size}; "
            f"expected a multiple of num_attention_heads = {audio.num_attention_heads}"
        )
    for part, sizes in (("vision", vision), ("audio", audio)):
        if sizes and sizes.num_hidden_layers > MOST_LAYERS:
            yield f"{part}_config.num_hidden_layers is {sizes.num_hidden_layers}; expected at most {MOST_LAYERS}"
    if config.sampling.top_p is not None and config.sampling.top_p > 1:
        yield f"generation_config.top_p is {config.sampling.top_p}; expected a share, at most 1"
