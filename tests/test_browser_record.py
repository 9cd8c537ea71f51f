"""The record button in a real browser with an invented microphone: what is recorded arrives and is drawn."""

import sys

import pytest
from browsers import CHROMIUM, free_port, opened, served

pytest.importorskip("playwright")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]
CELL = """
import minigemma as mg
from minigemma.explore import sound_viewer
sound_viewer(mg.load(mg.default_checkpoint("mini-e")))
"""
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")  # it beeps once a second


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on a notebook with one explorer."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "notebooks" / "sound.ipynb")
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={folder / 'notebooks'}", "--expose-app-in-browser"]
    command += ["--LabApp.extension_manager=readonly", "--LabApp.news_url="]
    with served(command, f"http://127.0.0.1:{port}/api?token=t", folder):
        yield f"http://127.0.0.1:{port}/lab/tree/sound.ipynb?reset&token=t"


def show(page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".jp-Notebook", timeout=120_000)
    page.evaluate("""async () => {
      const app = window.jupyterapp; await app.restored;
      const panel = app.shell.currentWidget;
      await panel.context.ready; await panel.sessionContext.ready; await panel.sessionContext.session.kernel.info;
      await app.commands.execute('notebook:run-all-cells');
    }""")
    page.locator(".minigemma-recorder button").wait_for(timeout=120_000)


def test_a_recording_arrives_and_is_drawn(lab):
    with opened(*MICROPHONE) as page:
        show(page, lab)
        button = page.locator(".minigemma-recorder button")
        button.click()
        page.wait_for_function("b => b.textContent.includes('stop')", arg=button.element_handle(), timeout=20_000)
        page.wait_for_timeout(2500)
        button.click()
        chosen = page.locator(".widget-dropdown select").first
        page.wait_for_function(
            "s => s.selectedOptions[0].textContent.includes('recording')", arg=chosen.element_handle()
        )
        assert page.locator(".minigemma-recorder .said").inner_text() == ""
        assert page.locator(".widget-html [role=alert]").count() == 0
        assert page.errors == []


def test_without_a_microphone_the_button_says_so(lab):
    with opened() as page:
        show(page, lab)
        page.locator(".minigemma-recorder button").click()
        said = page.locator(".minigemma-recorder .said")
        page.wait_for_function("s => s.textContent.startsWith('No microphone')", arg=said.element_handle())
