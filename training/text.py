"""Text to learn from: four domains that differ plainly, and stories whose facts must be recalled from far back.

prose       the King James Bible (public domain; Debian packages ``bible-kjv`` and ``bible-kjv-text``)
python      the standard library of the Python that runs this (PSF licence)
arithmetic  generated sums, one a line
stories     generated: facts, filler sentences, then questions about the facts, as plain text or as chat turns

Every sample is a list of ``(text, weight)`` pieces; weight is what a token of the piece counts in the loss.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from random import Random

Pieces = list[tuple[str, float]]

NAMES = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Frank",
    "Grace",
    "Henry",
    "Ida",
    "Jack",
    "Kate",
    "Leo",
    "Mary",
    "Nora",
    "Oscar",
    "Paul",
    "Rosa",
    "Sam",
    "Tom",
    "Vera",
]
OBJECTS = ["key", "book", "coin", "lamp", "cup", "hat", "ring", "map", "bell", "knife", "rope", "shoe"]
COLOURS = ["red", "green", "blue", "yellow", "purple", "black", "white", "brown"]
PLACES = [
    "garden",
    "kitchen",
    "barn",
    "river",
    "tower",
    "market",
    "church",
    "cellar",
    "forest",
    "harbour",
    "school",
    "mill",
]
FILLER_WHO = [
    "the old dog",
    "a small bird",
    "the grey cat",
    "a young horse",
    "the tired farmer",
    "a quiet child",
    "the wind",
    "the rain",
]
FILLER_DID = [
    "slept",
    "sang",
    "waited",
    "ran",
    "rested",
    "turned round",
    "looked up",
    "came near",
    "went away",
    "stood still",
]
FILLER_HOW = [
    "by the fire",
    "under a tree",
    "for a long time",
    "all day",
    "at noon",
    "in the dark",
    "near the wall",
    "without a sound",
]
BACKWARDS = (0, 1, 1, 1, 1, 2, 3, 4)  # kinds of facts, half of them asked for by what stands last: "Who has the key?"
PYTHON_TEST = {"textwrap.py", "heapq.py", "shlex.py", "calendar.py", "queue.py", "fractions.py"}  # never trained on
PYTHON_VALID = {"bisect.py", "csv.py", "sched.py"}


def kjv() -> list[str]:
    """All verses of the King James Bible, without their references, in order."""
    run = subprocess.run(["bible", "-f"], input="gen1:1-rev22:21\n", capture_output=True, text=True, check=True)
    verse = re.compile(r"^\d?[A-Z][a-z]*\d+:\d+ (.*)$")
    return [m.group(1) for line in run.stdout.splitlines() if (m := verse.match(line))]


def prose(split: str) -> str:
    """Verses in blocks of 40: the last three blocks of every hundred are held out (valid: 97, test: 98 and 99)."""
    verses = kjv()
    blocks = [" ".join(verses[i : i + 40]) for i in range(0, len(verses), 40)]
    kept = {"train": range(97), "valid": [97], "test": [98, 99]}[split]
    return "\n".join(b for i, b in enumerate(blocks) if i % 100 in kept)


def python_source(split: str) -> str:
    """Modules of the standard library between 3 and 60 kB, whole files held out."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    chosen = []
    for file in files:
        where = "test" if file.name in PYTHON_TEST else "valid" if file.name in PYTHON_VALID else "train"
        if where == split and (split != "train" or 3_000 < file.stat().st_size < 60_000):
            chosen.append(file.read_text(encoding="utf-8", errors="ignore"))
    return "\n\n".join(chosen)


def sum_line(random: Random) -> tuple[str, str]:
    """``("23 + 4", "27")``: sums and differences below 200, products of one digit by two."""
    kind = random.choice("++--*")
    if kind == "*":
        a, b = random.randrange(2, 10), random.randrange(2, 13)
        return f"{a} * {b}", str(a * b)
    a, b = random.randrange(100), random.randrange(100)
    if kind == "-":
        a, b = max(a, b), min(a, b)
    return f"{a} {kind} {b}", str(a + b if kind == "+" else a - b)


