"""One side of a comparison in a process of its own: loads a model, does what it is told, prints a line of JSON a task.

Started by run.py, as ``python benchmarks/sides.py SIDE DIRECTORY MEMORY TASKS CLOCK``; TASKS is a JSON list of [name,
size, times, times before that are not counted], CLOCK is "wall" or "processor". Each line has the task's seconds and a
few numbers of its result, to see that both sides computed the same.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
now = CLOCKS[sys.argv[5]] if len(sys.argv) > 5 else time.perf_counter
KNOWN = 4096  # prompts are made of the first so many ids: the float32 reference has no rows for more (see Reference)
Work = Callable[[], tuple[list[float], np.ndarray]]  # seconds, and what was computed


def prompt(size: int, vocabulary: int) -> np.ndarray:
    """The same ids on every side: random ones, none of which means anything to the model."""
    return np.random.default_rng(size).integers(3, min(KNOWN, vocabulary - 20), size)


def picture(soft_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Random patches (N, 768) and their places (N, 2) for so many soft tokens, of 3 × 3 patches: 40 or 4 in a row."""
    columns = 3 * (40 if soft_tokens % 40 == 0 else 4)
    y, x = np.divmod(np.arange(9 * soft_tokens), columns)
    return np.random.default_rng(0).random((9 * soft_tokens, 768), np.float32), np.stack([x, y], axis=1)


def sound(seconds: int) -> np.ndarray:
    """The log-mel spectrogram of so many seconds of noise."""
    from minigemma.audio import log_mel

    return log_mel((0.1 * np.random.default_rng(1).standard_normal(16_000 * seconds)).astype(np.float32), 16_000)


def timed(work: Callable[[], Any], times: int) -> tuple[list[float], Any]:
    """The seconds of each call, and the last result."""
    seconds = []
    for _ in range(times):
        start = now()
        result = work()
        seconds.append(now() - start)
    return seconds, result


class Side:
    """What both sides can be told: the tasks, in terms of the three methods that differ."""

    vocabulary: int

    def read(self, ids: np.ndarray, cache: Any, every: bool = False) -> np.ndarray:
        """A forward pass: logits of the last token (V,), or of every one (T, V)."""
        raise NotImplementedError

    def new_cache(self) -> Any:
        raise NotImplementedError

    def prefill(self, size: int, times: int) -> tuple[list[float], np.ndarray]:
        ids = prompt(size, self.vocabulary)
        return timed(lambda: self.read(ids, self.new_cache()), times)

    def prefill_every(self, size: int, times: int) -> tuple[list[float], np.ndarray]:
        ids = prompt(size, self.vocabulary)
        seconds, logits = timed(lambda: self.read(ids, self.new_cache(), True), times)
        return seconds, logits[-1]

    def decode(self, size: int, times: int) -> tuple[list[float], np.ndarray]:
        """One token after another behind a prompt; the tokens are given, so both sides do the same."""
        ids, cache = prompt(size + times, self.vocabulary), self.new_cache()
        self.read(ids[:size], cache)
        rest = iter(ids[size:])
        return timed(lambda: self.read(np.array([next(rest)]), cache), times)


class Ours(Side):
    def __init__(self, directory: Path, memory: str | int | None):
        import minigemma as mg

        self.model = mg.load(directory, memory=memory)
        self.vocabulary = self.model.config.text.vocab_size
        self.new_cache = self.model.new_cache

    def read(self, ids, cache, every=False):
        logits = self.model.forward(ids, cache=cache, last_only=not every)
        return logits if every else logits[-1]

    def image(self, size, times):
        patches, places = picture(size)
        return timed(lambda: self.model.encode_image(patches, places), times)

    def sound(self, size, times):
        mel = sound(size)
        return timed(lambda: self.model.encode_audio(mel), times)

    def local_layers(self, size, times):
        """Seconds of all local layers that have keys of their own, in a prefill of so many tokens."""
        from minigemma import decoder

        spent = [0.0]
        layer = decoder.layer

        def watched(x, spec, *rest):
            start = now()
            y = layer(x, spec, *rest)
            spent[-1] += (now() - start) * (spec.is_local and not spec.shares_kv)
            return y

        decoder.layer = watched
        for _ in range(times):
            _, logits = self.prefill(size, 1)
            spent.append(0.0)
        decoder.layer = layer
        return spent[:-1], logits


