"""The held-out sets that ``minigemma evaluate`` measures on: ``python -m training.heldout``.

Made once, with fixed seeds, by the functions that make the training data, from what training never sees: scikit-learn
digits, verse blocks and Python files of the test split; new scenes, also of an aspect ratio that is never drawn in
training; voices and speeds that are never spoken there, and pitches between the trained ones, so that no clip of a
known voice is one that was trained on. Needs espeak-ng, the ``bible`` program and scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np

from minigemma.evaluation.sets import DATA
from minigemma.evaluation.sounds import to_codes

from . import ngram, pictures, speech, text
from .tokenizer import load_or_train

PITCHES = (35, 45, 55, 65)  # none of these in training
CLIPS = 60  # of each kind
SCENES, WIDE_SCENES = 90, 45  # pictures; of the aspects trained on, and of the held-out one
PAIRS = 60  # pictures with two digits; the rest of the held-out digits stand alone
FILLERS = (1, 3, 6, 9, 12, 16, 20, 24, 34, 44)  # sentences that say nothing; training has at most 24
STORIES = 14  # for each of them
PASSAGES, PASSAGE = 32, 650  # for each domain; characters


# -- pictures --------------------------------------------------------------------------------------------------------
def digits() -> dict[str, np.ndarray]:
    """The 360 held-out digits: images (360, 8, 8), labels, and their places in scikit-learn's set."""
    images, labels, split = pictures.digit_images()
    index = np.array(split["test"])
    return {"images": images[index].astype(np.uint8), "labels": labels[index].astype(np.uint8), "index": index}


def digit_pictures(random: Random) -> list[dict]:
    """Every held-out digit once: alone, or two in a picture. Indices count in ``digits()``."""
    _, labels, split = pictures.digit_images()
    place = {index: i for i, index in enumerate(split["test"])}
    rest = random.sample(split["test"], len(split["test"]))
    made = []
    while rest:
        number = 2 if len(made) < PAIRS else 1
        aspect = random.choice([a for a in pictures.ASPECTS if number == 1 or a[0] >= a[1]])
        scene, [(question, _, kind)] = pictures.digit_scene(random, pictures.size_for(aspect), "test", number)
        chosen, rest = rest[:number], rest[number:]
        scene["digits"] = [one | {"index": place[i]} for one, i in zip(scene["digits"], chosen, strict=True)]
        made.append({"scene": scene, "asked": [[question, " ".join(str(labels[i]) for i in chosen), kind]]})
    return made


def scenes(random: Random, number: int, aspects: list[tuple[int, int]]) -> list[dict]:
    """Scenes, each with one question of every kind that it allows."""
    made = []
    for i in range(number):
        scene = pictures.scene(random, pictures.size_for(aspects[i % len(aspects)]))
        questions = pictures.scene_questions(random, scene)
        if i % 2:  # of "yes" and "no" take "no" where there is one
            questions.sort(key=lambda question: question[1] == "no")
        asked = {kind: [question, answer, kind] for question, answer, kind in questions}
        made.append({"scene": scene, "asked": list(asked.values())})
    return made


# -- sounds ----------------------------------------------------------------------------------------------------------
def clips(seed: int, held_out: str) -> list[dict]:
    """Every phrase once and a few rows of digits: known voices and speeds, held-out voices, or held-out speeds."""
    random = Random(f"{seed} {held_out}")
    phrases = list(speech.PHRASES)
    while len(phrases) < CLIPS:
        phrases.append(" ".join(random.choice(speech.DIGITS) for _ in range(random.randrange(2, 5))))
    voices = speech.HELD_OUT_VOICES if held_out == "voice" else speech.VOICES
    speeds = speech.HELD_OUT_SPEEDS if held_out == "speed" else speech.SPEEDS
    jobs = [
        (phrase, voices[i % len(voices)], random.choice(speeds), random.choice(PITCHES))
        for i, phrase in enumerate(phrases)
    ]
    with ThreadPoolExecutor(2) as pool:
        sounds = list(pool.map(lambda job: speech.say(*job), jobs))
    return [
        {"set": held_out or "known", "text": phrase, "voice": voice, "speed": speed, "pitch": pitch, "sound": sound}
        for (phrase, voice, speed, pitch), sound in zip(jobs, sounds, strict=True)
    ]


def packed(made: list[dict]) -> dict[str, np.ndarray]:
    """Clips as arrays: their codes below each other, where each ends, and what is known about each."""
    sounds = [to_codes(0.9 * c["sound"] / np.abs(c["sound"]).max()) for c in made]
    told = {field: np.array([c[field] for c in made]) for field in ("set", "text", "voice", "speed", "pitch")}
    return {"codes": np.concatenate(sounds), "end": np.cumsum([len(s) for s in sounds]), **told}


