"""What the tests in a real browser share: a server on this machine, and a page that reaches nothing outside it."""

import contextlib
import functools
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
FLAGS += " --disable-component-update"
NOISE = ("favicon", "ssl", "shared module")  # of browsers, of Pyodide, of JupyterLite's parts that load late


@contextlib.contextmanager
def served(command: list[str], address: str, folder: Path, seconds: float = 120):
    """Run a Jupyter server whose settings live in ``folder`` until the block ends."""
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    own += ("JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    env = os.environ | {name: str(folder / name.lower()) for name in own}
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + seconds
        while True:
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address, timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def files_served(folder: Path):
    """The address of a plain HTTP server over ``folder``."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def opened(*flags: str):
    """A page of a new browser; ``page.errors`` collects what went wrong, ``page.outside`` what it asked others for.

    flags: more of them for the browser.
    """
    from playwright.sync_api import sync_playwright  # not among what the other tests need

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), *flags])
        page = browser.new_context(viewport={"width": 1200, "height": 1000}).new_page()
        page.errors, page.outside = [], []

        def refuse(route):
            page.outside.append(route.request.url)
            route.abort()

        near = ("http://127.0.0.1", "ws://127.0.0.1", "file:", "data:", "blob:")
        page.context.route(lambda url: not url.startswith(near), refuse)
        page.on("pageerror", lambda error: note(page, str(error)))
        page.on("console", lambda message: message.type == "error" and note(page, message.text))
        yield page
        browser.close()


def note(page, error: str) -> None:
    if not any(word in error.lower() for word in NOISE):
        page.errors.append(error)


def changed_picture(page, explorer, act) -> None:
    """Do ``act`` and wait until the picture of an explorer (a locator) is another one."""
    picture = explorer.locator("img").first
    picture.scroll_into_view_if_needed()
    before = picture.get_attribute("src")
    act()
    page.wait_for_function("([img, old]) => img.src !== old", arg=[picture.element_handle(), before], timeout=60_000)
    assert picture.evaluate("img => img.decode().then(() => img.naturalWidth)") > 100


def drag(page, explorer) -> None:
    """Pull the first slider of an explorer to another place."""
    slider = explorer.locator(".noUi-target").first
    slider.scroll_into_view_if_needed()
    handle, box = slider.locator(".noUi-handle").first.bounding_box(), slider.bounding_box()
    start = handle["x"] + handle["width"] / 2
    to = box["x"] + box["width"] * (0.1 if start > box["x"] + box["width"] / 2 else 0.9)
    y = handle["y"] + handle["height"] / 2
    page.mouse.move(start, y)
    page.mouse.down()
    page.mouse.move(to, y, steps=4)
    page.mouse.up()
