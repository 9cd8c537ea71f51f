"""The files of a checkpoint directory: find every tensor in them, hold their names against a config, write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .bfloat16 import narrow
from .config import Config
from .config_checks import short
from .errors import CheckpointError, ConfigError
from .hub_config import read_json, to_hub, write_json
from .parameters import TEXT, tensor_shapes, unused_tensors
from .safetensors_file import SafetensorsFile, write_safetensors

Place = tuple[SafetensorsFile, str]  # which file, and the tensor's name in it


def find_tensors(directory: Path) -> dict[str, Place]:
    """Every tensor of a directory, under the name that the whole model gives it, and where it lies."""
    return _hub_names(_find_files(directory))


def save_checkpoint(
    directory: str | Path, config: Config, arrays: Mapping[str, np.ndarray], dtype: str = "BF16"
) -> None:
    """Write config.json and model.safetensors in the hub's format, in bfloat16 (rounded to nearest) or float32 ("F32").

    The names and shapes must be those of the config. Each file appears only when it is complete.
    """
    directory = Path(directory)
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    compare(shapes, config, str(directory))
    store = {"BF16": narrow, "F32": lambda x: np.asarray(x, np.float32)}[dtype]
    directory.mkdir(parents=True, exist_ok=True)
    write_safetensors(directory / "model.safetensors", shapes, lambda name: [store(arrays[name])], dtype)
    write_json(directory / "config.json", to_hub(config))


def compare(shapes: Mapping[str, tuple[int, ...]], config: Config, where: str = "the checkpoint") -> None:
    """Tensor names and shapes against a config: all that is missing, unknown or misshapen, in one CheckpointError.

    Keys and values of layers that share those of others may be present, as may lm_head.weight; neither is ever used.
    """
    expected, unused = tensor_shapes(config), unused_tensors(config)
    wrong = [f"missing: {name} {shape}" for name, shape in expected.items() if name not in shapes]
    for name, shape in shapes.items():
        wanted = expected.get(name, unused.get(name))
        if wanted is None:
            wrong.append(f"unknown: {short(name)} {shape}")
        elif shape != wanted:
            wrong.append(f"wrong shape: {name} is {shape}; the config says {wanted}")
    if wrong:
        raise CheckpointError(f"{where} does not fit its config:\n  " + "\n  ".join(wrong))


def _find_files(directory: Path) -> dict[str, Place]:
    """Every stored tensor and its file: one model.safetensors, or the shards that an index names."""
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is not a directory")
    if single.exists():
        file = SafetensorsFile(single)
        return {name: (file, name) for name in file.entries}
    if not index.exists():
        raise CheckpointError(
            f"{directory} has neither model.safetensors nor model.safetensors.index.json{_unfinished(directory)}"
        )
    try:
        names = read_json(index).get("weight_map")
    except ConfigError as error:
        raise CheckpointError(f"{index}: {error}") from None
    if not isinstance(names, dict) or not names or not all(isinstance(shard, str) for shard in names.values()):
        raise CheckpointError(f"{index} has no weight_map of tensor names to file names")
    files = {shard: _shard(directory, shard, index) for shard in sorted(set(names.values()))}
    lost = [name for name, shard in names.items() if name not in files[shard].entries]
    lost += [name for shard, file in files.items() for name in file.entries if names.get(name) != shard]
    if lost:
        raise CheckpointError(f"{index} and the shards disagree about {len(lost)} tensors: {short(sorted(set(lost)))}")
    return {name: (files[shard], name) for name, shard in names.items()}


def _shard(directory: Path, shard: str, index: Path) -> SafetensorsFile:
    if Path(shard).name != shard or "\\" in shard or "\0" in shard or not shard.endswith(".safetensors"):
        raise CheckpointError(f"{index} names the shard {short(shard)}; expected a .safetensors file beside it")
    if not (directory / shard).is_file():
        raise CheckpointError(f"{index} names the shard {short(shard)}, which is not there{_unfinished(directory)}")
    return SafetensorsFile(directory / shard)


def _unfinished(directory: Path) -> str:
    return "; a download is not finished: run it again" if any(directory.glob("*.safetensors.part")) else ""


def _hub_names(place: dict[str, Place]) -> dict[str, Place]:
    """The whole model's names, also for a checkpoint of its text half alone, or of a model without its head."""
    for theirs, ours in (("model.", TEXT), ("", TEXT), ("language_model.", "model.language_model.")):
        if theirs + "embed_tokens.weight" in place:
            outer = "" if theirs == "language_model." else theirs  # the towers stand beside language_model
            add = "model." if theirs == "language_model." else ours
            return {
                name if name == "lm_head.weight" else add + name.removeprefix(outer): spot
                for name, spot in place.items()
            }
    return place
