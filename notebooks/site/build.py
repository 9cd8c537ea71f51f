"""Build the static site of the notebooks: ``python notebooks/site/build.py`` writes _site/html, to be opened from disk.

MathJax, RequireJS and the widget manager are fetched once with npm (their licences are in the packages) and served from
the site itself, so a built site needs no network. Links that lead nowhere, and pages that would load something from
elsewhere, are errors.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCRIPTS = {  # npm package -> what is taken from it
    "@jupyter-widgets/html-manager@1.0.14": ("dist/embed-amd.js",),
    "requirejs@2.3.7": ("require.js",),
    "mathjax@4.1.3": ("tex-svg.js",),
}


def fetch_scripts(cache: Path, static: Path) -> None:
    """Put the scripts into ``static``; ``cache`` keeps the packages between builds."""
    static.mkdir(parents=True, exist_ok=True)
    for package, files in SCRIPTS.items():
        folder = cache / re.sub(r"\W+", "-", package).strip("-")
        if not folder.exists():
            if shutil.which("npm") is None:
                sys.exit("build_site: npm is needed once, to fetch MathJax and the widget manager (install Node.js)")
            folder.mkdir(parents=True)
            found = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, capture_output=True, text=True)
            if found.returncode:
                shutil.rmtree(folder)
                sys.exit(f"build_site: npm could not fetch {package}:\n{found.stderr}")
        with tarfile.open(next(folder.glob("*.tgz"))) as tar:
            for name in files:
                content = tar.extractfile(f"package/{name}")
                (static / Path(name).name).write_bytes(content.read())


def copy_sources(source: Path) -> None:
    """Notebooks, gallery and front page, with links into the repository turned into plain text."""
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(notebook.read_text(encoding="utf-8"))
        for cell in cells["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = without_outer_links("".join(cell["source"]))
        (source / notebook.name).write_text(json.dumps(cells), encoding="utf-8")
    shutil.copytree(ROOT / "figures", source / "figures", dirs_exist_ok=True)
    reading = without_outer_links((ROOT / "notebooks" / "README.md").read_text(encoding="utf-8"))
    titles = "\n".join(path.stem for path in sorted(source.glob("*.ipynb")))
    toc = f"\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{titles}\nfigures/README\n```\n"
    (source / "index.md").write_text(reading + toc, encoding="utf-8")


def without_outer_links(text: str) -> str:
    """Markdown whose relative links stay inside the site: ``[moe.py](../minigemma/moe.py)`` becomes ``moe.py``."""
    text = text.replace("](../figures/", "](figures/")
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?:\.\./(?!figures)|site/)[^)]*\)", r"\1", text)


class Links(HTMLParser):
    """What a page refers to: (tag, address) pairs, and the names that can be linked to."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.names: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("href", "src") and value:
                self.found.append((tag, value))
            if key in ("id", "name") and value:
                self.names.add(value)


def check(html: Path) -> list[str]:
    """Every broken link of a built site, and everything it would load from elsewhere."""
    paths = [path for path in html.rglob("*.html") if "_static" not in path.parts]  # the theme's own parts lie there
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in paths}
    wrong = []
    for page, links in pages.items():
        for tag, address in links.found:
            parts = urlsplit(address)
            if parts.scheme or address.startswith("//"):
                if tag in ("script", "link", "img", "iframe") and parts.scheme != "data":
                    wrong.append(f"{page.name} loads {address}")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                wrong.append(f"{page.name} links to {address}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
                wrong.append(f"{page.name} links to {address}, which has no such part")
    return sorted(set(wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "_site", help="default: _site, and the pages in _site/html")
    out = parser.parse_args().out.resolve()
    source, html = out / "source", out / "html"
    shutil.rmtree(source, ignore_errors=True)
    shutil.rmtree(html, ignore_errors=True)
    fetch_scripts(out / "cache", source / "_static")
    shutil.copy(HERE / "conf.py", source)
    shutil.copy(HERE / "site.css", source / "_static")
    copy_sources(source)
    subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", source, html], check=True)
    wrong = check(html)
    print(
        "\n".join(wrong)
        or f"{html / 'index.html'}: {len(list(html.rglob('*.html')))} pages, every link leads somewhere"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
