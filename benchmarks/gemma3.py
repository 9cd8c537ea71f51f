"""Gemma 3 270M in float32, here and in the installed transformers, by turns: tokens a second reading and writing.

Run as ``python benchmarks/gemma3.py [prompt tokens] [new tokens]``; needs the extras gemma3 and reference. Both start
from the same cached prompt and choose greedily; theirs runs its own forward in a plain loop, without generate's
extras. A loaded machine slows both, so look at the ratio.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import numpy as np
import torch
from tqdm import tqdm
from transformers import DynamicCache, Gemma3ForCausalLM

import minigemma as mg

ROUNDS = 7
torch.set_grad_enabled(False)


def ours(model: mg.Gemma4, prompt: np.ndarray, count: int) -> tuple[float, float, list[int]]:
    """Seconds to read the prompt, seconds to write ``count`` tokens, the tokens."""
    cache, new = model.new_cache(), []
    start = time.perf_counter()
    token = int(model.forward(prompt, cache=cache, last_only=True)[-1].argmax())
    middle = time.perf_counter()
    for _ in range(count):
        new.append(token)
        token = int(model.forward([token], cache=cache, last_only=True)[-1].argmax())
    return middle - start, time.perf_counter() - middle, new


def theirs(model: Gemma3ForCausalLM, prompt: np.ndarray, count: int) -> tuple[float, float, list[int]]:
    new: list[int] = []
    cache = DynamicCache(config=model.config)
    start = time.perf_counter()
    output = model(torch.from_numpy(prompt)[None], past_key_values=cache, logits_to_keep=1)
    token = int(output.logits[0, -1].argmax())
    middle = time.perf_counter()
    for _ in range(count):
        new.append(token)
        output = model(torch.tensor([[token]]), past_key_values=cache)
        token = int(output.logits[0, -1].argmax())
    return middle - start, time.perf_counter() - middle, new


def main() -> None:
    length, count = (int(a) for a in (sys.argv[1:] + ["200", "16"][len(sys.argv) - 1 :])[:2])
    model = mg.load("gemma3-270m", memory="all")
    reference = Gemma3ForCausalLM.from_pretrained(model.directory, dtype=torch.float32).eval()
    prompt = np.array([2, *model.tokenizer.encode(__doc__ * (1 + length // 50))][:length])
    times: dict[str, list[float]] = {name: [] for name in ("our read", "our write", "their read", "their write")}
    ours(model, prompt, 1), theirs(reference, prompt, 1)  # weights are widened, buffers made
    for _ in tqdm(range(ROUNDS), leave=False):
        results = ours(model, prompt, count), theirs(reference, prompt, count)
        assert results[0][2] == results[1][2], "the two chose different tokens"
        for who, (read, write, _) in zip(("our", "their"), results, strict=True):
            times[f"{who} read"].append(length / read)
            times[f"{who} write"].append(count / write)
    print(f"{length} tokens read, {count} written; median of {ROUNDS} rounds; {torch.get_num_threads()} threads")
    for what in ("read", "write"):
        mine, other = times[f"our {what}"], times[f"their {what}"]
        ratio = median(a / b for a, b in zip(mine, other, strict=True))
        print(f"  {what:<5}  {median(mine):7.1f} tokens/s here, {median(other):7.1f} there: {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
