"""What a checkpoint can and cannot do, measured on data it was never trained on: ``minigemma evaluate``."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from minigemma.errors import CheckpointError
from minigemma.evaluation.experts import experts
from minigemma.evaluation.language import language, without_ple
from minigemma.evaluation.recall import recall
from minigemma.evaluation.report import LINES, Table
from minigemma.evaluation.senses import hearing, sight
from minigemma.model import Gemma4, find_checkpoint, load, shipped_names

ONE_CORE = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def evaluate(model: Gemma4, limit: int | None = None) -> list[Table]:
    """Everything that can be measured on a model with the senses it has.

    limit: at most so many pictures, clips, stories and passages of each set; None takes all.
    """
    config = model.config
    parts = [
        (sight, config.vision is not None),
        (hearing, config.audio is not None),
        (recall, True),
        (language, True),
        (experts, config.text.enable_moe_block),
        (without_ple, config.text.hidden_size_per_layer_input > 0),
    ]
    return [table for part, possible in parts if possible for table in part(model, limit)]


def measure(name: str, limit: int | None, line: int) -> tuple[list[Table], float]:
    """``evaluate`` by name, and the seconds it took; its progress is on this line of the terminal."""
    start = time.perf_counter()
    LINES.append(line)
    return evaluate(load(name), limit), time.perf_counter() - start


def run(checkpoints: Sequence[str] = (), json_file: str | None = None, limit: int | None = None) -> int:
    """The command: print the tables of each checkpoint (default: all shipped ones); write them as JSON if asked to.

    Every checkpoint is measured in a process of its own that computes on one core: products this small only get slower
    when NumPy shares each of them between cores.
    """
    names, found = list(checkpoints or shipped_names()), {}
    if not names:
        raise CheckpointError("no checkpoint is shipped with this installation; name one, or a directory")
    for name in names:
        find_checkpoint(name)  # before the first is measured
    for variable in ONE_CORE:
        os.environ.setdefault(variable, "1")  # read when a new process imports NumPy
    with ProcessPoolExecutor(min(len(names), os.cpu_count() or 1), multiprocessing.get_context("spawn")) as pool:
        work = [pool.submit(measure, name, limit, line) for line, name in enumerate(names)]
        for name, done in zip(names, work, strict=True):
            tables, seconds = done.result()
            print(f"== {name} ==\n", *(f"{table}\n" for table in tables), sep="\n")
            print(f"{name}: {seconds:.0f} s\n", flush=True)
            found[name] = {table.title: table.numbers() for table in tables}
    if json_file:
        Path(json_file).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0
