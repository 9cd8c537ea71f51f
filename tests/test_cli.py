"""Every command through ``main``, on a small random checkpoint; what is wrong ends in one line and exit code 2."""

import json
import os
import signal
import struct
import subprocess
import sys
import wave
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small_models import SPECIAL, draw_ids, draw_weights, small_config

import minigemma as mg
from minigemma.__main__ import main
from minigemma.checkpoint import save_checkpoint
from minigemma.config import PRESETS
from minigemma.parameters import TEXT, tensor_shapes

MATRIX = TEXT + "layers.0.mlp.gate_proj.weight"


def write_tokenizer(directory, vocabulary=97):
    """A tokenizer.json without merges: letters and special tokens, an entry for every id of the small models."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>", "\n", "▁", *"abcdefghijklmnopqrstuvwxyz?.,ABC"]
    words += [f"<{i}>" for i in range(len(words), vocabulary)]
    names = {"image": "<|image|>", "audio": "<|audio|>", "video": "<|video|>", "boi": "<|image>", "eoi": "<image|>",
             "boa": "<|audio>", "eoa": "<audio|>"}  # fmt: skip
    for name, token in names.items():
        words[SPECIAL[f"{name}_token_id"]] = token
    special = [0, 1, 2, 3, 4, 5, *SPECIAL.values()]
    content = {
        "added_tokens": [{"id": i, "content": words[i], "special": True} for i in special],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "decoder": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        "model": {"type": "BPE", "vocab": {w: i for i, w in enumerate(words)}, "merges": [], "unk_token": "<unk>"},
    }
    (directory / "tokenizer.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A model of E2B's shape with eyes, ears and a tokenizer."""
    path = tmp_path_factory.mktemp("e2b")
    config = small_config("e2b", towers=True)
    save_checkpoint(path, config, draw_weights(tensor_shapes(config, dead_kv=True), 3))
    (path / "processor_config.json").write_text('{"image_processor": {"max_soft_tokens": 70}}')
    write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    path = tmp_path_factory.mktemp("media")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)).save(path / "a.png")
    with wave.open(str(path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.random.default_rng(0).integers(-9000, 9000, 8000).astype("<i2").tobytes())
    return path


@pytest.fixture
def fails(capsys):
    """``fails(arguments, words)``: exit code 2, one message with those words, no traceback."""

    def check(arguments, *words):
        capsys.readouterr()
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as error:  # argparse
            code = error.code
        said = capsys.readouterr().err
        assert code == 2, said
        assert "Traceback" not in said
        assert any(line.startswith("minigemma") for line in said.splitlines()), said
        for each in words:
            assert each in said, said

    return check


# --- every command ----------------------------------------------------------------------------------------------------


COMMANDS = ["tour", "generate", "chat", "figures", "info", "verify", "evaluate", "download"]


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert [command for command in COMMANDS if f"\n    {command} " not in said] == []
    assert "MINIGEMMA_CHECKPOINT" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_shows_examples_that_parse(capsys, command):
    import shlex

    from minigemma.__main__ import _parser

    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    examples = capsys.readouterr().out.split("examples:\n")[1].splitlines()
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert words[:2] == ["minigemma", command]
        assert _parser().parse_args(words[1:]).run.__name__ == f"_{command}"


def test_generate(directory, media, capsys):
    model, picture, sound = mg.load(directory), str(media / "a.png"), str(media / "a.wav")
    prompt = mg.make_prompt(model, "what is a cat?", [picture], [sound])
    new = model.generate(prompt.token_ids, 6, images=prompt.images, audio=prompt.audio)
    expected = "".join(mg.answer_text(model.tokenizer, new))
    given = ["--checkpoint", str(directory), "--max-new-tokens", "6"]
    assert main(["generate", "what is a cat?", "--image", picture, "--audio", sound, *given]) == 0
    said = capsys.readouterr()
    assert said.out == expected + "\n"
    assert f"{directory}: all weights stay in memory" in said.err
    for memory in ("0", "1KB", "all"):  # the smallest budget is slow, not wrong
        assert main(["generate", "a cat", *given, "--memory", memory]) == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 1


def test_generate_draws_with_a_seed_and_continues_text(directory, capsys):
    given = ["generate", "abc", "--raw", "--checkpoint", str(directory), "--max-new-tokens", "8", "--temperature", "2"]
    said = []
    for seed in (1, 1, 2):
        assert main([*given, "--seed", str(seed), "--top-k", "9", "--top-p", "0.99"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_generate_from_ids(directory, capsys):
    ids = draw_ids(9, 0).tolist()
    given = ["--ids", ",".join(map(str, ids)), "--checkpoint", str(directory), "--max-new-tokens", "5"]
    assert main(["generate", *given]) == 0
    assert list(map(int, capsys.readouterr().out.split())) == list(mg.load(directory).generate(ids, 5))


def test_the_environment_names_the_checkpoint(directory, monkeypatch, capsys):
    monkeypatch.setenv("MINIGEMMA_CHECKPOINT", str(directory))
    assert mg.load().directory == directory
    assert main(["generate", "a", "--max-new-tokens", "1"]) == 0
    assert str(directory) in capsys.readouterr().err


def talk(monkeypatch, *lines):
    """Lines typed at the prompt, then the end of input; a BaseException among them is raised there."""
    lines = iter(lines)

    def read(prompt):
        line = next(lines, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)


def test_chat(directory, media, monkeypatch, capsys):
    picture, sound = media / "a.png", media / "a.wav"
    talk(monkeypatch, "", "a cat", f"/image {picture}", f"/audio {sound}", "what?", "and?", "/quit", "no")
    assert main(["chat", "--checkpoint", str(directory), "--max-new-tokens", "4", "--system", "be brief"]) == 0
    said = capsys.readouterr().out
    conversation = mg.Conversation(mg.load(directory), system="be brief")
    turns = (("a cat",), ("what?", [picture], [sound]), ("and?",))
    answers = ["".join(conversation.say(*turn, max_new_tokens=4)) for turn in turns]
    note = "(goes with the next message: {})\n"
    assert said.split("model> ")[1:] == [
        f"{answers[0]}\n{note.format(picture)}{note.format(sound)}",
        f"{answers[1]}\n",
        f"{answers[2]}\n",
    ]


def test_chat_survives_mistakes(directory, media, monkeypatch, capsys):
    (media / "not.png").write_text("no picture")
    talk(monkeypatch, "/image nowhere.png", "/imagine", f"/image {media / 'not.png'}", "look", "a cat")
    assert main(["chat", "--checkpoint", str(directory), "--max-new-tokens", "3"]) == 0
    said = capsys.readouterr()
    assert "there is no file 'nowhere.png'" in said.err
    assert "there is no /imagine" in said.err
    assert "not.png" in said.err
    assert "Traceback" not in said.err
    assert said.out.count("model> ") == 1


def test_an_interrupt_stops_the_answer_and_not_the_chat(directory, monkeypatch, capsys):
    real, interrupts = mg.Gemma4.generate, [False, True]

    def generate(self, *args, **kwargs):
        for i, token in enumerate(real(self, *args, **kwargs)):
            if i == 2 and interrupts.pop():
                raise KeyboardInterrupt
            yield token

    monkeypatch.setattr(mg.Gemma4, "generate", generate)
    talk(monkeypatch, "a dog", "a cat")
    assert main(["chat", "--checkpoint", str(directory), "--max-new-tokens", "4"]) == 0
    said = capsys.readouterr()
    assert "stopped" in said.err
    monkeypatch.undo()
    fresh = "".join(mg.Conversation(mg.load(directory)).say("a cat", max_new_tokens=4))
    assert said.out.split("model> ")[2] == f"{fresh}\n\n"
    talk(monkeypatch, KeyboardInterrupt())
    assert main(["chat", "--checkpoint", str(directory)]) == 130


def test_interrupted_generate(directory, monkeypatch, capsys):
    def generate(self, *args, **kwargs):
        yield 9
        raise KeyboardInterrupt

    monkeypatch.setattr(mg.Gemma4, "generate", generate)
    assert main(["generate", "a", "--checkpoint", str(directory)]) == 130
    said = capsys.readouterr()
    assert said.out == "b"
    assert said.err.endswith("\nminigemma: interrupted\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "E2B",
            ["5,104,298,467", "2,279,759,139", "layer 13", "   32,768        207.62", "takes text, images, sound"],
        ),
        ("e4b", ["7,941,101,802", "4,644,441,130", "layer 22", "   32,768        557.84"]),
        ("26B-A4B", ["25,805,936,206", "3,822,530,590", "k_proj", "  262,144      5,578.42", "22,837,985,280"]),
        ("31B", ["31,273,088,876", "30,697,345,340", "k_proj", "  262,144     22,313.70", "takes text, images\n"]),
    ],
)
def test_info_of_the_released_models(name, words, capsys):
    assert main(["info", name]) == 0
    said = capsys.readouterr().out
    assert [word for word in words if word not in said] == []
    layers = PRESETS[name.upper()].text.num_hidden_layers
    assert f"\n{layers - 1:>5}  GLOBAL" in said


def test_info_of_a_directory(directory, capsys, fails, tmp_path):
    assert main(["info", str(directory)]) == 0
    said = capsys.readouterr().out
    config = small_config("e2b", towers=True)
    count = len(tensor_shapes(config, dead_kv=True))
    assert f"{count} tensors in model.safetensors, " in said
    assert "15 of them are never used" in said
    first = draw_weights({TEXT + "layers.0.layer_scalar": (1,)}, 3)[TEXT + "layers.0.layer_scalar"][0]
    scalars = said.split("layer scalars: ")[1].split("\n\n")[0].split()
    assert len(scalars) == 12
    assert float(scalars[0]) == pytest.approx(first, rel=0.01)
    fails(["info", tmp_path], str(tmp_path / "config.json"), "cannot be read")


@pytest.mark.parametrize("name", mg.shipped_names())
def test_info_of_the_shipped_checkpoints(name, capsys):
    assert main(["info", name]) == 0
    assert "tensors in model.safetensors" in capsys.readouterr().out


def test_the_commands_that_others_carry_out(monkeypatch, tmp_path):
    """tour, figures, evaluate, verify: the arguments arrive, and their exit code is passed on."""
    calls = []

    def fake(module, **functions):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**functions))
        monkeypatch.setattr(mg, module.split(".")[1], SimpleNamespace(**functions), raising=False)

    fake("minigemma.tour", tour=lambda out: calls.append(("tour", str(out))))
    fake("minigemma.gallery", draw_all=lambda out, only: calls.append(("figures", str(out), only)))
    fake("minigemma.verify", run=lambda *args: calls.append(("verify", *args)) or 1)
    fake("minigemma.evaluation.evaluate", run=lambda *args: calls.append(("evaluate", *args)) or 0)
    assert main(["tour"]) == 0
    assert main(["figures", "--only", "grid", "--out", "x"]) == 0
    assert main(["verify", "mini-e", "--prompt", "Hello"]) == 1
    assert main(["verify", "mini-e", "--ids", "2, 5 7"]) == 1
    assert main(["evaluate", "mini-e", "--json", "e.json"]) == 0
    assert calls == [
        ("tour", os.path.join("out", "tour")),
        ("figures", "x", "grid"),
        ("verify", "mini-e", "Hello"),
        ("verify", "mini-e", [2, 5, 7]),
        ("evaluate", ["mini-e"], "e.json"),
    ]


