"""Remake tests/goldens/gemma3.npz from the installed transformers: ``python tests/make_goldens_gemma3.py``.

Only ids and outputs are stored; weights are drawn again from their names and the seed.
"""

from pathlib import Path

import numpy as np
import torch
from gemma3_models import HUB
from small_models import draw_ids
from test_gemma3_reference import reference, run

SEED = 7

if __name__ == "__main__":
    ids = draw_ids(19, SEED)
    arrays = {"ids": ids}
    for shape in HUB:
        model = reference(shape, SEED)
        arrays |= {f"{shape}/{name}": array for name, array in run(model, ids).items()}
        new = model.generate(torch.from_numpy(ids)[None], max_new_tokens=16, do_sample=False, eos_token_id=None)
        arrays[f"{shape}/continuation"] = new[0, len(ids) :].numpy()
    file = Path(__file__).parent / "goldens" / "gemma3.npz"
    np.savez_compressed(file, **arrays)
    print(f"{len(arrays)} arrays, {file.stat().st_size / 1000:.0f} kB")
