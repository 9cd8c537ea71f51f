"""The whole model on one page: what flows where, with shapes, and the notebooks that explain each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from minigemma.config import Config
from minigemma.plots import style

WIDE, TALL = 3.2, 0.86  # of a box, in units of the drawing
INPUTS, MAKES, STREAM = "#E3E6EA", "#F3F4F6", "#DDE3EA"  # what comes in; what is computed; the stream and what reads it


class Part(NamedTuple):
    """One box: its centre, its name, the notebooks that explain it, and its colour."""

    x: float
    y: float
    name: str
    notebooks: str
    colour: str


def model_map(config: Config, shapes: Mapping[str, str] | None = None, *, title: str = "The whole model") -> Figure:
    """Boxes from what is given (bottom) to the next token (top), with notebook numbers; senses it lacks are left out.

    shapes: {a box's name: what comes out of it, such as "(131, 128)"}, written at the box's arrow.
    """
    parts, arrows = _parts(config)
    names = [part.name for part in parts]
    left, right = min(part.x for part in parts), max(part.x for part in parts)
    figure = style.canvas(11.0, 8.2)
    axes = style.panel(figure, 111, "", frame=False)
    for start, end in arrows:
        _arrow(axes, parts[names.index(start)], parts[names.index(end)], (shapes or {}).get(start, ""))
    for part in parts:
        _box(axes, part)
    axes.set(xlim=(left - WIDE / 2 - 0.1, right + WIDE / 2 + 0.1), xticks=[], yticks=[])
    axes.set_ylim(-0.6, max(part.y for part in parts) + 0.85)
    style.headline(figure, title)
    style.note(figure, "Numbers in circles: the notebooks that explain a part.")
    return figure


def _parts(config: Config) -> tuple[list[Part], list[tuple[str, str]]]:
    text = config.text
    layers = f"{text.num_hidden_layers} layers, local and global"
    parts = [
        Part(0, 0, "text", "", INPUTS),
        Part(0, 1.4, "tokens", "08", style.TEXT_TOKEN),
        Part(0, 2.8, "embedding × √D", "08", style.TEXT_TOKEN),
    ]
    row, attention, forward = "one row of vectors", "attention, KV cache, RoPE", "feed-forward"
    arrows = [("text", "tokens"), ("tokens", "embedding × √D"), ("embedding × √D", row)]
    x, senses = 0.0, []
    if config.vision is not None:
        senses.append((("picture", ""), ("patches", "09 10"), ("vision transformer", "09 10"), style.IMAGE_TOKEN))
    if config.audio is not None:
        senses.append((("sound", ""), ("mel-spectrogram", "11"), ("Conformer", "12"), style.AUDIO_TOKEN))
    for given, cut, encoder, colour in senses:
        x += 4.2
        parts += [Part(x, 0, *given, INPUTS), Part(x, 1.4, *cut, colour), Part(x, 2.8, *encoder, colour)]
        arrows += [(given[0], cut[0]), (cut[0], encoder[0]), (encoder[0], row)]
    if text.enable_moe_block:
        forward = "feed-forward and experts"
    middle = x / 2
    parts += [
        Part(middle, 4.3, row, "13", STREAM),
        Part(middle, 5.8, layers, "02", style.LOCAL_SHARED),
        Part(middle - 4.2, 5.1, attention, "03 04 05", MAKES),
        Part(middle - 4.2, 6.5, forward, "06" if text.enable_moe_block else "08", MAKES),
        Part(middle + 4.2, 6.5, "norms and layer scalar", "01", MAKES),
        Part(middle, 7.3, "final norm, tied head", "08", STREAM),
        Part(middle, 8.7, "next token", "08", INPUTS),
    ]
    if text.hidden_size_per_layer_input:
        parts.append(Part(middle + 4.2, 5.1, "per-layer embeddings", "07", MAKES))
        arrows.append(("per-layer embeddings", layers))
    arrows += [(row, layers), (layers, "final norm, tied head"), ("final norm, tied head", "next token")]
    arrows += [(part, layers) for part in (attention, forward, "norms and layer scalar")]
    return parts, arrows


def _box(axes: Axes, part: Part) -> None:
    shape = FancyBboxPatch(
        (part.x - WIDE / 2, part.y - TALL / 2), WIDE, TALL, boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=part.colour, edgecolor=style.INK, linewidth=1.0, zorder=3,
    )  # fmt: skip
    axes.add_patch(shape)
    middle: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 5}
    axes.text(part.x, part.y, part.name, fontsize=style.TEXT, color=style.INK, **middle)
    for i, number in enumerate(part.notebooks.split()[::-1]):
        x, y = part.x + WIDE / 2 - 0.3 - 0.55 * i, part.y + TALL / 2
        axes.plot([x], [y], "o", markersize=21, color="white", markeredgecolor=style.INK, zorder=4)
        axes.text(x, y, number, fontsize=style.SMALL, color=style.INK, fontweight="bold", **middle)


def _arrow(axes: Axes, start: Part, end: Part, shape: str) -> None:
    """Upwards from box to box, or sideways into the layers; what flows is written beside it."""
    level = start.y > 4.5 and start.x != end.x  # a part of every layer
    if level:
        side = 1 if end.x > start.x else -1
        tail, tip = (start.x + side * WIDE / 2, start.y), (end.x - side * WIDE / 2, end.y)
    else:
        tail, tip = (start.x, start.y + TALL / 2), (end.x, end.y - TALL / 2)
    axes.annotate("", tip, tail, arrowprops={"arrowstyle": "-|>", "color": style.RESIDUAL, "lw": 1.6})
    if shape:
        box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.9}
        place: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "fontsize": style.SMALL,
            "color": style.INK,
            "zorder": 6,
        }
        axes.text((tail[0] + tip[0]) / 2, (tail[1] + tip[1]) / 2, shape, bbox=box, **place)
