"""pip and conda users get the same packages, and the README's commands exist."""

import json
import re
import subprocess
import sys
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


def make_targets():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_every_make_command_in_the_readmes_exists():
    for page in [ROOT / "README.md", *ROOT.glob("*/README.md")]:
        named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.M)
        assert {one or other for one, other in named} <= make_targets(), page


def test_every_command_of_the_makefile_is_a_target_with_a_word_about_it():
    makefile = (ROOT / "Makefile").read_text()
    assert set(re.search(r"^.PHONY: (.*)$", makefile, re.M)[1].split()) == make_targets()
    assert set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.M)) == make_targets()
    for script in re.findall(r"\$\(PY\) (?!-)(\S+)", makefile):
        assert (ROOT / script).exists(), script


def test_extras_that_a_message_or_a_page_names_exist():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), ROOT / "Makefile", *(ROOT / "minigemma").rglob("*.py")]:
        for names in re.findall(r"(?:minigemma|pip install -e \"\.|editable '\.)\[([a-z0-9,]+)\]", path.read_text()):
            assert set(names.split(",")) <= extras, path


def test_every_file_of_the_package_is_in_its_wheel():
    package = ROOT / "minigemma"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["minigemma"]
    data = {path for pattern in patterns for path in package.glob(pattern)}
    assert package / "py.typed" in data
    for path in package.rglob("*"):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        assert path.stat().st_size < 20 * 2**20, path
        if path.suffix == ".py":
            folders = [each for each in path.parents if each.is_relative_to(package)]
            missing = [each for each in folders if not (each / "__init__.py").exists()]
            assert not missing, f"{missing[0]} has modules and no __init__.py, so it is left out"
        else:
            assert path in data, f"{path} matches no pattern of package-data"


def test_what_the_browser_lacks_is_not_imported():
    """safetensors, tokenizers, torch and the like have no build there: the package itself must import without them."""
    code = """
import sys
for name in ("safetensors", "tokenizers", "torch", "transformers", "huggingface_hub", "ipywidgets", "IPython"):
    sys.modules[name] = None
import minigemma, minigemma.__main__, minigemma.plots, minigemma.info, minigemma.download
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


def test_shipped_directories_hold_what_the_reference_s_processor_loads():
    for name in ("mini-e", "mini-a4b", "mini-31b"):
        parts = json.loads((ROOT / "minigemma" / "shipped" / name / "processor_config.json").read_text())
        found = {part: parts[part][f"{part}_type"] for part in ("image_processor", "video_processor")}
        assert found == {"image_processor": "Gemma4ImageProcessor", "video_processor": "Gemma4VideoProcessor"}
        assert parts["feature_extractor"]["feature_extractor_type"] == "Gemma4AudioFeatureExtractor"
