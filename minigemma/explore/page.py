"""A page of small print, drawn on the spot: the kind of picture for which the budget of soft tokens decides."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

WIDTH, HEIGHT, MARGIN = 1200, 1600, 80  # pixels
SIZES = (56, 40, 28, 20, 14)  # of the letters, in pixels, one paragraph each
WORDS = (
    "A picture is worth as many words as it has soft tokens. Every square of 48 by 48 pixels becomes one vector, "
    "whatever is printed in it. Letters that are smaller than a few pixels after resizing are gone before the model "
    "sees anything. "
)


def printed_page() -> Any:
    """A Pillow image of 1200 x 1600 pixels: one text in five sizes of letters, the smallest last."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, y = ImageDraw.Draw(page), MARGIN
    file = str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    for size in SIZES:
        across = int((WIDTH - 2 * MARGIN) / (0.53 * size))  # letters in a line, about
        lines = textwrap.wrap(f"{size} pixels. {WORDS}" + WORDS, across)[:5]
        pen.multiline_text((MARGIN, y), "\n".join(lines), "black", ImageFont.truetype(file, size), spacing=0.4 * size)
        y += round(1.45 * size * len(lines) + 40)
    return page
