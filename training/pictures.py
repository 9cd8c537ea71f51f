"""Pictures to learn from: scikit-learn's handwritten digits (UCI, CC BY 4.0) and drawn scenes, with questions.

A picture is made at one of the sizes that Gemma 4's own resizing gives for a budget of soft tokens, so that it reaches
the model untouched; questions are in words and answers are short.
"""

from __future__ import annotations

import functools
import itertools
from random import Random

import numpy as np

from minigemma.evaluation.scenes import COLOURS, SHAPES, Scene, draw_digits, draw_scene

NUMBERS = ["none", "one", "two", "three", "four", "five", "six"]
ASPECTS = [(1, 1), (1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (9, 16), (2, 1), (1, 2), (3, 1)]
HELD_OUT_ASPECT = (16, 9)
QA = tuple[str, str, str]  # question, answer, kind


def size_for(aspect: tuple[int, int], budget: int = 70) -> tuple[int, int]:
    """Width and height in pixels that Gemma 4 gives a picture of this aspect: multiples of 48 within the budget."""
    w, h = aspect
    factor = (budget * 9 * 256 / (w * h)) ** 0.5
    size = int(factor * w // 48) * 48, int(factor * h // 48) * 48
    return size if size == aspect else size_for(size, budget)  # rounded down, it may have room to grow once more


def plural(shape: str) -> str:
    return "crosses" if shape == "cross" else shape + "s"


def places(random: Random, size: tuple[int, int], number: int, radius: tuple[int, int]) -> list[tuple[int, int, int]]:
    """``number`` (x, y, r) that do not touch."""
    w, h = size
    found: list[tuple[int, int, int]] = []
    for _ in range(1000):
        r = random.randint(*radius)
        x, y = random.randint(r + 4, w - r - 4), random.randint(r + 4, h - r - 4)
        if all((x - a) ** 2 + (y - b) ** 2 > (1.1 * (r + c)) ** 2 for a, b, c in found):
            found.append((x, y, r))
        if len(found) == number:
            break
    return found


def scene(random: Random, size: tuple[int, int]) -> Scene:
    """One to five things: some pictures of all different shapes, some with several of one shape (for counting)."""
    number = random.choice((1, 2, 2, 3, 3, 4, 5))
    few = random.sample(SHAPES, random.choice((1, 2))) if random.random() < 0.5 else None
    shapes = [random.choice(few) for _ in range(number)] if few else random.sample(SHAPES, number)
    unit = min(size) / 384
    ground = [random.randint(225, 255) for _ in range(3)]
    things = []
    for shape, (x, y, r) in zip(shapes, places(random, size, number, (int(36 * unit), int(62 * unit))), strict=False):
        colour = random.choice(list(COLOURS))
        rgb = [min(255, max(0, c + random.randint(-14, 14))) for c in COLOURS[colour]]
        things.append({"shape": shape, "colour": colour, "at": [x, y], "radius": r, "rgb": rgb})
    return {"size": list(size), "ground": ground, "things": things}


def scene_questions(random: Random, made: Scene, relations: int = 2) -> list[QA]:
    """All that can be asked about a scene without doubt about the answer, shuffled; at most ``relations`` of pairs."""
    things = made["things"]
    shapes = [t["shape"] for t in things]
    colours = [t["colour"] for t in things]
    asked: list[QA] = []
    for t in things:
        if shapes.count(t["shape"]) == 1:
            asked.append((f"What colour is the {t['shape']}?", t["colour"], "colour"))
        if colours.count(t["colour"]) == 1:
            asked.append((f"What shape is {t['colour']}?", t["shape"], "shape"))
    present = list(dict.fromkeys(shapes))
    for s in [*present, random.choice(SHAPES)]:
        asked.append((f"How many {plural(s)} are there?", NUMBERS[shapes.count(s)], "count"))
    asked.append(("How many shapes are there?", NUMBERS[len(things)], "count"))
    for s in (random.choice(present), random.choice(SHAPES)):
        asked.append((f"Is there a {s}?", "yes" if s in shapes else "no", "exists"))
    single = [t for t in things if shapes.count(t["shape"]) == 1]
    for _ in range(relations):
        if len(single) > 1:
            a, b = random.sample(single, 2)
            dx, dy = b["at"][0] - a["at"][0], b["at"][1] - a["at"][1]
            if abs(dx) > abs(dy) + 20:
                asked.append(
                    (
                        f"Is the {a['shape']} left or right of the {b['shape']}?",
                        "left" if dx > 0 else "right",
                        "relation",
                    )
                )
            elif abs(dy) > abs(dx) + 20:
                asked.append(
                    (
                        f"Is the {a['shape']} above or below the {b['shape']}?",
                        "above" if dy > 0 else "below",
                        "relation",
                    )
                )
    order = sorted(things, key=lambda t: t["at"][0])
    gaps = [b["at"][0] - a["at"][0] for a, b in itertools.pairwise(order)]
    if len(things) <= 3 and all(g > 24 for g in gaps):
        words = " and ".join(f"a {t['colour']} {t['shape']}" for t in order)
        asked.append(("Describe the picture from left to right.", words, "describe"))
    asked = list(dict.fromkeys(asked))
    random.shuffle(asked)
    return asked


@functools.cache
def digit_images() -> tuple[np.ndarray, np.ndarray, dict[str, list[int]]]:
    """(1797, 8, 8) images, labels, and the indices of each split (70 % train, 10 % valid, 20 % test)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(7).permutation(len(data.images)).tolist()
    split = {"test": sorted(order[:360]), "valid": sorted(order[360:540]), "train": sorted(order[540:])}
    return data.images, data.target, split


def digit_scene(random: Random, size: tuple[int, int], split: str, number: int) -> tuple[Scene, list[QA]]:
    """``number`` digits in a row, left to right, and the question what they are."""
    _, labels, indices = digit_images()
    w, h = size
    dark = random.random() < 0.5
    ground, ink = [random.randint(0, 70) for _ in range(3)], [random.randint(180, 255) for _ in range(3)]
    if not dark:
        ground, ink = ink, ground
    cell = w / number
    largest = min(cell * 1.05, h * 0.95, 330)
    placed = []
    for i in range(number):
        side = int(largest * random.uniform(0.6, 1.0))
        room_x, room_y = max(cell - side, 0) / 2, max(h - side, 0) / 2
        x = (i + 0.5) * cell + random.uniform(-room_x, room_x)
        y = h / 2 + random.uniform(-room_y, room_y)
        index = random.choice(indices[split])
        placed.append(
            {
                "index": index,
                "label": int(labels[index]),
                "at": [round(x), round(y)],
                "side": side,
                "turn": random.randint(-10, 10),
            }
        )
    answer = " ".join(str(p["label"]) for p in placed)
    question = "What digit is this?" if number == 1 else "Read the digits."
    made = {"size": list(size), "ground": ground, "ink": ink, "digits": placed}
    return made, [(question, answer, "digit" if number == 1 else "digits")]


SMALL_SIZES = [(144, 144), (192, 192), (192, 144), (144, 192), (240, 144), (144, 240)]


def small(random: Random, size: tuple[int, int], split: str) -> Scene:
    """A digit or two, or one or two shapes, in a small picture: cheap to look at, for the encoder alone."""
    if random.random() < 0.65:
        return digit_scene(random, size, split, 2 if size[0] > 200 else 1)[0]
    things = []
    for x, y, r in places(random, size, random.choice((1, 2)), (36, 62)):
        colour = random.choice(list(COLOURS))
        rgb = [min(255, max(0, c + random.randint(-14, 14))) for c in COLOURS[colour]]
        things.append({"shape": random.choice(SHAPES), "colour": colour, "at": [x, y], "radius": r, "rgb": rgb})
    return {"size": list(size), "ground": [random.randint(225, 255) for _ in range(3)], "things": things}


def draw(made: Scene):
    return draw_digits(made, digit_images()[0]) if "digits" in made else draw_scene(made)


def patches(image) -> np.ndarray:
    """(N, 768) uint8: 16 x 16 patches of (row, column, channel), as the reference's processor cuts them."""
    x = np.asarray(image)
    h, w, _ = x.shape
    return x.reshape(h // 16, 16, w // 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 768)


def positions(size: tuple[int, int]) -> np.ndarray:
    """(N, 2) int: x and y of every patch."""
    x, y = np.meshgrid(np.arange(size[0] // 16), np.arange(size[1] // 16))
    return np.stack([x, y], -1).reshape(-1, 2)


def phrases() -> list[str]:
    """Every kind of sentence, for the tokenizer."""
    random = Random(3)
    said = ["What digit is this?", "Read the digits.", "Answer the spoken question.", "Write down what is said."]
    for _ in range(60):
        said += [f"{q} {a}" for q, a, _ in scene_questions(random, scene(random, (384, 384)))]
    return said