def arithmetic(random: Random, lines: int) -> str:
    return "".join("{} = {}\n".format(*sum_line(random)) for _ in range(lines))


def filler(random: Random) -> str:
    who, did, how = random.choice(FILLER_WHO), random.choice(FILLER_DID), random.choice(FILLER_HOW)
    return f"{who[0].upper()}{who[1:]} {did} {how}."


def facts(random: Random, number: int, kinds: Sequence[int] = range(5)) -> list[tuple[str, str, str]]:
    """``number`` facts as (sentence, question, one-word answer); no subject occurs twice: none contradicts another.

    kinds: which to draw from; a kind that stands there more often is drawn more often.
    """
    names = random.sample(NAMES, len(NAMES))
    things = random.sample(OBJECTS, len(OBJECTS))
    found = []
    for _ in range(number):
        kind = random.choice(kinds)
        if kind == 0:
            who, where = names.pop(), random.choice(PLACES)
            found.append((f"{who} went to the {where}.", f"Where is {who}?", where))
        elif kind == 1:
            who, thing = names.pop(), things.pop()
            found.append((f"{who} has the {thing}.", f"Who has the {thing}?", who))
        elif kind == 2:
            who, thing = names.pop(), things.pop()
            found.append((f"{who} has the {thing}.", f"What does {who} have?", thing))
        elif kind == 3:
            thing, colour = things.pop(), random.choice(COLOURS)
            found.append((f"The {thing} is {colour}.", f"What colour is the {thing}?", colour))
        else:
            who, code = names.pop(), f"{random.randrange(10, 100)}"
            found.append((f"The number of {who} is {code}.", f"What is the number of {who}?", code))
    return found


def story(
    random: Random,
    number: int = 6,
    fillers: int = 10,
    form: str = "story",
    questions: int = 6,
    kinds: Sequence[int] = range(5),
) -> Pieces:
    """A story and questions about it. The distance from a fact to its question grows with ``fillers``.

    form: "story" is plain text, "chat" a talk in turns; "apart" is what all questions share, then question and answer
    by turns, as if each were the only question of a talk. kinds: of the facts.
    """
    told = facts(random, number, kinds)
    sentences = [f[0] for f in told]
    for _ in range(fillers):  # most filler comes after the facts, some between them
        at = random.randrange(len(sentences) + 1) if random.random() < 0.3 else len(sentences)
        sentences.insert(at, filler(random))
    text = " ".join(sentences)
    rounds = -(-questions // number)  # every fact is asked for before one is asked for again
    asked = [fact for _ in range(rounds) for fact in random.sample(told, number)][:questions]
    pieces: Pieces = [(text + "\n", 0.1)] if form == "story" else [(f"<|turn>user\n{text}", 0.1)] * (form == "apart")
    for i, (_, question, answer) in enumerate(asked):
        if form == "story":
            pieces += [(question, 0.1), (f" {answer}\n", 1.0)]
        else:
            opening = " " if form == "apart" else f"<|turn>user\n{text} " if i == 0 else "\n<|turn>user\n"
            pieces += [(f"{opening}{question}<turn|>\n<|turn>model\n", 0.1), (f"{answer}<turn|>", 1.0)]
    return pieces


def repeated(random: Random, length: int) -> Pieces:
    """``length`` random words, and the same again: the plainest thing that must be looked up far back."""
    kinds = (NAMES, OBJECTS, COLOURS, PLACES, [str(n) for n in range(10, 100)])
    words = " ".join(random.choice(random.choice(kinds)) for _ in range(length))
    return [(words + "\n", 0.0), (words + "\n", 0.99)]  # below 1: no answer to be scored


def chat_sums(random: Random, turns: int) -> Pieces:
    pieces: Pieces = []
    for i in range(turns):
        left, right = sum_line(random)
        lead = "\n" if i else ""
        pieces += [(f"{lead}<|turn>user\nWhat is {left}?<turn|>\n<|turn>model\n", 0.1), (f"{right}<turn|>", 1.0)]
    return pieces