class Reference(Side):
    """transformers, eager, on the processor, from the same checkpoint.

    In float32 the whole model is larger than many machines. Its per-layer embedding table is two fifths of that and
    nothing is computed from it but the rows of the prompt: the float32 reference has the first KNOWN rows only.
    """

    def __init__(self, directory: Path, dtype: str):
        import torch
        from transformers import AutoConfig, Gemma4ForConditionalGeneration
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.set_grad_enabled(False)
        self.torch, config, options = torch, AutoConfig.from_pretrained(directory), {}
        self.vocabulary = config.text_config.vocab_size
        cut = dtype == "float32" and config.text_config.hidden_size_per_layer_input
        if cut:
            config.text_config.vocab_size_per_layer_input = min(KNOWN, self.vocabulary)
            options = {"ignore_mismatched_sizes": True}
        self.model = Gemma4ForConditionalGeneration.from_pretrained(
            directory, config=config, dtype=getattr(torch, dtype), attn_implementation="eager", **options
        ).eval()
        if cut:
            self._fill_table(directory)

    def _fill_table(self, directory: Path) -> None:
        from safetensors import safe_open

        table = self.model.model.language_model.embed_tokens_per_layer.weight
        with safe_open(directory / "model.safetensors", framework="pt") as file:
            rows = file.get_slice("model.language_model.embed_tokens_per_layer.weight")
            table.data.copy_(rows[: len(table)])

    def new_cache(self):
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config.get_text_config())

    def read(self, ids, cache, every=False):
        ids = self.torch.from_numpy(ids)[None]
        output = self.model(
            input_ids=ids,
            mm_token_type_ids=self.torch.zeros_like(ids),
            past_key_values=cache,
            logits_to_keep=0 if every else 1,
        )
        logits = output.logits[0].float().numpy()
        return logits if every else logits[-1]


class Towers:
    """The two encoders of transformers with their projections, in float32."""

    def __init__(self, directory: Path, attention: str):
        import torch
        from transformers import AutoConfig
        from transformers.models.gemma4 import modeling_gemma4 as gemma4

        torch.set_grad_enabled(False)
        self.torch, config = torch, AutoConfig.from_pretrained(directory)
        vision, hearing, text = config.vision_config, config.audio_config, config.text_config
        for each in (vision, hearing, text):
            each.dtype, each._attn_implementation = torch.float32, attention
        self.see = gemma4.Gemma4VisionModel(vision), gemma4.Gemma4MultimodalEmbedder(vision, text)
        hearing._attn_implementation = "eager"  # there is no other
        self.hear = gemma4.Gemma4AudioModel(hearing), gemma4.Gemma4MultimodalEmbedder(hearing, text)
        names = ("vision_tower.", "embed_vision.", "audio_tower.", "embed_audio.")
        for name, module in zip(names, (*self.see, *self.hear), strict=True):
            self._fill(module.eval(), directory / "model.safetensors", f"model.{name}")

    def _fill(self, module: Any, path: Path, prefix: str) -> None:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            module.load_state_dict({name.removeprefix(prefix): file.get_tensor(name).float() for name in names})

    def image(self, size, times):
        (tower, project), (patches, places) = self.see, (self.torch.from_numpy(each)[None] for each in picture(size))
        return timed(lambda: project(tower(patches, places).last_hidden_state).numpy(), times)

    def sound(self, size, times):
        (tower, project), mel = self.hear, self.torch.from_numpy(sound(size))[None]
        mask = self.torch.ones(mel.shape[:2], dtype=self.torch.bool)
        return timed(lambda: project(tower(mel, mask).last_hidden_state).numpy(), times)


class Machine:
    """What the processor and the memory can do in float32 through NumPy: the yardstick."""

    def matrix_products(self, size, times):
        """Seconds of one product of two square matrices."""
        a, b = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
        return timed(lambda: a @ b, times)

    def matrix_vectors(self, size, times):
        """Seconds to multiply so many million values of weight with a vector, 12,288 × 1,536 at a time."""
        rows = 12_288 if size > 100 else 64
        weights = [np.ones((rows, 1536), np.float32) for _ in range(math.ceil(size * 1e6 / (rows * 1536)))]
        x = np.ones(1536, np.float32)
        seconds, results = timed(lambda: [weight @ x for weight in weights], times)
        share = size * 1e6 / (len(weights) * weights[0].size)
        return [share * each for each in seconds], results[0]


def read_once(directory: Path) -> list[float]:
    """Seconds to read every file of the checkpoint from end to end."""
    buffer, start = bytearray(2**23), now()
    for path in sorted(directory.glob("*.safetensors")):
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return [now() - start]


def bytes_from_disk() -> int:
    """What the system has read from disk for this process, ahead or when it was needed (Linux; else 0)."""
    try:
        found = re.search(r"read_bytes: (\d+)", Path("/proc/self/io").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def main() -> None:
    side, directory, memory, tasks = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
    if side == "ours":
        worker: Any = Ours(directory, memory)
    elif side.startswith("towers"):
        worker = Towers(directory, side.split()[1])
    elif side == "machine":
        worker = Machine()
    elif side == "disk":
        line = {"task": "read", "seconds": read_once(directory), "from_disk": bytes_from_disk(), "result": []}
        print(json.dumps(line), flush=True)
        return
    else:
        worker = Reference(directory, side)
    for name, size, times, warm in tasks:
        if warm:  # weights are widened, the second time for good, and buffers made
            getattr(worker, name)(size, warm)
        seconds, result = getattr(worker, name)(size, times)
        result = np.ravel(result)[:: max(1, np.size(result) // 500)].tolist()  # enough to compare
        line = {"task": f"{name} {size}", "seconds": seconds, "since_start": time.process_time(), "result": result}
        print(json.dumps(line | {"from_disk": bytes_from_disk()}), flush=True)


if __name__ == "__main__":
    main()
