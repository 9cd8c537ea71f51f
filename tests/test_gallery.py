"""The gallery and the studio it draws from, on the shipped checkpoints."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from minigemma.errors import InputError
from minigemma.gallery import GALLERY, draw, draw_all, page
from minigemma.studio import NEEDS, SAMPLES, Studio


@pytest.fixture(scope="module")
def studio():
    return Studio()


@pytest.mark.parametrize("entry", GALLERY, ids=lambda entry: entry.name)
def test_every_figure_can_be_drawn(entry, studio):
    figure = entry.draw() if entry.needs is None else entry.draw(studio, studio.model(*entry.needs))
    assert isinstance(figure, Figure)
    assert figure.axes


@pytest.mark.parametrize("entry", [e for e in GALLERY if e.needs is not None], ids=lambda entry: entry.name)
def test_a_figure_of_a_model_works_with_every_model_that_can(entry, studio):
    for name in studio.names:
        other = Studio(name)
        if not other.lacks(other.load(name), *entry.needs):
            assert entry.draw(other, other.model(*entry.needs)).axes


def test_names_and_captions():
    names = [entry.name for entry in GALLERY]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)
    for entry in GALLERY:
        assert entry.caption.endswith(".")
        assert "{" not in entry.caption.format(model="mini-e")
        assert entry.needs is None or set(entry.needs) <= set(NEEDS)


def test_models_are_chosen_by_what_they_can(studio, monkeypatch):
    assert studio.name(studio.model("ears", "eyes", "ple")) == "mini-e"
    assert studio.name(studio.model("experts")) == "mini-a4b"
    assert studio.model("eyes") is studio.model("eyes")
    with pytest.raises(InputError, match="mini-a4b hears no sounds and has no per-layer embeddings"):
        Studio("mini-a4b").model("ears", "ple")
    monkeypatch.setenv("MINIGEMMA_CHECKPOINT", "mini-a4b")
    assert Studio().names == ["mini-a4b"]


def test_what_a_model_cannot_do_is_left_out_and_said(tmp_path, capsys):
    entries = [e for e in GALLERY if e.name in ("conformer", "head_wiring")]
    captions = draw(entries, Studio("mini-a4b"), tmp_path)
    assert list(captions) == ["head_wiring"]
    assert "left out: conformer: mini-a4b hears no sounds" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"head_wiring.png", "head_wiring.svg"}
    assert "](head_wiring.png)" in page(captions)


def test_one_figure_by_name(tmp_path):
    [png] = draw_all(tmp_path, only="conformer_mask")
    assert png.stat().st_size > 1000
    assert not (tmp_path / "README.md").exists()
    with pytest.raises(InputError, match="no figure's name contains 'xyz'; there are: tokens, "):
        draw_all(tmp_path, only="xyz")


def test_samples_are_complete(studio):
    for sample in studio.samples.values():
        assert all((SAMPLES / file).is_file() for kind in ("images", "audio") for file in sample.get(kind, []))
    assert set(studio.samples) >= {"sentence", "scene", "digits", "command", "both", "recorded", "story", "domains"}


def test_a_run_knows_where_its_answer_was_made(studio):
    model = studio.model("ears")
    run = studio.run(model, "command")
    logits = model.forward([*run.prompt.token_ids, *run.answer_ids], audio=run.prompt.audio)
    np.testing.assert_array_equal(logits[run.answering].argmax(axis=-1), run.answer_ids)
    looked = studio.looked(model, "command", "audio")
    assert looked.shape == (len(run.answer_ids), run.prompt.token_ids.count(model.config.audio_token_id))
    assert (looked.sum(axis=-1) <= 1).all()


def test_the_storys_fact_is_further_back_than_the_window(studio):
    for name in studio.names:
        model, story = studio.load(name), studio.samples["story"]
        after = story["text"].index(story["fact"]) + len(story["fact"])
        assert len(model.tokenizer.encode(story["text"][after:])) > 2 * model.config.text.sliding_window
