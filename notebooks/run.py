"""Run notebooks top to bottom in clean kernels and keep their outputs: ``python notebooks/run.py [NAME ...]``.

Without names all of them are run. A notebook is only rewritten when it ran without an error, so a failure leaves the
committed outputs as they were.
"""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

HERE = Path(__file__).parent


def run(path: Path, timeout: int = 120) -> float:
    """Execute one notebook in place; returns the seconds it took."""
    notebook = nbformat.read(path, as_version=4)
    started = time.perf_counter()
    NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day would make every run a change
    nbformat.write(notebook, path)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of file names, such as 03 (default: all)")
    names = parser.parse_args().names
    paths = [p for p in sorted(HERE.glob("*.ipynb")) if not names or any(name in p.stem for name in names)]
    failed = 0
    for path in tqdm(paths, unit="notebook"):
        try:
            tqdm.write(f"{path.name}: {run(path):.0f} s, {path.stat().st_size / 1e6:.2f} MB")
        except CellExecutionError as error:
            failed += 1
            tqdm.write(f"{path.name}: FAILED\n{error}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
