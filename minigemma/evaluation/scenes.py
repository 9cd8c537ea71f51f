"""Pictures from small descriptions: shapes in colours at places, and handwritten digits on a ground.

The training set and the held-out test set are drawn by these same functions, so a test picture is kept as a few
numbers and comes back pixel for pixel. Needs Pillow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

COLOURS = {
    "red": (214, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 210),
    "yellow": (240, 200, 30),
    "purple": (140, 50, 170),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
Scene = dict[str, Any]  # {"size": [w, h], "ground": [r, g, b], "things": [{shape, colour, at: [x, y], radius}]}


def outline(shape: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    """Corners of a shape of radius ``r`` around (x, y)."""
    if shape == "square":
        s = 0.85 * r
        return [(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)]
    if shape == "triangle":
        return [(x, y - r), (x + 0.95 * r, y + 0.75 * r), (x - 0.95 * r, y + 0.75 * r)]
    if shape == "star":
        radii = (r, 0.42 * r)
        turns = [math.pi * (i / 5 - 0.5) for i in range(10)]
        return [(x + radii[i % 2] * math.cos(a), y + radii[i % 2] * math.sin(a)) for i, a in enumerate(turns)]
    t = 0.32 * r  # cross
    way = [(-t, -r), (t, -r), (t, -t), (r, -t), (r, t), (t, t), (t, r), (-t, r), (-t, t), (-r, t), (-r, -t), (-t, -t)]
    return [(x + dx, y + dy) for dx, dy in way]


def draw_scene(scene: Scene):
    """The Pillow image of a scene, at its own size."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", tuple(scene["size"]), tuple(scene["ground"]))
    pen = ImageDraw.Draw(image)
    for thing in scene["things"]:
        (x, y), r = thing["at"], thing["radius"]
        colour = tuple(thing.get("rgb", COLOURS[thing["colour"]]))
        if thing["shape"] == "circle":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        else:
            pen.polygon(outline(thing["shape"], x, y, r), fill=colour)
    return image


def draw_digits(scene: Scene, digits: np.ndarray):
    """The Pillow image of handwritten digits.

    scene: {"size": [w, h], "ground": rgb, "ink": rgb, "digits": [{index, at: [x, y] of the middle, side, turn}]};
    digits: (n, 8, 8) values 0 to 16, as scikit-learn's ``load_digits().images``; ``index`` counts in it.
    """
    from PIL import Image

    image = Image.new("RGB", tuple(scene["size"]), tuple(scene["ground"]))
    for one in scene["digits"]:
        small = np.clip(digits[one["index"]] * 16.0, 0, 255).astype(np.uint8)
        small = np.pad(small, 1)  # so that a stroke at the edge fades out
        mask = Image.fromarray(small).resize((one["side"], one["side"]), Image.Resampling.BICUBIC)
        mask = mask.rotate(one.get("turn", 0), Image.Resampling.BILINEAR)
        x, y = one["at"]
        corner = (round(x - one["side"] / 2), round(y - one["side"] / 2))
        image.paste(tuple(scene["ink"]), corner, mask)
    return image
