"""The examples that the tour, the gallery and the notebooks show: ``python -m training.samples``.

Made from held-out material like the test sets, by rule and seed, before any trained model had seen them.
"""

from __future__ import annotations

import argparse
import json
import wave
from pathlib import Path
from random import Random

import numpy as np

from minigemma.evaluation import sets
from minigemma.evaluation.senses import SPOKEN_QUESTION, SPOKEN_WORDS

from . import pictures, speech, text

OUT = Path(__file__).parent.parent / "minigemma" / "shipped" / "samples"
SENTENCE = (
    "And Saul knew David's voice, and said, Is this thy voice, my son David? And David said, It is my voice, my lord, "
    "O king."
)  # 1 Samuel 26:17, in a block of the test split; words that come again give attention something to find


def scene_sample(seed: int, aspect: tuple[int, int], kinds: str) -> tuple[pictures.Scene, list[pictures.QA]]:
    """The first scene from ``seed`` on with four different shapes in four different colours, and questions about it."""
    while True:
        made = pictures.scene(Random(seed), pictures.size_for(aspect))
        shapes, colours = ([thing[name] for thing in made["things"]] for name in ("shape", "colour"))
        if len(shapes) == len(set(shapes)) == len(set(colours)) == 4:
            return made, [qa for qa in pictures.scene_questions(Random(seed), made) if qa[2] in kinds.split()]
        seed += 1


def write_wav(file: Path, sound: np.ndarray) -> None:
    """int16 samples at 16 kHz, with a tenth of a second of silence around them and noise 35 dB below."""
    x = np.pad(sound / np.abs(sound).max() * 0.6, 1600)
    noise = np.random.default_rng(0).standard_normal(len(x)) * np.sqrt((x**2).mean()) * 10 ** (-35 / 20)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(speech.RATE)
        out.writeframes(np.round((x + noise) * 32767).astype("<i2").tobytes())


def passage(domain: str, at: str, size: int = 260) -> str:
    """About ``size`` characters of a held-out domain, from where ``at`` stands to the end of a sentence or line."""
    whole = text.prose("test") if domain == "prose" else text.python_source("test")
    start = whole.index(at)
    ends = ". " if domain == "prose" else "\n"
    return whole[start : whole.index(ends, start + size) + 1]


def make(out: Path) -> list[dict]:
    """Write the files into ``out`` and return what ``samples.json`` says about them."""
    seen, seen_asked = scene_sample(100, (4, 3), "colour shape count exists relation")
    pictures.draw(seen).save(out / "scene.png", optimize=True)
    spoken, spoken_asked = scene_sample(300, (3, 2), "colour")
    pictures.draw(spoken).save(out / "both.png", optimize=True)
    digits, [(read, numbers, _)] = pictures.digit_scene(Random(5), pictures.size_for((3, 2)), "test", 2)
    pictures.draw(digits).save(out / "digits.png", optimize=True)

    command, question, answer = "open the window", spoken_asked[0][0], spoken_asked[0][1]
    write_wav(out / "command.wav", speech.say(command, "en-gb-scotland", 140, 45))
    write_wav(out / "both.wav", speech.say(question.lower().rstrip("?"), "en-us+f3", 140, 55))

    story = next(s for s in sets.stories() if s["told"].count(".") >= 20 and s["told"].index(s["fact"]) < 120)
    domains = {
        "prose": passage("prose", "Then Saul said to David, Blessed be thou"),
        "python": passage("python", "def heappush(heap, item):"),
        "arithmetic": text.arithmetic(Random("sample"), 24),
        "stories": "".join(p for p, _ in text.story(Random("sample"), 4, 5, questions=4)),
    }
    first, *others = sorted(seen_asked, key=lambda qa: qa[2])  # "colour" comes first
    return [
        {"name": "sentence", "text": SENTENCE},
        {"name": "scene", "text": first[0], "images": ["scene.png"], "answer": first[1],
         "others": [[q, a] for q, a, _ in others]},
        {"name": "digits", "text": read, "images": ["digits.png"], "answer": numbers},
        {"name": "command", "text": SPOKEN_WORDS, "audio": ["command.wav"], "answer": command},
        {"name": "both", "text": SPOKEN_QUESTION, "images": ["both.png"], "audio": ["both.wav"], "spoken": question,
         "answer": answer},
        {"name": "recorded", "text": SPOKEN_WORDS, "audio": ["recorded.wav"],
         "answer": "he was not an ill disposed young man", "note": "a real voice; nothing like it was trained on"},
        {"name": "story", "text": f"{story['told']} {story['question']}", "fact": story["fact"],
         "answer": story["answer"]},
        {"name": "domains", "texts": domains},
    ]  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--out", type=Path, default=OUT)
    out = ask.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(sample, ensure_ascii=False) for sample in make(out))
    (out / "samples.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
