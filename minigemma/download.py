"""``minigemma download``: released weights from the Hugging Face hub into a plain directory, asked for first.

Only the files the package reads are fetched. A broken download goes on where it stopped, in the middle of a file too
(the hub library's own download starts a file again, and E2B is one file of ten gigabytes); each large file is checked
against the hub's SHA-256 before it gets its name. Needs huggingface_hub (the ``hub`` extra).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minigemma.checkpoint import Checkpoint
from minigemma.config import PRESETS, read_config
from minigemma.errors import CheckpointError, InputError, MinigemmaError
from minigemma.memory import show_size

NEEDED = re.compile(
    r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json|chat_template\.jinja"
    r"|(config|generation_config|processor_config|tokenizer|tokenizer_config)\.json"
)
PIECE = 32 * 2**20  # bytes asked for at a time, and lost at most when the connection breaks
AGAIN = "What has arrived stays; the same command goes on from there."


@dataclass(frozen=True)
class HubFile:
    """A file of a repository; sha256 is known of the large ones."""

    name: str
    size: int
    sha256: str | None


class Hub:
    """The hub as we use it: a repository's file list, and bytes of a file. Tests give other objects for both halves.

    api: has ``model_info(repo, files_metadata=True)``; files: has ``cat_file(path, start=, end=, ...)``.
    """

    def __init__(self, api: Any = None, files: Any = None):
        if api is None or files is None:
            try:
                from huggingface_hub import HfApi, HfFileSystem
            except ImportError as error:
                raise MinigemmaError(f"{error}; to download, first: pip install 'minigemma[hub]'") from None
            api, files = HfApi(), HfFileSystem()
        self._api, self._files = api, files

    def look(self, repo: str) -> tuple[str, str, list[HubFile]]:
        """The newest revision, the licence, and the files that are needed."""
        info = _asking(repo, lambda: self._api.model_info(repo, files_metadata=True))
        files = [
            HubFile(each.rfilename, each.size, each.lfs["sha256"] if each.lfs else None)
            for each in info.siblings
            if NEEDED.fullmatch(each.rfilename)
        ]
        card = info.card_data or {}
        licence = " ".join(filter(None, [card.get("license") or "not stated", card.get("license_link")]))
        if not {"config.json", "tokenizer.json"} <= {file.name for file in files}:
            raise CheckpointError(f"{repo} on the hub has no config.json or no tokenizer.json")
        return info.sha, licence, sorted(files, key=lambda file: (file.size, file.name))

    def read(self, repo: str, revision: str, file: HubFile, start: int) -> bytes:
        """Bytes of a file from ``start`` on, at most PIECE of them."""
        path, end = f"{repo}@{revision}/{file.name}", min(start + PIECE, file.size)
        piece = _asking(repo, lambda: self._files.cat_file(path, start=start, end=end, cache_type="none"))
        if len(piece) != end - start:
            raise MinigemmaError(f"{file.name}: {len(piece)} bytes came where {end - start} were asked for. {AGAIN}")
        return piece


def run(
    variant: str,
    directory: str | Path | None = None,
    base: bool = False,
    yes: bool = False,
    hub: Hub | None = None,
    ask: Callable[[str], str] | None = None,
) -> int:
    """The command: show what would be fetched, ask, fetch, check. 0 when the checkpoint is there, 1 if declined."""
    name = next((preset for preset in PRESETS if preset.upper() == variant.upper()), None)
    if name is None:
        raise InputError(f"there is no variant {variant!r}; there are: {', '.join(PRESETS)}")
    repo = f"google/gemma-4-{name}" + ("" if base else "-it")
    directory = Path(directory or repo.split("/")[1]).expanduser()
    hub = hub or Hub()
    revision, licence, files = hub.look(repo)
    print(f"{repo}, revision {revision[:12]}, licence: {licence}")
    todo = [file for file in files if not _is_here(directory, file)]
    for file in files:
        print(f"  {file.name:<34} {show_size(file.size):>10}" + ("" if file in todo else "  (is here)"))
    if todo:
        missing = sum(file.size - _part_size(directory, file) for file in todo)
        _check_room(directory, missing)
        if not yes and not _agreed(ask or input, f"Fetch {show_size(missing)} into {directory}? [y/N] "):
            print("nothing was fetched")
            return 1
        _fetch(hub, repo, revision, todo, directory)
    return _check(directory)


def _fetch(hub: Hub, repo: str, revision: str, files: list[HubFile], directory: Path) -> None:
    """Each file into ``NAME.part``, which becomes NAME when it is complete and right."""
    total, there = sum(file.size for file in files), sum(_part_size(directory, file) for file in files)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tqdm(total=total, initial=there, unit="B", unit_scale=True) as bar:
            for file in files:
                bar.set_description(file.name)
                part, size = _part(directory, file), _part_size(directory, file)
                with open(part, "r+b" if size else "wb") as stream:
                    stream.seek(size)
                    while size < file.size:
                        piece = hub.read(repo, revision, file, size)
                        stream.write(piece)
                        stream.flush()
                        size += len(piece)
                        bar.update(len(piece))
                if file.sha256 and _sha256(part) != file.sha256:
                    part.unlink()
                    raise CheckpointError(
                        f"{file.name} arrived damaged, or its parts come from different revisions; it was removed. "
                        "The same command fetches it again."
                    )
                part.replace(directory / file.name)
    except OSError as error:  # the disk: what the hub raises never gets here
        raise CheckpointError(f"{directory}: cannot be written: {error.strerror or error}. {AGAIN}") from None
    except KeyboardInterrupt:
        print(f"\n{AGAIN}", file=sys.stderr)
        raise


def _asking(repo: str, question: Callable[[], Any]) -> Any:
    """Ask the hub; whatever its library raises (its HTTP client differs from version to version) is explained."""
    try:
        return question()
    except Exception as error:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "GatedRepoError" in kinds:
            message = f"{repo} has terms to accept first, at https://huggingface.co/{repo}; then: hf auth login"
        elif kinds & {"RepositoryNotFoundError", "RevisionNotFoundError"}:
            message = f"{repo} is not on the hub, or not open to you (then: hf auth login)"
        else:
            why = (str(error).strip() or "no reason given").splitlines()[0]
            message = f"the hub cannot be reached, or refused: {type(error).__name__}: {why[:200]}. {AGAIN}"
        raise MinigemmaError(message) from None


def _part(directory: Path, file: HubFile) -> Path:
    return directory / (file.name + ".part")


def _part_size(directory: Path, file: HubFile) -> int:
    """Bytes of a file that arrived earlier and can be gone on from: only where a checksum will judge the whole."""
    part = _part(directory, file)
    size = part.stat().st_size if file.sha256 and part.is_file() else 0
    return size if size <= file.size else 0


def _is_here(directory: Path, file: HubFile) -> bool:
    """Whether the file is there and right; files without a checksum are a few kilobytes and fetched again."""
    path = directory / file.name
    return bool(file.sha256) and path.is_file() and path.stat().st_size == file.size and _sha256(path) == file.sha256


def _sha256(path: Path) -> str:
    digest, size = hashlib.sha256(), path.stat().st_size
    with (
        open(path, "rb") as stream,
        tqdm(total=size, unit="B", unit_scale=True, desc=f"checking {path.name}", leave=False, delay=2) as bar,
    ):
        while piece := stream.read(2**24):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()


def _check_room(directory: Path, needed: int) -> None:
    place = next(each for each in (directory, *directory.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise CheckpointError(
            f"{show_size(needed)} are to be fetched into {directory}, and its disk has {show_size(free)} free; "
            "give another directory"
        )


def _agreed(ask: Callable[[str], str], question: str) -> bool:
    try:
        return ask(question).strip().lower() in ("y", "yes")
    except EOFError:
        raise InputError("nobody is there to answer; give --yes to fetch without being asked") from None


def _check(directory: Path) -> int:
    """Names and shapes against the config (the headers only), and what to do next."""
    config = read_config(directory)
    checkpoint = Checkpoint(directory, memory=0)
    checkpoint.check(config)
    print(
        f"{directory}: {len(checkpoint):,} tensors, as its config says. Next:\n"
        f"  minigemma chat --checkpoint {directory}\n"
        f"  minigemma verify {directory}\n"
        f"  set MINIGEMMA_CHECKPOINT={directory.absolute()} for the tour, the figures and the notebooks"
    )
    return 0
