"""pip and conda users get the same packages, and the README's commands exist."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"matplotlib": "matplotlib-base"}


def test_environment_yml_agrees_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(line) for line in project["dependencies"] + extras["notebooks"] + extras["dev"]]
    wanted.append(Requirement(f"python{project['requires-python']}"))

    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [Requirement(line) for line in listed if isinstance(line, str) and line != "pip"]

    assert {CONDA_NAMES.get(r.name, r.name): str(r.specifier) for r in wanted} == {
        r.name: str(r.specifier) for r in conda
    }


def test_every_make_command_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named <= targets


def test_nothing_large_and_no_private_path_in_the_package():
    for path in (ROOT / "minigemma").rglob("*"):
        if path.is_file():
            assert path.stat().st_size < 20 * 2**20, path
