"""Remake tests/goldens/vision.npz and vision.json from the reference: ``python tests/make_goldens_vision.py``.

vision.npz: for the two small towers of vision_case.py, the output of every layer, the soft tokens and their projection.
vision.json: SHA-256 of the float32 patches that Gemma4ImageProcessorPil makes of pictures at every budget.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import vision_case as case
import vision_reference
from PIL import Image
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from minigemma.vision.resize import BUDGETS

FOLDER = Path(__file__).parent / "goldens"


@torch.no_grad()
def towers() -> dict[str, np.ndarray]:
    arrays = {}
    for name, config, seed in (("small", case.SMALL, 11), ("large", case.LARGE, 12)):
        tower, embedder = vision_reference.build(config, case.random_tower(config, seed))
        layers: list[np.ndarray] = []
        for layer in tower.encoder.layers:
            layer.register_forward_hook(lambda module, args, output, layers=layers: layers.append(output[0].numpy()))
        for i, image in enumerate(case.random_images(seed)):
            pixels, positions = vision_reference.padded([image], 72)  # 72: both images are padded
            layers.clear()
            soft = tower(pixels, positions).last_hidden_state
            arrays[f"{name}.{i}.layers"] = np.stack(layers)[:, : len(image[0])]  # (L, N, D)
            arrays[f"{name}.{i}.soft"] = soft.numpy()
            arrays[f"{name}.{i}.projected"] = embedder(soft).numpy()
    return arrays


def patches() -> dict[str, str]:
    processor, digests = Gemma4ImageProcessorPil(), {}
    for name, photo in {"synthetic": case.synthetic_photo(), **case.photos()}.items():
        for budget in BUDGETS:
            made = processor(Image.fromarray(photo), max_soft_tokens=budget, return_tensors="np")
            real = (made["image_position_ids"][0] >= 0).all(axis=1)
            digest = hashlib.sha256(np.ascontiguousarray(made["pixel_values"][0][real])).hexdigest()
            digests[f"{name} {budget}"] = digest
    return digests


if __name__ == "__main__":
    np.savez_compressed(FOLDER / "vision.npz", **towers())
    (FOLDER / "vision.json").write_text(json.dumps({"patches": patches()}, indent=1) + "\n")
