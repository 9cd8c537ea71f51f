"""The held-out sets: nothing in them was trained on, their answers are right, and pictures come as drawn."""

import json
import re
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest

from minigemma.evaluation import sets
from minigemma.vision import prepare
from training import pictures, speech, text


def test_digits_are_the_held_out_ones():
    found = sets.digits()
    order = np.random.default_rng(7).permutation(1797)  # as in training/pictures.py
    assert sorted(found["index"]) == sorted(order[:360])
    used = [one["index"] for part in ("digits", "spoken") for item in sets.pictures()[part]
            for one in item["scene"].get("digits", ())]  # fmt: skip
    assert set(used) == set(range(360))  # each of them is asked about, and nothing else
    for item in sets.pictures()["digits"]:
        named = " ".join(str(found["labels"][one["index"]]) for one in item["scene"]["digits"])
        assert item["asked"][0][1] == named


def test_digits_are_scikit_learns():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    data, found = load_digits(), sets.digits()
    np.testing.assert_array_equal(found["images"], data.images[found["index"]])
    np.testing.assert_array_equal(found["labels"], data.target[found["index"]])
    _, _, split = pictures.digit_images()
    assert not set(found["index"]) & {*split["train"], *split["valid"]}
    assert len(set(split["train"]) | set(split["valid"]) | set(split["test"])) == 1797


@pytest.mark.parametrize("part", ["scenes", "wide", "spoken"])
def test_answers_about_scenes_are_right(part):
    random, checked = Random(0), 0
    for item in sets.pictures()[part]:
        if "things" not in item["scene"]:
            continue
        true = {}
        for _ in range(12):  # which shapes are counted and compared is drawn
            true |= {question: answer for question, answer, _ in pictures.scene_questions(random, item["scene"])}
        if part == "spoken":
            true = {question.lower().rstrip("?"): answer for question, answer in true.items()}
        for question, answer, _ in item["asked"]:
            assert true.get(question, answer) == answer, (question, answer, item["scene"])
            checked += question in true
    assert checked > 30


def test_the_held_out_aspect_is_never_drawn_in_training():
    trained = {pictures.size_for(aspect, budget) for aspect in pictures.ASPECTS for budget in (70, 140)}
    wide = {tuple(item["scene"]["size"]) for item in sets.pictures()["wide"]}
    assert wide == {pictures.size_for((16, 9))}
    assert not wide & trained
    assert {tuple(item["scene"]["size"]) for item in sets.pictures()["scenes"]} <= trained


def test_pictures_reach_the_model_untouched():
    some = {tuple(item["scene"]["size"]): item for part in sets.pictures().values() for item in part}
    assert len(some) == 10
    for item in some.values():
        image = sets.draw(item["scene"])
        patches, positions = prepare(image, 70)
        np.testing.assert_allclose(patches, pictures.patches(image) / 255, atol=1e-6)
        np.testing.assert_array_equal(positions, pictures.positions(image.size))


def test_voices_and_speeds_are_known_or_held_out_as_they_say():
    clips = sets.clips()
    parts = {part: [c for c in clips if c["set"] == part] for part in ("known", "voice", "speed")}
    assert not set(speech.VOICES) & set(speech.HELD_OUT_VOICES)
    assert not set(speech.SPEEDS) & set(speech.HELD_OUT_SPEEDS)
    for part, chosen in parts.items():
        voices = speech.HELD_OUT_VOICES if part == "voice" else speech.VOICES
        speeds = speech.HELD_OUT_SPEEDS if part == "speed" else speech.SPEEDS
        assert {c["voice"] for c in chosen} <= set(voices)
        assert {c["speed"] for c in chosen} <= set(speeds)
        assert set(speech.PHRASES) <= {c["text"] for c in chosen}  # every phrase once
    assert all(c["pitch"] % 10 == 5 for c in clips)  # training has 30, 40, ..., 70, so that no clip is one of its own
    assert all(3000 < len(c["sound"]) < 48_000 and 0.8 < np.abs(c["sound"]).max() < 1.05 for c in clips)


def test_spoken_questions_are_the_clips_words():
    for item in sets.pictures()["spoken"]:
        [[question, _, part]] = item["asked"]
        clip = sets.clips()[item["clip"]]
        assert (clip["text"], clip["set"]) == (question, part)


def test_each_story_answers_its_question_once():
    for story in sets.stories():
        assert story["told"].count(story["fact"]) == 1
        assert story["answer"] in re.findall(r"\w+", story["fact"])
        assert story["answer"] in story["fits"]
        subject = story["question"].rstrip("?").removesuffix(" have").split()[-1]
        assert len(re.findall(rf"\b{subject}\b", story["told"])) == 1


def test_stories_are_not_those_of_training():
    drawn = {text.story(Random(seed), 6, 8)[0][0].strip() for seed in range(2000)}
    assert not drawn & {story["told"] for story in sets.stories()}


def test_python_passages_are_from_the_held_out_files():
    trained = text.python_source("train")
    for passage in sets.passages()["python"]:
        assert max(map(len, re.findall(r"[^\n]+", passage))) > 20  # there is something in it
        assert passage not in trained


@pytest.mark.skipif(shutil.which("bible") is None, reason="needs the bible program (Debian: bible-kjv)")
def test_prose_passages_are_from_the_held_out_blocks():
    trained, held_out = text.prose("train"), text.prose("test")
    for passage in sets.passages()["prose"]:
        assert passage in held_out
        assert passage not in trained


def test_passages_of_a_domain_do_not_overlap():
    for domain in ("prose", "python", "arithmetic", "stories"):
        found = sets.passages()[domain]
        assert len(set(found)) == len(found) == 32


def test_baselines_are_better_with_longer_contexts():
    for nats in sets.baselines()["nats"].values():
        assert 0 < nats["3-gram"] < nats["unigram"] < np.log(2048)


def test_the_model_card_tells_what_was_measured():
    training = Path(text.__file__).parent
    card = (training / "README.md").read_text(encoding="utf-8")
    measured = json.loads((training / "results" / "evaluation.json").read_text(encoding="utf-8"))
    assert set(measured) == {"mini-e", "mini-a4b", "mini-31b"}
    shares, losses = set(), set()
    for tables in measured.values():
        for title, rows in tables.items():
            if title.startswith(("Handwritten", "Drawn", "Spoken")):
                shares |= {row["right"] for name, row in rows.items() if name != "all" and "16:9" not in title}
            if title.startswith("Held-out text"):
                losses |= {row["model"] for row in rows.values()}
    assert len(shares) > 10
    for share in shares:
        assert (f"{100 * share:.1f} %" in card) or (share == 1 and "100 %" in card), share
    for loss in losses:
        assert f"{loss:.2f}" in card, loss
