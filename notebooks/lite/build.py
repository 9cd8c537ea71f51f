"""Build the notebooks for the browser: ``python notebooks/lite/build.py`` writes _lite, to be served over HTTP.

JupyterLite runs Python in the page (Pyodide), so a reader installs nothing: the site holds this package's wheel with
its shipped checkpoints, the notebooks, and the widgets. Pyodide itself comes from its usual place on the network, or,
with ``--pyodide DIR``, from a copy inside the site. Needs the ``lite`` extra.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PURE = (
    "tqdm",
    "ipywidgets",
    "comm",
    "widgetsnbextension",
    "jupyterlab_widgets",
)  # wheels the notebooks need beside ours
INSTALL = "%pip install -q ipywidgets minigemma"


def collect_wheels(to: Path) -> list[Path]:
    """Our own wheel, and the pure Python ones it needs in the browser."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", to, ROOT], check=True)
    subprocess.run([*pip, "download", "--no-deps", "--only-binary", ":all:", "--dest", to, *PURE], check=True)
    return sorted(to.glob("*.whl"))


def copy_notebooks(to: Path) -> None:
    """The notebooks without outputs, each with a first cell that installs the package into the page."""
    to.mkdir(parents=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        notebook.metadata.pop("widgets", None)
        notebook.metadata["kernelspec"] = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}
        notebook.cells.insert(0, nbformat.v4.new_code_cell(INSTALL, id="install"))
        nbformat.write(notebook, to / path.name)
    shutil.copy(ROOT / "notebooks" / "README.md", to / "README.md")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "_lite", help="default: _lite")
    parser.add_argument(
        "--pyodide", type=Path, help="a directory with a Pyodide distribution, to be served from the site"
    )
    args = parser.parse_args()
    out = args.out.resolve()
    work = out.with_name(out.name + ".build")
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    wheels = collect_wheels(work / "wheels")
    copy_notebooks(work / "files")
    (work / "jupyter_lite_config.json").write_text(
        json.dumps({"PipliteAddon": {"piplite_urls": [str(w) for w in wheels]}})
    )
    build = [sys.executable, "-m", "jupyter", "lite", "build", "--lite-dir", work, "--contents", work / "files"]
    build += [
        "--output-dir",
        out,
        "--no-sourcemaps",
        "--no-unused-shared-packages",
        "--apps",
        "lab",
        "--apps",
        "notebooks",
    ]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, cwd=work)  # where it leaves a database
    if args.pyodide:
        serve_pyodide(args.pyodide, out)
    shutil.rmtree(work)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {size / 1e6:.0f} MB. To look at it: python -m http.server -d {out.name}")
    return 0


def serve_pyodide(distribution: Path, out: Path) -> None:
    """Copy Pyodide into the site and point the kernel to it."""
    shutil.copytree(distribution, out / "static" / "pyodide", dirs_exist_ok=True)
    settings = out / "jupyter-lite.json"
    config = json.loads(settings.read_text())
    kernel = config["jupyter-config-data"].setdefault("litePluginSettings", {})
    kernel.setdefault("@jupyterlite/pyodide-kernel-extension:kernel", {})["pyodideUrl"] = "./static/pyodide/pyodide.js"
    settings.write_text(json.dumps(config, indent=2))


if __name__ == "__main__":
    sys.exit(main())
