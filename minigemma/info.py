"""What ``minigemma info`` prints: a model's schedule, its parameters by part, and the bytes of its KV cache."""

from __future__ import annotations

import textwrap
from pathlib import Path

from minigemma.cache import cache_bytes
from minigemma.checkpoint import Checkpoint
from minigemma.config import PRESETS, Config, read_config
from minigemma.interleaving import format_schedule, schedule
from minigemma.memory import show_size
from minigemma.model import find_checkpoint
from minigemma.parameters import TEXT, parameter_count, parameters_in_use, unused_tensors

CONTEXTS = (1024, 8192, 32_768, 131_072, 262_144)


def describe(name: str) -> str:
    """The whole report for a preset ("E2B"), a shipped checkpoint ("mini-e") or a directory."""
    config, files = PRESETS.get(name.upper()), []
    if config is None:
        directory = find_checkpoint(name)
        config = read_config(directory)
        files = [_files(directory, config)]
    parts = [f"{name}: {summary(config)}", *files, _parameters(config), _schedule(config), _cache(config)]
    return "\n\n".join(parts)


def summary(config: Config) -> str:
    text = config.text
    senses = ["text"] + ["images"] * (config.vision is not None) + ["sound"] * (config.audio is not None)
    parts = [
        f"{text.num_hidden_layers} layers of width {text.hidden_size:,}",
        f"{text.vocab_size:,} tokens in the vocabulary",
        f"a context of {text.max_position_embeddings:,}",
        f"takes {', '.join(senses)}",
    ]
    return ", ".join(parts)


def _files(directory: Path, config: Config) -> str:
    """What is on the disk, after it has been held against the config."""
    checkpoint = Checkpoint(directory, memory=0)
    checkpoint.check(config)
    files = sorted(directory.glob("*.safetensors"))
    unused = [name for name in checkpoint if name in unused_tensors(config)]
    lines = [
        f"Files in {directory}",
        f"  {len(checkpoint):,} tensors in {', '.join(file.name for file in files)}, "
        f"{show_size(sum(file.stat().st_size for file in files))}",
    ]
    if unused:
        lines.append(f"  {len(unused)} of them are never used (such as {unused[0]})")
    names = [f"{TEXT}layers.{i}.layer_scalar" for i in range(config.text.num_hidden_layers)]
    if names[0] in checkpoint:
        text = "layer scalars: " + " ".join(f"{checkpoint[name].item():.4g}" for name in names)
        lines.append(textwrap.fill(text, 110, initial_indent="  ", subsequent_indent="    "))
    return "\n".join(lines)


def _parameters(config: Config) -> str:
    counts = parameter_count(config)
    width = max(map(len, counts))
    total = sum(counts.values())
    lines = [f"  {part:<{width}}  {count:>15,}  {count / total:6.1%}" for part, count in counts.items() if count]
    used = parameters_in_use(config)
    lines += [
        f"  {'all':<{width}}  {total:>15,}",
        f"  {'for one token':<{width}}  {used:>15,}  {used / total:6.1%}  (no towers, idle experts, per-layer table)",
    ]
    return "\n".join(["Parameters", *lines])


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
