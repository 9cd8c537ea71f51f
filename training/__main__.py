"""Everything from nothing: ``python -m training`` (``make train``; some five hours on two cores).

Tokenizer and held-out sets, the samples, two checkpoints side by side and the third, which begins with what it has in
common with one of them, their curves, and the evaluation. The new checkpoints take the place of the shipped ones.
``--smoke`` goes through all of it in minutes, into another directory.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from minigemma.evaluation.evaluate import run
from minigemma.evaluation.sets import DATA
from minigemma.model import SHIPPED

from . import curves, heldout, model_configs, samples

HERE = Path(__file__).parent


def train(work: Path, jobs: dict[str, list[str]]) -> None:
    """Checkpoints at once, by name and options, each with a log of its own in ``work``; stops if one fails."""
    running = {}
    for name, options in jobs.items():
        command = [sys.executable, "-m", "training.train", name, "--work", str(work), *options]
        with (work / f"{name}.log").open("w", encoding="utf-8") as log:
            running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        print(f"{name} is being trained; its log: {work / name}.log", flush=True)
    failed = [name for name, process in running.items() if process.wait()]
    if failed:
        raise SystemExit(f"training of {' and '.join(failed)} failed; see the log")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--minutes", type=float, default=200, help="of training (default: %(default)s)")
    ask.add_argument("--work", type=Path, default=HERE / "work", help="where everything is kept that is not shipped")
    ask.add_argument("--smoke", action="store_true", help="a few steps on a little data; nothing shipped is touched")
    args = ask.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    data, shown, shipped, results = DATA, samples.OUT, SHIPPED, curves.RESULTS
    if args.smoke:
        data, shown, shipped, results = (args.work / part for part in ("data", "samples", "shipped", "results"))
    heldout.main(["--work", str(args.work), "--out", str(data)])
    samples.main(["--out", str(shown)])
    options = ["--smoke"] if args.smoke else ["--minutes", str(args.minutes)]
    train(args.work, {"mini-e": options, "mini-a4b": options})
    grow = ["--grow", str(args.work / "export" / "mini-a4b"), "--threads", "2"]
    train(args.work, {"mini-31b": grow + (options if args.smoke else ["--minutes", str(args.minutes / 3)])})
    results.mkdir(parents=True, exist_ok=True)
    for name in model_configs.NAMES:
        shutil.copytree(args.work / "export" / name, shipped / name, dirs_exist_ok=True)
        shutil.copy(args.work / "export" / f"{name}_curve.json", results)
    curves.main(["--results", str(results)])
    names = [str(shipped / name) for name in sorted(model_configs.NAMES, reverse=True)]
    run(names, str(results / "evaluation.json"), limit=2 if args.smoke else None)


if __name__ == "__main__":
    main()
