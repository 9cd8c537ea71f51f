"""What a checkpoint can and cannot do, measured on data it was never trained on: ``minigemma evaluate``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from minigemma.evaluation.experts import experts
from minigemma.evaluation.language import language, without_ple
from minigemma.evaluation.recall import recall
from minigemma.evaluation.report import Table
from minigemma.evaluation.senses import hearing, sight
from minigemma.model import Gemma4, load, shipped_names


def evaluate(model: Gemma4, limit: int | None = None, show: Callable[[Table], None] | None = None) -> list[Table]:
    """Everything that can be measured on a model with the senses it has.

    limit: at most so many pictures, clips, stories and passages of each set; None takes all. show: called with each
    table as it is ready.
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
    tables = []
    for part, possible in parts:
        for table in part(model, limit) if possible else ():
            tables.append(table)
            if show:
                show(table)
    return tables


def run(checkpoints: Sequence[str] = (), json_file: str | None = None, limit: int | None = None) -> int:
    """The command: print the tables of each checkpoint (default: all shipped ones); write them as JSON if asked to."""
    found = {}
    for name in checkpoints or shipped_names():
        start = time.perf_counter()
        model = load(name)
        print(f"== {name} ==\n", flush=True)
        tables = evaluate(model, limit, show=lambda table: print(f"{table}\n", flush=True))
        print(f"{name}: {time.perf_counter() - start:.0f} s\n", flush=True)
        found[name] = {table.title: table.numbers() for table in tables}
    if json_file:
        Path(json_file).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0
