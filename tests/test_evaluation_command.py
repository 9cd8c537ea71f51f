"""``minigemma evaluate`` on a little of every held-out set."""

import json

import pytest

from minigemma.__main__ import main
from minigemma.errors import CheckpointError
from minigemma.evaluation import evaluate


def test_shipped_checkpoints(tmp_path, capsys):
    assert evaluate.run((), str(tmp_path / "numbers.json"), limit=2) == 0
    printed = capsys.readouterr().out
    numbers = json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8"))
    assert list(numbers) == ["mini-31b", "mini-a4b", "mini-e"]
    every = {"Handwritten digits", "Held-out text: nats per token", "Facts recalled, by tokens between fact and answer"}
    for name, own, other in (("mini-e", "Spoken words", "Experts"), ("mini-a4b", "Experts", "Spoken words")):
        assert f"== {name} ==" in printed
        assert every | {own} <= set(numbers[name])
        assert other not in numbers[name]
    assert numbers["mini-e"]["Spoken words"]["held-out voices"]["asked"] == 2
    losses = numbers["mini-e"]["Held-out text: nats per token"]["prose"]
    assert losses["model"] < losses["unigram"]  # it has learned something, and the n-grams are of its tokenizer


def test_what_is_not_there_is_said_before_anything_is_measured(capsys, monkeypatch):
    assert main(["evaluate", "mini-e", "mini-x"]) == 2
    assert "no checkpoint at 'mini-x'" in capsys.readouterr().err
    monkeypatch.setattr(evaluate, "shipped_names", list)
    with pytest.raises(CheckpointError, match="no checkpoint is shipped"):
        evaluate.run()
