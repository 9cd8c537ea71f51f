"""Speed and memory beside Hugging Face transformers, in one table: the same checkpoint, the same prompt, the same run.

    python benchmarks/make_twin.py E2B out/twins/E2B        # once: 10.2 GB of random values, of the released shape
    python benchmarks/run.py --twins out/twins              # some ten minutes
    python benchmarks/run.py --small                        # the same with tiny models, to see that it runs: a minute

Each side runs in a process of its own, by turns, several times over; a row's times are medians, its ratio the median
of the turns' ratios. Memory is the peak of anonymous memory: what a process has made, not what it has mapped. OpenBLAS
and OpenMP settings of the environment are left out, so every side uses all cores as it sees fit. Ctrl-C ends the
measuring; the table then has the rows whose sides had all come to their end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from make_twin import make_twin, small
from rows import FULL, SMALL, Results, Row, Visit, rows, visits
from tqdm import tqdm

from minigemma.config import PRESETS, Config, read_config
from minigemma.memory import available_memory, show_size
from minigemma.parameters import parameter_count

HERE = Path(__file__).parent
SETTINGS = ("OPENBLAS_", "OMP_", "MKL_", "GOTO_")  # of the environment: not handed on


def environment(threads: int | None) -> dict[str, str]:
    """This process's, without settings of BLAS; with a number of threads if one is given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    clean["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *filter(None, [clean.get("PYTHONPATH")])])
    return clean | ({"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)} if threads else {})


def visit(what: Visit, directory: Path, env: dict[str, str], clock: str) -> dict[str, Any]:
    """Run one side to its end: {"tasks": {label: seconds, since_start, result}, "peak": bytes of anonymous memory}."""
    for path in directory.glob("*.safetensors"):
        with open(path, "rb", buffering=0) as file:
            if what.cold and hasattr(os, "posix_fadvise"):  # on Linux
                os.fsync(file.fileno())  # what is not written yet is not forgotten
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            elif what.side in ("ours", "bfloat16") and not any(warm for *_, warm in what.tasks) and not what.once:
                while file.read(2**24):  # a fresh process finds the file in the system's cache
                    pass
    arguments = [what.side, str(directory), json.dumps(what.memory), json.dumps(what.tasks), clock]
    start, found, peak = time.perf_counter(), {}, [0]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "sides.py"), *arguments],
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        watch = threading.Thread(target=_watch_memory, args=(process, peak))
        watch.start()
        assert process.stdout is not None
        try:
            for text in process.stdout:
                line = json.loads(text)
                if clock == "wall":
                    line["since_start"] = time.perf_counter() - start
                found[line.pop("task")] = line
        finally:
            if sys.exc_info()[0]:
                process.kill()
            process.wait()
            watch.join()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(errors.read()[-2000:] or f"ended by signal {-process.returncode}")
    return {"tasks": found, "peak": peak[0]}