def spoken_questions(random: Random, made: list[dict]) -> list[dict]:
    """Pictures with a spoken question about each: two for every question among the clips (``clip`` counts in them)."""
    _, _, split = pictures.digit_images()
    place = {index: i for i, index in enumerate(split["test"])}
    found = []
    for i, clip in enumerate(made):
        if clip["set"] == "speed" or clip["text"] not in speech.QUESTIONS or clip["text"] == "what shapes are there":
            continue
        wanted = 2
        while wanted:
            size = pictures.size_for(random.choice(pictures.ASPECTS))
            if clip["text"] == "what digit is this":
                scene, asked = pictures.digit_scene(random, size, "test", 1)
                scene["digits"][0]["index"] = place[scene["digits"][0]["index"]]
            else:
                scene = pictures.scene(random, size)
                asked = pictures.scene_questions(random, scene)
            if answers := [a for question, a, _ in asked if question.lower().rstrip("?") == clip["text"]]:
                found.append({"scene": scene, "clip": i, "asked": [[clip["text"], answers[0], clip["set"]]]})
                wanted -= 1
    return found


# -- text ------------------------------------------------------------------------------------------------------------
FITS = {  # how a question begins -> what fits it in a story
    "Where is": r" went to the (\w+)\.",
    "Who has": r"(\w+) has the ",
    "What does": r" has the (\w+)\.",
    "What colour": r"The \w+ is (\w+)\.",
    "What is": r"The number of \w+ is (\w+)\.",
}


def stories(random: Random) -> list[dict]:
    """Stories, each with a question, the sentence that answers it, and all words of the story that would fit."""
    made = []
    for fillers in FILLERS:
        for _ in range(STORIES):
            number = random.randint(3, 5 if fillers < 6 else 8)
            told, question, answer = (p.strip() for p, _ in text.story(random, number, fillers, questions=1))
            subject = question.rstrip("?").removesuffix(" have").split()[-1]
            [fact] = [s for s in re.findall(r"[A-Z][^.]*\.", told) if {subject, answer} <= set(s.rstrip(".").split())]
            fits = re.findall(FITS[" ".join(question.split()[:2])], told)
            made.append({"told": told, "fact": fact, "question": question, "answer": answer, "fits": fits})
    return made


def cut(whole: str, ends: str, number: int = PASSAGES) -> list[str]:
    """``number`` passages spread over ``whole``, each from the beginning of a sentence or line to the end of one."""
    found = []
    for i in range(number):
        start = whole.find(ends, i * (len(whole) // number)) + len(ends)
        end = whole.rfind(ends, start, start + PASSAGE) + len(ends)
        found.append(whole[start:end])
    return found


def passages(random: Random) -> dict[str, list[str]]:
    """Text of the test split by domain."""
    plain = ["".join(p for p, _ in text.story(random, 6, 8)) for _ in range(PASSAGES)]
    return {
        "prose": cut(text.prose("test"), ". "),
        "python": cut(text.python_source("test"), "\n"),
        "arithmetic": cut(text.arithmetic(random, 2_500), "\n"),
        "stories": plain,
    }


# -- files -----------------------------------------------------------------------------------------------------------
def write_json(file: Path, content: dict) -> None:
    """JSON with a line for every item, so that a change can be read."""
    parts = []
    for key, value in content.items():
        lines = ",\n".join(json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in value)
        parts.append(
            f"{json.dumps(key)}: [\n{lines}\n]"
            if isinstance(value, list)
            else f"{json.dumps(key)}: {json.dumps(value)}"
        )
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--work", type=Path, default=Path(__file__).parent / "work", help="where the tokenizer is kept")
    ask.add_argument("--out", type=Path, default=DATA)
    args = ask.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.out / "digits.npz", **digits())
    said = [clip for held_out in ("", "voice", "speed") for clip in clips(13, held_out)]
    np.savez_compressed(args.out / "speech.npz", **packed(said))
    seen: dict[str, Callable[[Random], list[dict]]] = {
        "digits": digit_pictures,
        "scenes": lambda random: scenes(random, SCENES, pictures.ASPECTS),
        "wide": lambda random: scenes(random, WIDE_SCENES, [pictures.HELD_OUT_ASPECT]),
        "spoken": lambda random: spoken_questions(random, said),
    }
    write_json(args.out / "pictures.json", {name: make(Random(f"test {name}")) for name, make in seen.items()})
    write_json(args.out / "stories.json", {"stories": stories(Random("test stories"))})
    found = passages(Random("test passages"))
    baselines = ngram.baselines(load_or_train(args.work / "tokenizer.json"), found)
    write_json(args.out / "passages.json", {**found, "baselines": baselines})
    for file in sorted(args.out.iterdir()):
        print(f"{file.stat().st_size / 1000:8.0f} kB  {file}")


if __name__ == "__main__":
    main()
