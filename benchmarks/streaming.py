"""A bfloat16 matrix times a vector: widened whole and then multiplied, a piece at a time, and with float32 at hand.

    python benchmarks/streaming.py [--clock processor]

The matrices are those of an E2B layer, and enough of them that none is in the processor's cache already. Medians of
rounds by turns; GB/s counts what must be read at least: two bytes a value, four for float32.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from minigemma.bfloat16 import Scratch, narrow, product_of_few, widen

SHAPES = {"gate or up": (12_288, 1536), "down": (1536, 12_288), "queries": (2048, 1536)}
VALUES = 100_000_000  # of each shape
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    now = {"wall": time.perf_counter, "processor": time.process_time}[parser.parse_args().clock]
    random, scratch = np.random.default_rng(0), Scratch()
    print(f"{'':12} {'widened whole':>15} {'a piece at a time':>18} {'float32':>15}   a piece at a time is")
    for name, shape in SHAPES.items():
        stored = narrow(random.standard_normal((VALUES // (shape[0] * shape[1]), *shape), np.float32))
        wide = widen(stored.reshape(-1), np.empty(stored.size, np.float32)).reshape(stored.shape)
        x, whole = random.standard_normal(shape[1], np.float32), np.empty(stored[0].size, np.float32)
        ways = {
            "whole": (2, lambda raw, _, x=x, out=whole: widen(raw.reshape(-1), out).reshape(raw.shape) @ x),
            "pieces": (2, lambda raw, _, x=x: product_of_few(x[None], raw, scratch)),
            "float32": (4, lambda _, matrix, x=x: matrix @ x),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, (_, work) in ways.items():
                start = now()
                for raw, matrix in zip(stored, wide, strict=True):
                    work(raw, matrix)
                seconds[way].append(now() - start)
        middle = {way: median(each) for way, each in seconds.items()}
        figures = [
            f"{1e3 * middle[way] / len(stored):5.2f} ms {size * stored.size / middle[way] / 1e9:3.0f} GB/s"
            for way, (size, _) in ways.items()
        ]
        gain = median(a / b for a, b in zip(seconds["whole"], seconds["pieces"], strict=True))
        print(f"{name:12} {figures[0]:>15} {figures[1]:>18} {figures[2]:>15}   {gain:.2f} times as fast as whole")


if __name__ == "__main__":
    main()
