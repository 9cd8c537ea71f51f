"""Time and memory of the vision encoder at every budget, and beside transformers at the largest.

    python benchmarks/vision.py [E2B | 31B] [--layers N] [--reference]

The tower has the released width, random weights and two layers (of 16 or 27) unless told otherwise. The picture is as
close to a budget as pictures come (4 : 3 or so). Wall time, the best of two; memory as tracemalloc sees it.
--reference: budget 1120 here and in the installed transformers (float32, PyTorch), by turns.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minigemma import vision
from minigemma.checkpoint import Weights
from minigemma.config import PRESETS, VisionConfig
from minigemma.ops import relative_error
from minigemma.vision.numbers import pattern_bytes

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import vision_case as case  # the random towers of the tests

GRIDS = {70: (30, 21), 140: (42, 30), 280: (60, 42), 560: (84, 60), 1120: (120, 84)}  # columns, rows: all but full
NORMS = {"q_norm": 0.4062, "k_norm": 1.234}  # as the released small tower has them in its first layer


def random_tower(config: VisionConfig) -> dict[str, np.ndarray]:
    """Weights of every name; scores as large as the released towers make them."""
    tensors = case.random_tower(config, 0)
    for name in tensors:
        for norm, size in NORMS.items():
            if norm in name:
                tensors[name] = np.full_like(tensors[name], size)
    return tensors


def seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak(work: Callable) -> int:
    """The most bytes of arrays beyond what was there before."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def budgets(config: VisionConfig, tensors: dict[str, np.ndarray]) -> None:
    """A line a budget."""
    weights = Weights.of(tensors).under("vision_tower.")
    print("  budget  patches   seconds   µs a patch   peak memory   one layer's pattern, never made")
    for budget, grid in GRIDS.items():
        image = case.random_images(0, [grid])[0]
        work = lambda image=image: vision.encode(*image, weights, config)  # noqa: E731
        took, N = min(seconds(work) for _ in range(2)), len(image[0])
        print(
            f"  {budget:6,}  {N:7,}  {took:8.2f}  {took / N * 1e6:11.0f}  {peak(work) / 1e6:8.0f} MB"
            f"  {pattern_bytes(N, config) / 1e6:12,.0f} MB"
        )


def compare(config: VisionConfig, tensors: dict[str, np.ndarray], rounds: int = 5) -> None:
    """By turns; the median of each, and the ratio of the medians."""
    import torch
    import vision_reference

    weights, image = Weights.of(tensors).under("vision_tower."), case.random_images(0, [GRIDS[1120]])[0]
    tower, _ = vision_reference.build(config, tensors)
    inputs = vision_reference.padded([image], len(image[0]))

    def reference(implementation: str):
        tower.set_attn_implementation(implementation)
        with torch.no_grad():
            return tower(*inputs).last_hidden_state.numpy()

    works = {
        "minigemma": lambda: vision.encode(*image, weights, config),
        "transformers, sdpa": lambda: reference("sdpa"),
        "transformers, eager": lambda: reference("eager"),
    }
    error = relative_error(works["minigemma"](), reference("sdpa"))  # also the first, slow run of both
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    middle = {name: float(np.median(took)) for name, took in times.items()}
    print(f"10,080 patches, float32, {torch.get_num_threads()} threads, medians of {rounds} rounds by turns:")
    for name, took in middle.items():
        ratio = "" if name == "minigemma" else f"  minigemma is {took / middle['minigemma']:.2f} times as fast"
        print(f"  {name:20} {took:7.2f} s{ratio}")
    print(f"  relative error of the soft tokens {error:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tower", nargs="?", default="E2B", choices=("E2B", "31B"), help="whose (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=2, help="of the released 16 or 27 (default: %(default)s)")
    parser.add_argument("--reference", action="store_true", help="compare with the installed transformers and stop")
    options = parser.parse_args()
    released = PRESETS[options.tower].vision
    assert released is not None
    config = dataclasses.replace(released, num_hidden_layers=options.layers, position_embedding_size=128)
    print(f"Vision encoder of {options.tower}, {config.hidden_size} wide, {options.layers} layers")
    (compare if options.reference else budgets)(config, random_tower(config))


if __name__ == "__main__":
    main()
