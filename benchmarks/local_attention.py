"""Local attention costs time and memory in proportion to the prompt: doubling it costs at most 2.3 times as much.

    python benchmarks/local_attention.py

E2B's local layer (8 query heads, 1 KV head, width 256, window 512) beside its global one, attention alone: from
queries, keys and values to head outputs. Processor time of this process, best of three; memory as tracemalloc sees it.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable

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


def seconds(run: Callable, times: int = 3) -> float:
    """Processor seconds, the best of a few: other processes of the machine do not count."""
    found = []
    for _ in range(times):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def megabytes(run: Callable) -> float:
    """The most memory used at one time beyond what was there before, outputs included."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def table(spec: LayerSpec, lengths: tuple[int, ...]) -> list[float]:
    """Print a line a length; return how many times as long each took as the one before."""
    print(f"{'local' if spec.is_local else 'global'} layer, window {spec.window or 'none'}")
    print(f"{'tokens':>8} {'seconds':>8} {'times':>6} {'µs/token':>9} {'MB':>8} {'outputs':>8} {'all scores':>11}")
    steps, before = [], 0.0
    for tokens in lengths:
        run = job(spec, tokens)
        memory, took = megabytes(run), seconds(run)
        outputs, scores = (4e-6 * tokens * spec.heads * n for n in (spec.head_dim, tokens))
        times = f"{took / before:.2f}" if before else ""
        print(
            f"{tokens:>8,} {took:>8.3f} {times:>6} {took / tokens * 1e6:>9.1f} {memory:>8.1f} {outputs:>8.1f} "
            f"{scores:>11,.1f}"
        )
        steps += [took / before] if before else []
        before = took
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
