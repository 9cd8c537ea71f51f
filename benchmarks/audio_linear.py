"""Time and memory of the sound encoder against the length of the sound: both grow in proportion to it.

Run as ``python benchmarks/audio_linear.py [layers]``. The tower has the released width and random weights; it has two
layers (of the released twelve) unless told otherwise, because random weights of all twelve take 1.2 GB.
"""

from __future__ import annotations

import dataclasses
import sys
import time
import tracemalloc

import numpy as np

from minigemma import audio
from minigemma.audio import attention, naive
from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig
from minigemma.trace import Trace

MB = 1e6


def random_tower(config: AudioConfig) -> Weights:
    """Weights of the released shapes, small enough that nothing overflows."""
    rng, D = np.random.default_rng(0), config.hidden_size
    C0, C1 = config.subsampling_conv_channels
    heads = {"per_dim_scale": (D // config.num_attention_heads,), "relative_k_proj.weight": (D, D)}
    linears = {f"self_attn.{n}.linear.weight": (D, D) for n in ("q_proj", "k_proj", "v_proj", "post")}
    linears |= {"lconv1d.linear_start.linear.weight": (2 * D, D), "lconv1d.linear_end.linear.weight": (D, D)}
    norms = ["norm_pre_attn", "norm_post_attn", "norm_out", "lconv1d.pre_layer_norm", "lconv1d.conv_norm"]
    for n in (1, 2):
        linears[f"feed_forward{n}.ffw_layer_1.linear.weight"] = (4 * D, D)
        linears[f"feed_forward{n}.ffw_layer_2.linear.weight"] = (D, 4 * D)
        norms += [f"feed_forward{n}.pre_layer_norm", f"feed_forward{n}.post_layer_norm"]
    layer = linears | {f"self_attn.{name}": shape for name, shape in heads.items()}
    layer |= {f"{name}.weight": (D,) for name in norms}
    layer["lconv1d.depthwise_conv1d.weight"] = (D, 1, config.conv_kernel_size)
    front = "subsample_conv_projection."
    shapes = {f"{front}layer0.conv.weight": (C0, 1, 3, 3), f"{front}layer0.norm.weight": (C0,)}
    shapes |= {f"{front}layer1.conv.weight": (C1, C0, 3, 3), f"{front}layer1.norm.weight": (C1,)}
    shapes[f"{front}input_proj_linear.weight"] = (D, C0 // 4 * C1)
    shapes |= {"output_proj.weight": (config.output_proj_dims, D), "output_proj.bias": (config.output_proj_dims,)}
    for i in range(config.num_hidden_layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in layer.items()}
    return Weights.of({name: rng.standard_normal(shape, np.float32) * 0.03 for name, shape in shapes.items()})


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


def main() -> None:
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    config = dataclasses.replace(AudioConfig(), num_hidden_layers=layers)
    weights = random_tower(config)
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
