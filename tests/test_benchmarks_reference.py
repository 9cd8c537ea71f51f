"""benchmarks/run.py with tiny models: every row is measured, and both sides compute the same."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.reference
RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"


def run(*options, **settings):
    return subprocess.run(
        [sys.executable, RUN, *map(str, options)], capture_output=True, text=True, timeout=900, **settings
    )


def test_small(tmp_path):
    done = run(
        "--small", "--repeat", 1, "--threads", 1, "--keep", tmp_path, "--rows", "prefill", "towers", "share", "26B-A4B"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "not measured" not in done.stdout
    (kept,) = tmp_path.glob("*.json")
    assert kept.with_suffix(".txt").read_text() == done.stdout
    lines = json.loads(kept.read_text())["lines"]
    assert len(lines) > 8
    assert all(line["ratio"] > 0 for line in lines)
    errors = {line["row"]: float(match[1]) for line in lines if (match := re.match("differ by (.*)", line["note"]))}
    assert {"prefill, 16 tokens, float32", "16 soft tokens of a picture, float32, sdpa"} < set(errors)
    assert all(error < (1e-5 if "float32" in row else 0.2) for row, error in errors.items()), errors


def test_what_is_missing_is_said(tmp_path):
    done = run("--twins", tmp_path)
    assert done.returncode == 2
    assert re.search(r"no checkpoint in .*E2B; make one: python benchmarks/make_twin.py E2B ", done.stderr)
    assert "--rows" in run("--help").stdout
