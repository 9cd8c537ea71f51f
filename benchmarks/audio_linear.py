"""Time and memory of the sound encoder against the length of the sound: both grow in proportion to it.

Run as ``python benchmarks/audio_linear.py [layers] [--reference]``. The tower has the released width, random weights
and two layers (of the released twelve) unless told otherwise: random weights of all twelve take 1.2 GB.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import tracemalloc

import numpy as np

from minigemma import audio
from minigemma.audio import attention, naive
from minigemma.checkpoint import Weights
from minigemma.config import PRESETS, AudioConfig
from minigemma.ops import relative_error
from minigemma.parameters import tensor_shapes
from minigemma.trace import Trace

MB = 1e6


def random_tower(config: AudioConfig) -> dict[str, np.ndarray]:
    """Weights of the released names and shapes, small enough that nothing overflows, clip bounds out of the way."""
    rng, prefix = np.random.default_rng(0), "model.audio_tower."
    whole = tensor_shapes(dataclasses.replace(PRESETS["E2B"], audio=config))
    tensors = {}
    for name, shape in whole.items():
        if not name.startswith(prefix):
            continue
        tensor = 0.03 * rng.standard_normal(shape, np.float32) + ("norm" in name)
        bound = {"min": -50.0, "max": 50.0}.get(name.rsplit("_", 1)[-1])
        tensors[name.removeprefix(prefix)] = np.asarray(tensor if bound is None else bound, np.float32)
    return tensors


def measure(work) -> tuple[float, float]:
    """(seconds, peak MB of arrays) of ``work()``, the better of two runs for the time."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(times), peak / MB


def compare(tensors: dict[str, np.ndarray], config: AudioConfig, rounds: int = 5) -> None:
    """30 s of sound, here and in the installed transformers (float32, PyTorch), by turns; the median of each."""
    import torch
    from transformers.models.gemma4.configuration_gemma4 import Gemma4AudioConfig
    from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor
    from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioModel

    tower = Gemma4AudioModel(Gemma4AudioConfig(**dataclasses.asdict(config), attn_implementation="eager")).eval()
    tower.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    extractor, weights = Gemma4AudioFeatureExtractor(), Weights.of(tensors)
    wave = (0.1 * np.random.default_rng(1).standard_normal(480_000)).astype(np.float32)
    mel = audio.log_mel(wave, 16_000)
    features, valid = torch.from_numpy(mel)[None], torch.ones(1, len(mel), dtype=torch.bool)

    @torch.no_grad()
    def reference():
        return tower(features, valid).last_hidden_state[0].numpy()

    works = {
        "mel, reference": lambda: extractor([wave], return_tensors="np"),
        "mel, minigemma": lambda: audio.log_mel(wave, 16_000),
        "encoder, reference": reference,
        "encoder, minigemma": lambda: audio.encode(mel, weights, config),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    error = relative_error(works["encoder, minigemma"](), reference())  # also the first, slow run of both
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    middle = {name: float(np.median(seconds)) for name, seconds in times.items()}
    threads = torch.get_num_threads()
    print(f"30 s of sound beside transformers ({threads} threads), medians of {rounds} rounds by turns:")
    for part in ("mel", "encoder"):
        ours, theirs = middle[f"{part}, minigemma"], middle[f"{part}, reference"]
        print(f"  {part:8} {ours:6.3f} s, reference {theirs:6.3f} s: {theirs / ours:.2f} times as fast")
    print(f"  relative error of the soft tokens {error:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="?", type=int, default=2, help="of the released twelve; each takes 100 MB")
    parser.add_argument("--reference", action="store_true", help="compare with the installed transformers and stop")
    options = parser.parse_args()
    config = dataclasses.replace(AudioConfig(), num_hidden_layers=options.layers)
    tensors = random_tower(config)
    if options.reference:
        return compare(tensors, config)
    weights, layers = Weights.of(tensors), options.layers
    print(f"Sound encoder, {config.hidden_size} wide, {layers} layers: waveform → mel → soft tokens")
    print("  sound   tokens   mel time    peak     encoder time   peak    ms, MB a token   one pattern watched, peak")
    rng = np.random.default_rng(1)
    for seconds in (5, 10, 20, 30):
        wave = (0.1 * rng.standard_normal(16_000 * seconds)).astype(np.float32)
        mel = audio.log_mel(wave, 16_000)
        mel_time, mel_peak = measure(lambda wave=wave: audio.log_mel(wave, 16_000))
        encoder_time, peak = measure(lambda mel=mel: audio.encode(mel, weights, config))
        watched = measure(lambda mel=mel: audio.encode(mel, weights, config, Trace("layers.0.attention.pattern")))[1]
        n = audio.soft_token_count(len(mel))
        print(
            f"  {seconds:3d} s  {n:6d}   {mel_time:6.3f} s  {mel_peak:6.1f} MB   {encoder_time:8.2f} s  {peak:6.1f} MB"
            f"   {1000 * encoder_time / n:5.2f}, {peak / n:5.3f}      {watched:8.1f} MB"
        )
    print("\nAttention alone, blocks of 12 × 24 against every pair of tokens (8 heads of 128):")
    for tokens in (125, 250, 500, 750):
        q, k, v, r = (rng.standard_normal((n, 8, 128), np.float32) for n in (tokens, tokens, tokens, 13))
        time_blocks, blocks = measure(lambda q=q, k=k, v=v, r=r: attention.attend_in_blocks(q, k, v, r, config))
        time_square, square = measure(lambda q=q, k=k, v=v: every_pair(q, k, v, config))
        print(
            f"  {tokens:3d} tokens   blocks {1000 * time_blocks:6.1f} ms {blocks:6.1f} MB"
            f"   every pair {1000 * time_square:6.1f} ms {square:6.1f} MB"
        )


def every_pair(queries, keys, values, config):
    """Attention with the (H, T, T) array and without the distances: what blocks avoid, at its best."""
    scores = queries.swapaxes(0, 1) @ keys.transpose(1, 2, 0)  # (H, T, T)
    distance = np.subtract.outer(np.arange(len(queries)), np.arange(len(keys)))
    seen = (distance >= 0) & (distance < config.attention_context_left - 1)
    pattern = naive.softmax(np.where(seen, naive.soft_cap(scores, config.attention_logit_cap), np.float32(-1e9)))
    return (pattern @ values.swapaxes(0, 1)).swapaxes(0, 1)


if __name__ == "__main__":
    main()