def _watch_memory(process: subprocess.Popen, peak: list[int]) -> None:
    """The most anonymous memory that a process ever has, looked at fifty times a second (Linux)."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            match = re.search(r"RssAnon:\s*(\d+) kB", status.read_text())
        except OSError:
            return
        peak[0] = max(peak[0], 1024 * int(match[1]) if match else 0)
        time.sleep(0.02)


def too_large(what: Visit, config: Config) -> str:
    """Why a visit cannot be made on this machine; empty if it can."""
    counts = parameter_count(config)
    everything, towers = sum(counts.values()), sum(counts.get(f"{kind} tower", 0) for kind in ("vision", "audio"))
    if {task.name for task in what.tasks} <= {"image", "sound"}:
        need = 4 * towers
    elif what.side == "float32":
        need = 4 * everything  # for a moment it also holds the table that is cut
    else:
        bytes_each = 2 if what.side == "bfloat16" else 4 if what.memory == "all" or what.side == "machine" else 0
        need = bytes_each * (everything - counts.get("per-layer embeddings", 0) - towers)
    need = max(need, 10**9)
    free = available_memory()
    return f"needs {show_size(1.1 * need)}, {show_size(free)} are available" if 1.1 * need > free else ""


def measure(wanted: list[Row], plan: dict[str, Visit], twins: Path, repeat: int, *how: Any) -> tuple:
    """All rounds of the visits that the wanted rows need: their results, and why visits were left out."""
    results, skipped = Results(), {}
    needed = [name for name in plan if any(name in row.visits for row in wanted)]
    steps = [(i, name) for i in range(repeat) for name in needed if i == 0 or not plan[name].once]
    results.rounds = [{} for _ in range(repeat)]
    with tqdm(steps, unit="process") as bar:
        for i, name in bar:
            bar.set_postfix_str(f"round {i + 1}: {name}")
            what = plan[name]
            if name not in skipped and (reason := too_large(what, read_config(twins / what.variant))):
                skipped[name] = reason
            if name in skipped:
                continue
            try:
                results.rounds[i][name] = visit(what, twins / what.variant, *how)
            except RuntimeError as error:
                skipped[name] = f"failed: {str(error).strip().splitlines()[-1]}"
            except KeyboardInterrupt:
                skipped |= {each: "was interrupted" for each in needed if each not in results.rounds[0] | skipped}
                results.rounds = results.rounds[: max(i, 1)]  # a round that is not complete has no pairs
                break
    return results, skipped


def table(wanted: list[Row], results: Results, skipped: dict[str, str]) -> tuple[str, list[dict[str, Any]]]:
    """The rows as text, and as data."""
    width = max(len(row.text) for row in wanted)
    text = [f"{'':{width}} {'here':>9} {'there':>9} {'ratio':>6} {'target':>7}       peak here, there"]
    data = []
    for row in wanted:
        missing = [f"{name} {skipped[name]}" for name in row.visits if name in skipped]
        if missing:
            text.append(f"{row.text:{width}} not measured: {'; '.join(missing)}")
            data.append({"row": row.text, "target": row.target, "not measured": missing})
            continue
        line = row.measure(results)
        verdict = ("" if not row.target else "[OK]" if row.met(line.ratio) else "[MISSED]").ljust(8)
        memory = ", ".join(map(show_size, line.memory))
        figures = f"{line.here:>9} {line.there:>9} {line.ratio:6.2f} {row.target:>7} {verdict} {memory:18}"
        text.append(f"{row.text:{width}} {figures} {line.note}".rstrip())
        data.append({"row": row.text, "target": row.target, "met": row.met(line.ratio), **asdict(line)})
    return "\n".join(text), data


def machine() -> dict[str, Any]:
    """Where and with what the table was made."""
    try:
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        model = None
    packages = {name: version(name) for name in ("numpy", "torch", "transformers")}
    return {
        "processor": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **packages,
    }


def keep(directory: Path, name: str, text: str, content: dict[str, Any]) -> None:
    """The table as text, and with every single time as JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.txt").write_text(text + "\n")
    (directory / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def variants(keys: list[str]) -> list[str]:
    """The models that rows are about: those of a key that names one, E2B otherwise."""
    return sorted({key if key in PRESETS else "E2B" for key in keys})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = list(dict.fromkeys(row.key for row in rows(FULL, PRESETS["E2B"])))
    small_keys = [key for key in keys if key not in PRESETS]
    parser.add_argument(
        "--twins", type=Path, default=Path("out/twins"), help="where E2B (and 26B-A4B, 31B) lie (default: %(default)s)"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=keys, default=small_keys, metavar="ROWS",
        help=f"which of: {', '.join(keys)} (default: all but the last two, which need twins of their own)",
    )  # fmt: skip
    parser.add_argument("--repeat", type=int, default=3, help="rounds by turns (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="for every side (default: as NumPy and PyTorch choose: all cores)")
    parser.add_argument(
        "--clock", choices=["wall", "processor"], default="wall",
        help="processor: seconds that a process computed; with --threads 1 this compares on a machine that is not idle",
    )  # fmt: skip
    parser.add_argument("--small", action="store_true", help="tiny models and prompts, made on the spot: a trial")
    parser.add_argument(
        "--keep", nargs="?", const=HERE / "results", type=Path, metavar="DIRECTORY",
        help="also write the table, and every single time, to a directory (benchmarks/results if none is named)",
    )  # fmt: skip
    given = parser.parse_args()
    if given.repeat < 1:
        parser.error("--repeat takes 1 or more")
    for variant in variants(given.rows) if not given.small else ():
        if not (given.twins / variant / "config.json").exists():
            where = given.twins / variant
            parser.error(f"no checkpoint in {where}; make one: python benchmarks/make_twin.py {variant} {where}")
    return given


def main() -> None:
    given = parse()
    with tempfile.TemporaryDirectory() as temporary:
        twins, sizes = given.twins, FULL
        if given.small:
            twins, sizes = Path(temporary), SMALL
            for variant in variants(given.rows):
                make_twin(small(PRESETS[variant]), twins / variant, quiet=True)
        config = small(PRESETS["E2B"]) if given.small else PRESETS["E2B"]
        wanted = [row for row in rows(sizes, config) if row.key in given.rows]
        if given.small:  # the targets are about the full size
            wanted = [replace(row, least=None, most=None) for row in wanted]
        results, skipped = measure(
            wanted, visits(sizes, config), twins, given.repeat, environment(given.threads), given.clock
        )
    text, lines = table(wanted, results, skipped)
    where = machine()
    versions = ", ".join(f"{name} {where[name]}" for name in ("numpy", "torch", "transformers"))
    title = f"{date.today()}, {where['processor']}, {given.threads or where['cores']} threads, {versions}"
    text = f"{title}; {given.clock} time, medians of {len(results.rounds)} rounds\n\n{text}"
    print(text)
    if given.keep:
        for each in (task for a in results.rounds for b in a.values() for task in b["tasks"].values()):
            del each["result"]
        content = {"date": str(date.today()), "machine": where, "lines": lines, "rounds": results.rounds}
        name = "-".join([str(date.today()), *variants(given.rows), *["small"] * given.small])
        keep(given.keep, name, text, content)


if __name__ == "__main__":
    main()
