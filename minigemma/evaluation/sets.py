"""The held-out sets: small files in ``data/``, made by ``training/heldout.py`` and never trained on."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigemma.evaluation.scenes import Scene, draw_digits, draw_scene
from minigemma.evaluation.sounds import from_codes

DATA = Path(__file__).parent / "data"


@cache
def digits() -> dict[str, np.ndarray]:
    """Handwritten digits: images (360, 8, 8) with values 0 to 16, labels (360,), index (360,) in scikit-learn's set."""
    with np.load(DATA / "digits.npz") as file:
        return {name: file[name] for name in file.files}


@cache
def pictures() -> dict[str, list[dict[str, Any]]]:
    """Descriptions of pictures with questions: {scene, asked: [[question, answer, kind], ...]}.

    By set: "digits", "scenes", "wide" (an aspect ratio never trained on), "spoken" (with ``clip``, the question's place
    in ``clips()``).
    """
    return json.loads((DATA / "pictures.json").read_text(encoding="utf-8"))


def draw(scene: Scene):
    """The Pillow image of a held-out description."""
    return draw_digits(scene, digits()["images"]) if "digits" in scene else draw_scene(scene)


@cache
def clips() -> list[dict[str, Any]]:
    """Spoken clips: {set: "known" | "voice" | "speed", text, voice, speed, pitch, sound (samples,) at 16 kHz}."""
    with np.load(DATA / "speech.npz") as file:
        sounds = [from_codes(codes) for codes in np.split(file["codes"], file["end"][:-1])]
        told = {name: file[name].tolist() for name in ("set", "text", "voice", "speed", "pitch")}
    return [{name: told[name][i] for name in told} | {"sound": sound} for i, sound in enumerate(sounds)]


@cache
def stories() -> list[dict[str, Any]]:
    """Stories, one question each: {told, question, answer, fact: the sentence it is in, fits: words that fit it}."""
    return json.loads((DATA / "stories.json").read_text(encoding="utf-8"))["stories"]


@cache
def _passages() -> dict[str, Any]:
    return json.loads((DATA / "passages.json").read_text(encoding="utf-8"))


def passages() -> dict[str, list[str]]:
    """Passages of text by domain."""
    return {domain: texts for domain, texts in _passages().items() if domain != "baselines"}


def baselines() -> dict[str, Any]:
    """What n-grams of the training text reach on ``passages()``: {tokenizer: hash, nats: {domain: {name: nats}}}."""
    return _passages()["baselines"]
