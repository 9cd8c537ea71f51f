"""A trained model as a directory in the hub's form: config, bfloat16 weights, tokenizer, processor, chat template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from .tokenizer import SPECIAL

HERE = Path(__file__).parent
PICTURES = {
    "do_convert_rgb": True,
    "do_normalize": False,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.0, 0.0, 0.0],
    "image_std": [1.0, 1.0, 1.0],
    "max_soft_tokens": 70,
    "patch_size": 16,
    "pooling_kernel_size": 3,
    "resample": 3,
    "rescale_factor": 1 / 255,
}
PROCESSOR = {
    "processor_class": "Gemma4Processor",
    "audio_ms_per_token": 40,
    "audio_seq_length": 750,
    "image_seq_length": 70,
    "image_processor": {"image_processor_type": "Gemma4ImageProcessor"} | PICTURES,
    "video_processor": {"video_processor_type": "Gemma4VideoProcessor"}
    | PICTURES
    | {"do_normalize": True, "do_sample_frames": True, "num_frames": 32},
    "feature_extractor": {
        "feature_extractor_type": "Gemma4AudioFeatureExtractor",
        "dither": 0.0,
        "feature_size": 128,
        "fft_length": 512,
        "fft_overdrive": False,
        "frame_length": 320,
        "hop_length": 160,
        "input_scale_factor": 1.0,
        "max_frequency": 8000.0,
        "mel_floor": 0.001,
        "min_frequency": 0.0,
        "padding_side": "right",
        "padding_value": 0.0,
        "per_bin_mean": None,
        "per_bin_stddev": None,
        "preemphasis": 0.0,
        "preemphasis_htk_flavor": True,
        "return_attention_mask": True,
        "sampling_rate": 16000,
    },
}


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def tokenizer_config() -> dict[str, Any]:
    names = {
        "pad_token": "<pad>",
        "eos_token": "<eos>",
        "bos_token": "<bos>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "image_token": "<|image|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
        "audio_token": "<|audio|>",
        "sot_token": "<|turn>",
        "eot_token": "<turn|>",
        "soc_token": "<|channel>",
        "eoc_token": "<channel|>",
        "think_token": "<|think|>",
        "escape_token": '<|"|>',
    }
    extra = {k: names[k] for k in names if k.split("_")[0] not in ("pad", "eos", "bos", "unk", "mask")}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "processor_class": "Gemma4Processor",
        "padding_side": "left",
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
        **names,
        "extra_special_tokens": extra,
        "model_specific_special_tokens": extra,
    }


def export(model: torch.nn.Module, config: dict[str, Any], tokenizer: Tokenizer, to: Path) -> None:
    """Write ``model`` (float32 in training) to the directory ``to``, which is made or replaced file by file."""
    to.mkdir(parents=True, exist_ok=True)
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    tensors = {
        name: value.detach().to(torch.bfloat16).contiguous().clone()
        for name, value in model.state_dict().items()
        if not name.startswith("lm_head")
    }
    save_file(tensors, to / "model.safetensors.part", metadata={"format": "pt"})
    (to / "model.safetensors.part").rename(to / "model.safetensors")
    _write(to / "config.json", config)
    tokenizer.save(str(to / "tokenizer.json"), pretty=False)
    _write(to / "tokenizer_config.json", tokenizer_config())
    _write(to / "processor_config.json", PROCESSOR)
    _write(
        to / "generation_config.json",
        {
            "bos_token_id": ids["<bos>"],
            "pad_token_id": ids["<pad>"],
            "eos_token_id": [ids["<eos>"], ids["<turn|>"], ids["<|tool_response>"]],
            "do_sample": True,
            "temperature": 1.0,
            "top_k": 64,
            "top_p": 0.95,
        },
    )
    shutil.copy(HERE / "chat_template.jinja", to / "chat_template.jinja")
