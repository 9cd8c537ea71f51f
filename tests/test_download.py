"""``minigemma download`` against a made-up hub: what it asks, fetches and goes on from, what it says when it fails."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import pytest
from small_models import draw_weights, small_config

from minigemma import download as module
from minigemma.__main__ import main
from minigemma.checkpoint import Checkpoint, save_checkpoint
from minigemma.config import read_config
from minigemma.download import Hub, HubFile, run
from minigemma.errors import CheckpointError, InputError, MinigemmaError
from minigemma.parameters import tensor_shapes

REPO = "google/gemma-4-E2B-it"


class GatedRepoError(Exception):
    pass


class RepositoryNotFoundError(Exception):
    pass


class FakeHub:
    """A repository in a directory; both halves of what ``Hub`` needs. Counts the bytes it hands out."""

    def __init__(self, directory):
        self.directory, self.sent, self.asked = directory, 0, []
        self.fail_after = None  # bytes until the connection breaks
        self.error = ConnectionError("[Errno -3] Temporary failure in name resolution\nand more")

    def model_info(self, repo, files_metadata):
        assert files_metadata
        self.asked.append(repo)
        if self.fail_after == -1:
            raise self.error
        files = []
        for path in sorted(self.directory.iterdir()):
            data = path.read_bytes()
            large = path.suffix == ".safetensors" or path.name == "tokenizer.json"
            lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} if large else None
            files.append(SimpleNamespace(rfilename=path.name, size=len(data), lfs=lfs))
        card = {"license": "apache-2.0", "license_link": "https://example.org/terms"}
        return SimpleNamespace(siblings=files, sha="0123456789abcdef", card_data=card)

    def cat_file(self, path, start, end, cache_type):
        repo, name = path.rsplit("/", 1)
        assert repo == f"{REPO}@0123456789abcdef"
        if self.fail_after is not None and self.sent + end - start > self.fail_after:
            raise self.error
        self.sent += end - start
        return (self.directory / name).read_bytes()[start:end]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    directory = tmp_path_factory.mktemp("repository")
    config = small_config("e2b", towers=True)
    save_checkpoint(directory, config, draw_weights(tensor_shapes(config, dead_kv=True), 3))
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {}, "pad": "x" * 20_000}}))
    for name in ("generation_config.json", "processor_config.json", "tokenizer_config.json"):
        (directory / name).write_text("{}")
    (directory / "chat_template.jinja").write_text("{{ bos_token }}")
    for name in ("README.md", ".gitattributes", "original.bin", "model.safetensors.bak"):
        (directory / name).write_text("not needed")
    return directory


@pytest.fixture
def fake(repository, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 50_000)
    return FakeHub(repository)


def fetch(fake, directory, **options):
    return run("e2b", directory, hub=Hub(fake, fake), **({"yes": True} | options))


NAMES = {
    "model.safetensors", "config.json", "tokenizer.json", "generation_config.json", "processor_config.json",
    "tokenizer_config.json", "chat_template.jinja",
}  # fmt: skip


def test_what_is_needed_arrives_and_is_a_checkpoint(fake, repository, tmp_path, capsys):
    directory = tmp_path / "new" / "e2b"
    assert fetch(fake, directory) == 0
    assert {path.name for path in directory.iterdir()} == NAMES
    for name in NAMES:
        assert (directory / name).read_bytes() == (repository / name).read_bytes()
    Checkpoint(directory).check(read_config(directory))
    said = capsys.readouterr().out
    for words in (
        f"{REPO}, revision 0123456789ab, licence: apache-2.0 https://example.org/terms",
        "model.safetensors",
        "tensors, as its config says",
        f"minigemma verify {directory}",
        "MINIGEMMA_CHECKPOINT=",
    ):
        assert words in said
    assert "not needed" not in said
    assert "README" not in said


def test_which_repository(fake, tmp_path):
    fake.fail_after = -1
    for variant, base, repo in (
        ("E2B", False, "google/gemma-4-E2B-it"),
        ("26b-a4b", True, "google/gemma-4-26B-A4B"),
        ("31B", False, "google/gemma-4-31B-it"),
    ):
        with pytest.raises(MinigemmaError):
            run(variant, tmp_path, base=base, hub=Hub(fake, fake))
        assert fake.asked[-1] == repo
    with pytest.raises(InputError, match=r"no variant '12B'; there are: E2B, E4B, 26B-A4B, 31B"):
        run("12B", tmp_path, hub=Hub(fake, fake))


@pytest.mark.parametrize(("answer", "fetched"), [("y", True), ("Yes ", True), ("", False), ("n", False), ("x", False)])
def test_asks_first(fake, tmp_path, capsys, answer, fetched):
    questions = []
    code = fetch(fake, tmp_path / "e2b", yes=False, ask=lambda text: questions.append(text) or answer)
    assert code == (0 if fetched else 1)
    assert len(questions) == 1
    assert questions[0].startswith("Fetch ")
    assert str(tmp_path) in questions[0]
    assert (tmp_path / "e2b").exists() == fetched
    assert ("nothing was fetched" in capsys.readouterr().out) != fetched


def test_nobody_to_ask(fake, tmp_path):
    def nobody(question):
        raise EOFError

    with pytest.raises(InputError, match="give --yes"):
        fetch(fake, tmp_path / "e2b", yes=False, ask=nobody)
    assert not (tmp_path / "e2b").exists()


def test_goes_on_in_the_middle_of_a_file(fake, repository, tmp_path):
    total = sum((repository / name).stat().st_size for name in NAMES)
    fake.fail_after = total // 2
    with pytest.raises(MinigemmaError, match=r"ConnectionError: .*name resolution. What has arrived stays"):
        fetch(fake, tmp_path)
    arrived = (tmp_path / "model.safetensors.part").stat().st_size
    assert arrived > 50_000
    assert not (tmp_path / "model.safetensors").exists()
    with pytest.raises(CheckpointError, match="a download is not finished: run it again"):
        Checkpoint(tmp_path)
    sent, fake.fail_after = fake.sent, None
    assert fetch(fake, tmp_path) == 0
    small = sum((repository / name).stat().st_size for name in NAMES - {"model.safetensors", "tokenizer.json"})
    assert fake.sent - sent == (repository / "model.safetensors").stat().st_size - arrived + small
    assert {path.name for path in tmp_path.iterdir()} == NAMES


def test_nothing_is_fetched_twice(fake, repository, tmp_path, capsys):
    fetch(fake, tmp_path)
    capsys.readouterr()
    sent = fake.sent
    fetch(fake, tmp_path)
    assert fake.sent - sent < 10_000  # the small files, of which no checksum is known
    assert capsys.readouterr().out.count("(is here)") == 2
    (tmp_path / "tokenizer.json").write_bytes(b"y" * (repository / "tokenizer.json").stat().st_size)
    fetch(fake, tmp_path)  # right in length, wrong in content
    assert (tmp_path / "tokenizer.json").read_bytes() == (repository / "tokenizer.json").read_bytes()


def test_a_damaged_part_is_found(fake, tmp_path):
    (tmp_path / "model.safetensors.part").write_bytes(b"z" * 60_000)
    with pytest.raises(CheckpointError, match=r"model\.safetensors arrived damaged.*fetches it again"):
        fetch(fake, tmp_path)
    assert not list(tmp_path.glob("model*"))
    (tmp_path / "model.safetensors.part").write_bytes(b"z" * 10**7)  # longer than the file will be
    assert fetch(fake, tmp_path) == 0


def test_an_interrupt_keeps_what_arrived(fake, tmp_path, capsys):
    fake.fail_after, fake.error = 120_000, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fetch(fake, tmp_path)
    assert "the same command goes on from there" in capsys.readouterr().err
    fake.fail_after = None
    assert fetch(fake, tmp_path) == 0


def test_a_disk_too_small(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(CheckpointError, match=r"are to be fetched .* its disk has 1\.0 kB free; give another"):
        fetch(fake, tmp_path / "e2b")
    assert not (tmp_path / "e2b").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_a_disk_that_fills_up(fake, tmp_path, monkeypatch):
    real = open

    def full(path, mode="r", *rest, **more):
        return real("/dev/full", "wb", buffering=0) if mode == "wb" else real(path, mode, *rest, **more)

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(CheckpointError, match=r"cannot be written: No space left on device. What has arrived stays"):
        fetch(fake, tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (GatedRepoError("403"), "has terms to accept first, at https://huggingface.co/google/gemma-4-E2B-it"),
        (RepositoryNotFoundError("404"), "is not on the hub, or not open to you"),
        (TimeoutError(), "the hub cannot be reached, or refused: TimeoutError: no reason given"),
        (ConnectionError("no route"), "ConnectionError: no route"),
    ],
)
def test_errors_of_the_hub(fake, tmp_path, error, words):
    fake.fail_after, fake.error = -1, error
    with pytest.raises(MinigemmaError, match=words):
        fetch(fake, tmp_path)


def test_a_short_answer(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(fake, "cat_file", lambda path, **_: b"")
    with pytest.raises(MinigemmaError, match="0 bytes came where"):
        fetch(fake, tmp_path)


def test_a_repository_of_something_else(tmp_path):
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(CheckpointError, match=r"has no config\.json or no tokenizer\.json"):
        fetch(FakeHub(tmp_path), tmp_path / "e2b")


def test_from_the_command_line(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "Hub", lambda: Hub(fake, fake))
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(["download", "e2b", str(tmp_path / "a")]) == 1
    assert main(["download", "E2B", str(tmp_path / "a"), "--yes"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["download", "E2B", "--it", "--yes"]) == 0
    assert (tmp_path / "gemma-4-E2B-it" / "config.json").exists()
    capsys.readouterr()
    fake.fail_after = 0
    assert main(["download", "E2B", "b", "--yes"]) == 2
    assert main(["download", "12B"]) == 2
    fake.fail_after, fake.error = 50_000, KeyboardInterrupt()
    assert main(["download", "E2B", "b", "--yes"]) == 130
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "the hub cannot be reached" in said
    with pytest.raises(SystemExit):
        main(["download", "E2B", "--it", "--base"])


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MinigemmaError, match=r"pip install 'minigemma\[hub\]'"):
        Hub()


# --- the library itself, against a server of our own ------------------------------------------------------------------


class Server(BaseHTTPRequestHandler):
    """As much of the hub as the library asks for: a model's information, its list of files, ranges of a file."""

    fake: FakeHub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlparse(self.path).path)
        info = self.fake.model_info("", files_metadata=True)
        if path.startswith(f"/api/models/{REPO}/tree/"):
            files = [{"type": "file", "path": f.rfilename, "size": f.size, "oid": "0" * 40} for f in info.siblings]
            return self.answer(json.dumps(files).encode())
        if path.startswith(f"/api/models/{REPO}"):
            siblings = [
                {"rfilename": f.rfilename, "size": f.size, "blobId": "0" * 40}
                | ({"lfs": f.lfs | {"pointerSize": 130}} if f.lfs else {})
                for f in info.siblings
            ]
            found = {"_id": "1", "id": REPO, "sha": info.sha, "siblings": siblings, "cardData": info.card_data}
            return self.answer(json.dumps(found).encode())
        if path.startswith(f"/{REPO}/resolve/{info.sha}/"):
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            return self.answer((self.fake.directory / path.rsplit("/", 1)[1]).read_bytes()[first : last + 1], 206)
        return self.answer(b"{}", 404)

    def answer(self, content, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def endpoint(fake):
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Server,), {"fake": fake}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.reference  # where the library is
def test_with_the_real_library(endpoint, repository, tmp_path):
    library = pytest.importorskip("huggingface_hub")
    hub = Hub(library.HfApi(endpoint=endpoint, token=False), library.HfFileSystem(endpoint=endpoint, token=False))
    assert run("E2B", tmp_path, yes=True, hub=hub) == 0
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == (repository / name).read_bytes()


@pytest.mark.reference  # where the library is
def test_the_real_library_without_a_network(tmp_path):
    library = pytest.importorskip("huggingface_hub")
    nowhere = "http://127.0.0.1:9"
    hub = Hub(library.HfApi(endpoint=nowhere, token=False), library.HfFileSystem(endpoint=nowhere, token=False))
    with pytest.raises(MinigemmaError, match="the hub cannot be reached"):
        run("E2B", tmp_path, yes=True, hub=hub)
    with pytest.raises(MinigemmaError, match="the hub cannot be reached"):
        hub.read(REPO, "0123456789abcdef", HubFile("config.json", 10, None), 0)
