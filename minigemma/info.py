"""What ``minigemma info`` prints: a model's schedule, its parameters by part, and the bytes of its KV cache."""

from __future__ import annotations

from minigemma.cache import cache_bytes
from minigemma.config import PRESETS, Config, read_config
from minigemma.interleaving import format_schedule, schedule
from minigemma.model import find_checkpoint
from minigemma.parameters import parameter_count

CONTEXTS = (1024, 8192, 32_768, 131_072, 262_144)


def describe(name: str) -> str:
    """The whole report for a preset ("E2B"), a shipped checkpoint ("mini-e") or a directory."""
    config = PRESETS.get(name.upper()) or read_config(find_checkpoint(name))
    return "\n\n".join([f"{name}: {_summary(config)}", _parameters(config), _schedule(config), _cache(config)])


def _summary(config: Config) -> str:
    text = config.text
    senses = ["text"] + ["images"] * (config.vision is not None) + ["sound"] * (config.audio is not None)
    parts = [
        f"{text.num_hidden_layers} layers of width {text.hidden_size:,}",
        f"{text.vocab_size:,} tokens in the vocabulary",
        f"a context of {text.max_position_embeddings:,}",
        f"takes {', '.join(senses)}",
    ]
    return ", ".join(parts)


def _parameters(config: Config) -> str:
    counts = parameter_count(config)
    width = max(map(len, counts))
    total = sum(counts.values())
    lines = [f"  {part:<{width}}  {count:>15,}  {count / total:6.1%}" for part, count in counts.items() if count]
    return "\n".join(["Parameters", *lines, f"  {'all':<{width}}  {total:>15,}"])


def _schedule(config: Config) -> str:
    return "Layers\n" + format_schedule(schedule(config.text))


def _cache(config: Config) -> str:
    contexts = [context for context in CONTEXTS if context <= config.text.max_position_embeddings]
    sizes = [
        [cache_bytes(config.text, context, bytes_per_value) / 1e6 for bytes_per_value in (2, 4)] for context in contexts
    ]
    rows = [
        f"  {context:>9,}  {half:>12,.2f}  {full:>12,.2f}"
        for context, (half, full) in zip(contexts, sizes, strict=True)
    ]
    return "\n".join(["KV cache in MB", "     tokens      bfloat16       float32", *rows])