# --- what is wrong ----------------------------------------------------------------------------------------------------


def header(entries, body=b"", length=None):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(start, stop, shape):
    return {"dtype": "F32", "shape": [shape], "data_offsets": [start, stop]}


def cut(path):
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[: len(content) // 2])


def replace(content):
    return lambda path: (path / "model.safetensors").write_bytes(content)


def index(path):
    (path / "model.safetensors").unlink()
    names = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(names))


def edit_config(path, **changes):
    config = json.loads((path / "config.json").read_text())
    config["text_config"] |= changes
    (path / "config.json").write_text(json.dumps(config))


def spoil(path):
    config = small_config("e2b", towers=True)
    arrays = draw_weights(tensor_shapes(config), 3)
    arrays[MATRIX][0, 0] = np.nan
    save_checkpoint(path, config, arrays)


DAMAGE = {
    "truncated": (cut, "the file is cut or damaged"),
    "empty": (replace(b""), "it has 0 bytes"),
    "wrong magic": (replace(b"PK\x03\x04 this is a zip archive and no checkpoint"), "no safetensors file"),
    "offsets outside the file": (replace(header({"a": entry(0, 800, 200)}, bytes(8))), "bytes 0 to 800 of 8"),
    "overlapping": (replace(header({"a": entry(0, 8, 2), "b": entry(4, 8, 1)}, bytes(8))), "overlaps the one before"),
    "huge header": (replace(header({}, b"", 2**62)), "announces a header of 4611686018427387904 bytes"),
    "missing shard": (index, "'model-00001-of-00002.safetensors', which is not there"),
    "negative size": (lambda path: edit_config(path, hidden_size=-48), "text_config.hidden_size is -48"),
    "another shape": (lambda path: edit_config(path, intermediate_size=41), "wrong shape: "),
    "no config": (lambda path: (path / "config.json").unlink(), "config.json: cannot be read"),
    "NaN weights": (spoil, f"gave NaN or infinite values: {MATRIX} (1 NaN"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_checkpoints(directory, tmp_path, fails, kind):
    damage, words = DAMAGE[kind]
    for file in directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    with pytest.raises(mg.MinigemmaError) as caught:
        mg.load(tmp_path).forward([2, 5, 7])
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value) or kind == "NaN weights"
    fails(["generate", "abc", "--checkpoint", tmp_path], words)
    if kind != "NaN weights":
        fails(["info", tmp_path], words)


def test_token_ids(directory, fails):
    model = mg.load(directory)
    for ids, words in (
        ([5, 97], "token id 97 at position 1 is outside the vocabulary of 97"),
        ([-1], "token id -1 at position 0"),
        ([1.5], "must be integers"),
        (["a"], "must be integers"),
        ([True], "must be integers"),
        ([], "non-empty"),
        ([[1, 2]], "non-empty list of ids; got an array of shape (1, 2)"),
        ([5] * 513, "513 tokens do not fit into this model's context of 512"),
    ):
        with pytest.raises(mg.InputError) as caught:
            model.forward(ids)
        assert words in str(caught.value)
        with pytest.raises(mg.InputError):
            model.generate(ids, 3)
    given = ["--checkpoint", directory]
    fails(["generate", "--ids", "5,97", *given], "token id 97 at position 1")
    fails(["generate", "--ids", " -1", *given], "token id -1")
    fails(["generate", "--ids", "1.5", *given], "is not a list of whole numbers")
    fails(["generate", "--ids", "", *given], "non-empty")
    fails(["generate", "--ids", ",".join(["5"] * 513), *given], "513 tokens do not fit")


def test_texts_and_options(directory, fails, media, tmp_path, monkeypatch):
    given = ["--checkpoint", directory]
    fails(["generate", "", *given], "the text is empty")
    fails(["generate", " ", "--raw", *given], "the text is empty")
    fails(["generate", *given], "required")
    fails(["generate", "a" * 600, *given], "do not fit into this model's context of 512")
    fails(["generate", "a", "--memory", "much", *given], "'much' is not an amount of memory")
    fails(["generate", "a", "--memory", "-1", *given])
    fails(["generate", "a", "--max-new-tokens", "-1", *given], "max_new_tokens is -1")
    fails(["generate", "a", "--temperature", "nan", *given], "temperature is nan")
    fails(["generate", "a", "--top-p", "2", *given], "top_p is 2")
    fails(["generate", "a", "--top-k", "0", *given], "top_k is 0")
    fails(["generate", "a", "--image", tmp_path / "no.png", *given], "no.png")
    fails(["generate", "a", "--audio", media / "a.png", *given], "a.png")
    fails(["generate", "a", "--raw", "--image", media / "a.png", *given], "--raw continues a text")
    fails(["generate", "a", "--checkpoint", tmp_path / "nowhere"], "no checkpoint at", "nowhere")
    fails(["info", "E3B"], "no checkpoint at 'E3B'")
    fails(["nonsense"], "invalid choice")
    fails([])
    monkeypatch.setattr(mg.Gemma4, "generate", lambda *_, **__: (_ for _ in ()).throw(MemoryError("9.9 GB")))
    fails(["generate", "a", *given], "out of memory (9.9 GB): try --memory 1GB")
    monkeypatch.setattr(mg.Gemma4, "generate", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space", "x.png")))
    fails(["generate", "a", *given], "x.png: No space")


def test_a_sound_for_a_model_without_ears(tmp_path, media, fails):
    config = small_config("31b", towers=True)
    save_checkpoint(tmp_path, config, draw_weights(tensor_shapes(config), 3))
    write_tokenizer(tmp_path)
    fails(["generate", "a", "--audio", media / "a.wav", "--checkpoint", tmp_path], "no audio tower")
    (tmp_path / "tokenizer.json").unlink()
    fails(["generate", "a", "--checkpoint", tmp_path], "tokenizer.json")


@pytest.mark.skipif(os.name == "nt", reason="Windows does not let an open file be cut")
def test_a_file_cut_during_generation(directory, tmp_path, capsys):
    for file in directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = mg.load(tmp_path, memory=0)
    tokens = model.generate([2, 5, 7], 5, stop=())
    next(tokens)
    os.truncate(tmp_path / "model.safetensors", 1000)
    with pytest.raises(mg.CheckpointError, match=r"has 1000 now; load it again"):
        list(tokens)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_as_a_process(directory, tmp_path):
    """Exit codes and output of the real thing; an interrupt from the keyboard; a reader that goes away."""
    command = [sys.executable, "-m", "minigemma"]
    (tmp_path / "model.safetensors").write_bytes(b"")
    done = subprocess.run([*command, "info", str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("minigemma: ")
    assert "Traceback" not in done.stderr

    endless = [*command, "generate", "--ids", "2,5", "--checkpoint", str(directory), "--max-new-tokens", "500"]
    endless += ["--temperature", "9", "--seed", "1"]
    listens = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # also where our own shell does not
    process = subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **listens)
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("minigemma: interrupted\n")

    process = subprocess.Popen([*command, "info", "31B"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
