"""Notebooks and built sites in a real browser (Chromium, driven by Playwright); skipped where there is none.

The site needs what ``make site`` needs. The build that runs in the page needs JupyterLite and, in MINIGEMMA_PYODIDE,
a directory with a Pyodide distribution that has NumPy and Matplotlib.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browsers import CHROMIUM, changed_picture, drag, files_served, free_port, opened, served

pytest.importorskip("playwright")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]
ROOT = Path(__file__).parent.parent
TRACKER = "@jupyterlab/notebook-extension:tracker"  # cells out of sight are to be there, too
EXPLORER = ".widget-vbox:has(> .widget-image), .jupyter-widget-vbox:has(> .widget-image)"

RUN_ALL = """async ([expose, seconds]) => {
  const app = window[expose]; await app.restored;
  const panel = app.shell.currentWidget;
  await panel.context.ready; await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  await app.commands.execute('notebook:run-all-cells');
  const code = panel.content.widgets.filter(cell => cell.model.type === 'code' && cell.model.sharedModel.source);
  const end = Date.now() + 1000 * seconds;
  while (!code.every(cell => cell.model.executionState === 'idle' && cell.model.executionCount)) {
    if (Date.now() > end) throw new Error('the notebook did not finish');
    await new Promise(next => setTimeout(next, 100));
  }
  return code.flatMap(cell => cell.model.sharedModel.toJSON().outputs).filter(out => out.output_type === 'error')
             .map(out => out.ename + ': ' + out.evalue);
}"""


def run_and_move(page, text: str | None, seconds: int = 180) -> None:
    """Run the notebook on the page, move a slider of an explorer and type ``text`` into one that takes some."""
    page.wait_for_selector(".jp-Notebook", timeout=120_000)
    page.errors.clear()  # what a front end complains of while it loads is its own
    assert page.evaluate(RUN_ALL, ["jupyterapp", seconds]) == []
    explorers = page.locator(EXPLORER)
    explorers.first.wait_for(timeout=60_000)
    with_slider = explorers.filter(has=page.locator(".noUi-target")).first
    changed_picture(page, with_slider, lambda: drag(page, with_slider))
    if text:
        typed = explorers.filter(has=page.locator("input[type=text]")).first

        def write():
            field = typed.locator("input[type=text]").first
            field.fill(text)
            field.press("Enter")

        changed_picture(page, typed, write)
    assert page.locator("[role=alert]").count() == 0
    assert page.errors == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on a copy of the notebooks."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    settings = folder / "jupyterlab_settings_dir" / "@jupyterlab"
    for name, content in {
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
        "notebook-extension/tracker": '{"windowingMode": "none"}',
    }.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(content)
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={folder / 'notebooks'}", "--expose-app-in-browser"]
    command += ["--LabApp.extension_manager=readonly"]
    with served(command, f"http://127.0.0.1:{port}/api?token=t", folder):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("notebook", "text"), [("02_local_and_global", "The old dog slept by the fire."), ("05_rope", "A small bird sang.")]
)
def test_jupyterlab_runs_a_notebook_and_its_explorers_move(lab, notebook, text):
    with opened() as page:
        page.goto(f"{lab}/lab/tree/{notebook}.ipynb?reset&token=t")
        run_and_move(page, text)
        assert page.outside == []


@pytest.mark.skipif(importlib.util.find_spec("myst_nb") is None, reason="the site is built with the site extra")
def test_the_site_opens_from_disk(tmp_path):
    build = [sys.executable, str(ROOT / "notebooks" / "site" / "build.py"), "--out", str(tmp_path)]
    if (ROOT / "_site" / "cache").exists():
        shutil.copytree(ROOT / "_site" / "cache", tmp_path / "cache")
    subprocess.run(build, check=True)
    with opened() as page:
        for path in sorted((tmp_path / "html").glob("*.html")):
            if path.stem in ("search", "genindex"):
                continue
            page.goto(path.as_uri())
            page.wait_for_load_state("load")
            broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src.slice(0, 80))")
            assert broken == [], f"{path.name}: {broken}"
        assert page.outside == []


@pytest.mark.skipif(
    importlib.util.find_spec("jupyterlite_core") is None or "MINIGEMMA_PYODIDE" not in os.environ,
    reason="needs the lite extra, and in MINIGEMMA_PYODIDE the directory of a Pyodide distribution",
)
def test_python_in_the_page_runs_a_notebook_and_its_explorer_moves(tmp_path):
    build = [sys.executable, str(ROOT / "notebooks" / "lite" / "build.py"), "--out", str(tmp_path / "lite")]
    subprocess.run([*build, "--pyodide", os.environ["MINIGEMMA_PYODIDE"]], check=True)
    settings = tmp_path / "lite" / "jupyter-lite.json"
    config = json.loads(settings.read_text())
    config["jupyter-config-data"] |= {
        "exposeAppInBrowser": True,
        "settingsOverrides": {TRACKER: {"windowingMode": "none"}},
    }
    settings.write_text(json.dumps(config))
    with files_served(tmp_path / "lite") as address, opened() as page:
        page.goto(f"{address}/lab/index.html?path=05_rope.ipynb")
        run_and_move(page, None, seconds=600)
        assert page.outside == []
