"""The training scripts run from nothing: a few steps of everything on a little data give a checkpoint that loads."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigemma as mg
from minigemma.studio import SAMPLES

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
pytest.importorskip("sklearn", reason="the digits to train on come with scikit-learn")
NEEDED = {"espeak-ng": "speaks the words to train on", "bible": "holds the prose to train on (Debian: bible-kjv)"}
MISSING = [f"{program} {why}" for program, why in NEEDED.items() if shutil.which(program) is None]

pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING) + ": not installed"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


@pytest.mark.parametrize("name", ["mini-e", "mini-a4b", "mini-31b"])
def test_smoke(name, work):
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "training.train", name, "--smoke", "--work", str(work)]
    if name == "mini-31b":
        command += ["--grow", str(root / "minigemma" / "shipped" / "mini-a4b")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]

    model = mg.load(work / "export" / name)  # every tensor is there, with the shape that its config says
    hears = model.config.audio is not None
    assert hears == (name == "mini-e")
    audio = [SAMPLES / "both.wav"] if hears else []
    prompt = mg.make_prompt(model, "Answer the spoken question.", [SAMPLES / "both.png"], audio)
    logits = model.forward(**prompt._asdict())
    assert np.isfinite(logits).all()
    assert len(list(model.generate(**prompt._asdict(), max_new_tokens=3, stop=()))) == 3
    assert (work / "export" / name / "model.safetensors").stat().st_size < 12e6
    if name == "mini-31b":  # near what it has in common with the other, not near new weights
        old = mg.load("mini-a4b").weights["language_model.layers.3.mlp.gate_proj.weight"]
        new = model.weights["language_model.layers.3.mlp.gate_proj.weight"]
        assert np.abs(new[: len(old)] - old).max() < 0.05 < np.abs(old).max()

    curve = json.loads((work / "export" / f"{name}_curve.json").read_text())
    assert curve
    assert all(np.isfinite(list(point["train"].values())).all() for point in curve)
    assert {"loss prose", "digit", "recall"} <= set(curve[-1]["valid"])


def test_goes_on_from_an_exported_directory(work):
    """Four more steps from shipped weights; another model's weights are refused."""
    root = Path(__file__).parent.parent
    shipped = root / "minigemma" / "shipped"
    command = [sys.executable, "-m", "training.train", "mini-a4b", "--smoke", "--work", str(work / "again"), "--start"]
    done = subprocess.run([*command, str(shipped / "mini-a4b")], cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    curve = json.loads((work / "again" / "export" / "mini-a4b_curve.json").read_text())
    earlier = json.loads((root / "training" / "results" / "mini-a4b_curve.json").read_text())
    assert curve[: len(earlier)] == earlier
    assert curve[-1]["step"] == earlier[-1]["step"] + 4
    old, new = (
        mg.load(d).weights["language_model.norm.weight"] for d in (shipped / "mini-a4b", work / "again/export/mini-a4b")
    )
    assert np.abs(new - old).max() < 0.05 < np.abs(old - 1).max()  # near those it began with, not near new ones

    done = subprocess.run([*command, str(shipped / "mini-e")], cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode != 0
    assert "another model" in done.stderr
