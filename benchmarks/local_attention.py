"""Local attention costs time and memory in proportion to the prompt: doubling it costs at most 2.3 times as much.

    python benchmarks/local_attention.py

E2B's local layer (8 query heads, 1 KV head, width 256, window 512) beside its global one, attention alone: from
queries, keys and values to head outputs. Processor time of this process, best of five; memory as tracemalloc sees it.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from minigemma.attention import attend
from minigemma.config import GLOBAL, LOCAL, PRESETS
from minigemma.interleaving import LayerSpec, schedule, visible_keys

LENGTHS = (4096, 8192, 16_384)  # tokens
GLOBAL_LENGTHS = (2048, 4096)  # for comparison: four times as much for twice as many
MOST = 2.3  # times as much for twice as many tokens, in a local layer


def job(spec: LayerSpec, tokens: int) -> Callable[[], np.ndarray]:
    """One layer's attention over a whole prompt of random numbers."""
    random = np.random.default_rng(0)
    queries = random.standard_normal((tokens, spec.heads, spec.head_dim), np.float32)
    keys, values = random.standard_normal((2, tokens, spec.kv_heads, spec.head_dim), np.float32)
    first, last = visible_keys(np.arange(tokens), spec.window)
    return lambda: attend(queries, keys, values, first, last)


def seconds(runs: Sequence[Callable], rounds: int = 5) -> list[float]:
    """Processor seconds of each, the best of a few rounds by turns: other processes of the machine do not count."""
    best = [float("inf")] * len(runs)
    for _ in range(rounds):
        for i, run in enumerate(runs):
            start = time.process_time()
            run()
            best[i] = min(best[i], time.process_time() - start)
    return best


def megabytes(run: Callable) -> float:
    """The most memory used at one time beyond what was there before, outputs included."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def table(spec: LayerSpec, lengths: tuple[int, ...]) -> list[float]:
    """Print a line a length; return how many times as long each took as the one before."""
    runs = [job(spec, tokens) for tokens in lengths]
    memory, took = [megabytes(run) for run in runs], seconds(runs)
    steps = [after / before for before, after in pairwise(took)]
    print(f"{'local' if spec.is_local else 'global'} layer, window {spec.window or 'none'}")
    print(f"{'tokens':>8} {'seconds':>8} {'times':>6} {'µs/token':>9} {'MB':>8} {'outputs':>8} {'all scores':>11}")
    for tokens, time_, most, step in zip(lengths, took, memory, [None, *steps], strict=True):
        outputs, scores = (4e-6 * tokens * spec.heads * n for n in (spec.head_dim, tokens))
        print(
            f"{tokens:>8,} {time_:>8.3f} {f'{step:.2f}' if step else '':>6} {time_ / tokens * 1e6:>9.1f} {most:>8.1f} "
            f"{outputs:>8.1f} {scores:>11,.1f}"
        )
    return steps


def main() -> int:
    specs = {spec.kind: spec for spec in schedule(PRESETS["E2B"].text)}
    steps = table(specs[LOCAL], LENGTHS)
    table(specs[GLOBAL], GLOBAL_LENGTHS)
    ok = max(steps) <= MOST
    print(
        f"twice the tokens cost a local layer at most {max(steps):.2f} times as much: {'[OK]' if ok else '[TOO SLOW]'}"
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
