"""The tour, with one picture instead of all: what it prints and what it leaves behind."""

from minigemma import tour
from minigemma.gallery import GALLERY
from minigemma.studio import Studio


def test_every_picture_of_the_tour_is_in_the_gallery():
    assert set(tour.PICTURES) <= {entry.name for entry in GALLERY}


def test_all_models_answer_everything_they_can(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tour, "PICTURES", ("attention_local",))
    tour.tour(tmp_path / "deep" / "tour")
    printed = capsys.readouterr().out
    index = (tmp_path / "deep" / "tour" / "index.md").read_text(encoding="utf-8")
    samples = Studio().samples
    for text in (printed, index):
        places = [text.index(f"{model}:") for model in ("mini-e", "mini-a4b", "mini-31b")]
        assert places == sorted(places)
        assert text.count(samples["scene"]["text"]) == 3
        for deaf in ("mini-a4b", "mini-31b"):
            assert text.count(f"skipped: {deaf} hears no sounds") == 3
        assert text.count("skipped") == 6
        assert samples["sentence"]["text"][:40] in text
    assert "](attention_local.png)" in index
    assert {p.suffix for p in (tmp_path / "deep" / "tour").iterdir()} == {".md", ".png", ".svg"}
    assert str(tmp_path / "deep" / "tour" / "index.md") in printed


def test_answers_are_judged_honestly():
    studio = Studio("mini-a4b")
    model = studio.load("mini-a4b")
    said = studio.run(model, "digits").answer
    for true, verdict in ((said, "right"), ("nine nine", "wrong; it is: nine nine")):
        studio.samples["digits"]["answer"] = true
        line = next(line for line in tour.ask(studio, model) if line.question == "Read the digits.")
        assert (line.answer, line.verdict) == (said, verdict)


def test_another_checkpoint_takes_the_place_of_the_shipped_ones(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINIGEMMA_CHECKPOINT", "mini-a4b")
    monkeypatch.setattr(tour, "PICTURES", ("sound_attention", "attention_local"))
    tour.tour(tmp_path)
    printed = capsys.readouterr().out
    assert "mini-e" not in printed
    assert "left out: sound_attention: mini-a4b hears no sounds" in printed
    assert "1 figure in" in printed
