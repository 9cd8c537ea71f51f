"""What every picture shares: one size of type, one meaning for each colour, token labels that stay legible.

Pictures are ``matplotlib.figure.Figure`` objects made without pyplot: nothing global is touched, nothing has to be
closed, and the same call works in a script, a notebook, a widget, a thread or a browser.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import Colormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogFormatter, MaxNLocator
from PIL import Image

from minigemma.config import GLOBAL, Config, TextConfig
from minigemma.errors import InputError

# Sizes in points and inches. A figure 6.4 in wide with 12 pt type can still be read at a third of a slide.
SMALL, TEXT, TITLE = 11.0, 12.0, 13.0
WIDTH = 6.4
FEW_COLOURS = 8192  # maps and lines with smooth edges have fewer, a photograph has more

# One meaning a colour, in every picture (Okabe & Ito's colour-blind-safe set and two lighter tints).
LOCAL_COLOUR, LOCAL_SHARED = "#0072B2", "#8EC4E8"  # a local layer; one that reads another layer's keys and values
GLOBAL_COLOUR, GLOBAL_SHARED = "#D55E00", "#F5B57F"
WEIGHTS, ACTIVATIONS, RESIDUAL, CACHE = "#5B4FA2", "#009E73", "#3C4654", "#CC79A7"
TEXT_TOKEN, IMAGE_TOKEN, AUDIO_TOKEN = "#56B4E9", "#E69F00", "#009E73"
INK, MUTED, FAINT = "#222222", "#6B7280", "#E3E6EA"  # lines and letters; notes; what is not there
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B4FA2", "#6B7280")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 1)))

# Perceptually uniform maps: magnitudes, signed values (centred at 0), angles (cyclic).
MAGNITUDE, SIGNED, CYCLIC = "viridis", "RdBu_r", "twilight"


class Picture(Figure):
    """A Figure that shows itself in a notebook even where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return slim(Image.open(buffer))


def slim(picture: Image.Image) -> bytes:
    """A picture as PNG, a quarter as large: 256 colours where nobody sees it; one with photographs keeps all."""
    picture, buffer = picture.convert("RGB"), io.BytesIO()
    if picture.getcolors(FEW_COLOURS) is not None:
        picture = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette = np.array(picture.getpalette() or []).reshape(-1, 3)
        picture.putpalette(np.where(palette.min(axis=1, keepdims=True) > 250, 255, palette).ravel().tolist())  # white
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def canvas(width: float = WIDTH, height: float = 4.0) -> Figure:
    """An empty white figure of this size in inches, whose parts make room for each other."""
    return Picture(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")


def panel(
    figure: Any, position: Any = 111, title: str = "", x: str = "", y: str = "", *, frame: bool = True, **options: Any
) -> Axes:
    """Axes in the house style: title on the left, labels with units.

    position: as ``add_subplot`` takes it, or a place (x, y, width, height) in inches.
    """
    if isinstance(position, tuple) and len(position) == 4:
        wide, tall = figure.get_size_inches()
        x0, y0, width, height = position
        axes = figure.add_axes((x0 / wide, y0 / tall, width / wide, height / tall), **options)
    else:
        axes = figure.add_subplot(*(position if isinstance(position, tuple) else (position,)), **options)
    axes.set_title(title, fontsize=TITLE, loc="left", color=INK)
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)
    axes.tick_params(which="both", labelsize=SMALL, color=MUTED, labelcolor=INK)
    for side, spine in axes.spines.items():
        spine.set_visible(frame and side in ("left", "bottom"))
        spine.set_color(MUTED)
    if not frame:
        axes.tick_params(length=0)
    return axes


def single(title: str, x: str, y: str, *, width: float = WIDTH, height: float = 4.0, **options: Any) -> tuple:
    """(figure, axes) for a picture with one panel."""
    figure = canvas(width, height)
    return figure, panel(figure, 111, title, x, y, **options)


def legend(axes: Axes | Figure, handles: Sequence | None = None, **options: Any) -> None:
    """A legend in readable type, without a box."""
    options = {"fontsize": SMALL, "frameon": False, **options}
    axes.legend(**options) if handles is None else axes.legend(handles=handles, **options)


def patches(**colours: str) -> list[Patch]:
    """Legend entries: ``patches(local=LOCAL_COLOUR)``; underscores in a name become spaces."""
    return [Patch(facecolor=colour, label=name.replace("_", " ")) for name, colour in colours.items()]


def note(figure: Figure, text: str) -> None:
    """A visible line under the picture: what was cropped, thinned or hidden."""
    previous = getattr(figure, "_note", None)
    if previous is None:
        figure._note = figure.supxlabel(text, fontsize=SMALL, color=MUTED, x=0.01, ha="left")  # type: ignore[attr-defined]
    elif text not in previous.get_text():
        previous.set_text(f"{previous.get_text()}\n{text}")


def heatmap(
    axes: Axes, values: np.ndarray, norm: Normalize | None = None, colours: str | Colormap = MAGNITUDE, **options: Any
):
    """values (rows, columns) as cells, row 0 on top; NaN is drawn pale grey: nothing there. Returns the image."""
    shades = mpl.colormaps[colours] if isinstance(colours, str) else colours
    options = {"aspect": "auto", "interpolation": "nearest", **options}
    return axes.imshow(values, cmap=shades.with_extremes(bad=FAINT), norm=norm, **options)


def boxes(axes: Axes, places: Sequence[tuple[float, float]], width: float, height: float, **options: Any) -> None:
    """Many boxes of one size, centred at ``places``, drawn at once; colours may be lists, one a box."""
    cells = [Rectangle((x - width / 2, y - height / 2), width, height) for x, y in places]
    axes.add_collection(PatchCollection(cells, **options))


def scaled(values: np.ndarray, scale: str = "linear", top: float | None = None) -> Normalize:
    """The norm of a map of magnitudes, from 0 to ``top`` (else the largest value): "linear", "sqrt" or "log".

    "row-max" is for values that are already shares of something: from 0 to 1.
    """
    finite = np.asarray(values)[np.isfinite(values)]
    top = float(finite.max()) if top is None and finite.size else top
    top = top if top and top > 0 else 1.0
    if scale == "linear":
        return Normalize(0, top)
    if scale == "sqrt":
        return PowerNorm(0.5, 0, top)
    if scale == "log":
        return mpl.colors.LogNorm(top * 1e-4, top, clip=True)
    if scale == "row-max":
        return Normalize(0, 1)
    raise InputError(f"scale is {scale!r}; expected 'linear', 'sqrt', 'log' or 'row-max'")


def weight_name(scale: str) -> str:
    """What the colour bar of an attention map is called."""
    return "share of the row's largest weight" if scale == "row-max" else "attention weight"


def centred(values: np.ndarray, reach: float | None = None) -> Normalize:
    """The norm of a map of signed values: white is 0, both ends equally far."""
    finite = np.abs(np.asarray(values)[np.isfinite(values)])
    reach = (float(finite.max()) if finite.size else 0.0) if reach is None else reach
    return Normalize(-(reach or 1.0), reach or 1.0)


def colour_bar(figure: Figure, image: Any, axes: Any, text: str, **options: Any):
    """A colour bar beside ``axes``, with its quantity and unit."""
    bar = figure.colorbar(image, ax=axes, **{"pad": 0.02, "aspect": 30, **options})
    bar.set_label(text, fontsize=TEXT, color=INK)
    bar.ax.tick_params(which="both", labelsize=SMALL, color=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
    return bar


def headline(figure: Figure, title: str, handles: Sequence | None = None, columns: int = 2) -> None:
    """The title of a picture with several panels, with the legend for all of them under it."""
    if not handles:
        figure.suptitle(title, fontsize=TITLE, x=0.01, ha="left", color=INK)
        return
    block = figure.legend(handles=handles, loc="outside upper left", ncols=columns, title=title, alignment="left")
    block.set_frame_on(False)
    block.get_title().set_fontsize(TITLE)
    for text in block.get_texts():
        text.set_fontsize(SMALL)


def text_config(config: Config | TextConfig) -> TextConfig:
    """The decoder's config, from a whole model's or as it is."""
    return config.text if isinstance(config, Config) else config


def by_name(configs: Any) -> dict[str, TextConfig]:
    """{name: decoder config} from such a mapping, or from one config, which is then called "this model"."""
    if isinstance(configs, Config | TextConfig):
        return {"this model": text_config(configs)}
    return {name: text_config(config) for name, config in configs.items()}


def kind_colour(kind: str, shared: bool = False) -> str:
    """Blue for local, orange for global; the lighter tint for a layer that reads another layer's keys and values."""
    if kind == GLOBAL:
        return GLOBAL_SHARED if shared else GLOBAL_COLOUR
    return LOCAL_SHARED if shared else LOCAL_COLOUR


def kind_name(kind: str) -> str:
    """ "global" or "local"."""
    return "global" if kind == GLOBAL else "local"


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib import font_manager

    path = font_manager.findfont(font_manager.FontProperties(family=mpl.rcParams["font.family"]))
    return frozenset(font_manager.get_font(path).get_charmap())


def printable(token: Any, longest: int = 12) -> str:
    """A token as a tick label: line ends made visible, letters the font lacks as U+XXXX, long ones cropped with …"""
    text = str(token).replace("\n", "↵").replace("\t", "⇥").replace("\r", "␍")
    text = "".join(c if ord(c) in _glyphs() and c.isprintable() else f"U+{ord(c):04X}" for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def whole_ticks(axis: Any) -> None:
    """Whole numbers only along this axis (``axes.xaxis`` or ``axes.yaxis``)."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


class PlainLog(LogFormatter):
    """Ticks of a logarithmic axis as people write them: 0.1, 1, 2, 3, 10."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def token_ticks(axes: Axes, tokens: Sequence | None, which: str = "x", inches: float = 4.5, longest: int = 12) -> str:
    """Tokens as tick labels along one axis of about ``inches``: as many as fit at 11 pt, rotated on the x axis.

    tokens None: positions have no names, and a few are numbered.
    Returns "" or, when not every token has room, the sentence that says so (give it to ``note``).
    """
    if which not in ("x", "y"):
        raise InputError(f"which is {which!r}; expected 'x' or 'y'")
    if tokens is None:
        whole_ticks(axes.xaxis if which == "x" else axes.yaxis)
        return ""
    room = max(2, int(inches / (SMALL * 1.25 / 72)))  # labels that fit side by side
    step = -(-len(tokens) // room)
    at = list(range(0, len(tokens), step))
    labels = [printable(tokens[i], longest) for i in at]
    if which == "x":
        upright = all(len(label) <= 2 for label in labels) and len(at) * 0.26 < inches
        axes.set_xticks(at, labels, rotation=0 if upright else 90, fontsize=SMALL, parse_math=False)
    else:
        axes.set_yticks(at, labels, fontsize=SMALL, parse_math=False)
    return "" if step == 1 else f"Every {_ordinal(step)} of {len(tokens)} tokens is labelled."


def _ordinal(n: int) -> str:
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"


def indices(n: int) -> list[str]:
    """Labels 0 … n-1, for an axis whose tokens are not named."""
    return [str(i) for i in range(n)]


def cell_inches(count: int, most: float, least: float = 1.2, each: float = 0.24) -> float:
    """How long an axis of ``count`` cells should be: ``each`` inches a cell, kept between ``least`` and ``most``."""
    return float(np.clip(count * each, least, most))


def binary(number: float) -> str:
    """Bytes for people: 5,120 B, 17.5 KiB, 4.375 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(number) < 1024 or unit == "TiB":
            return f"{number:,.0f} B" if unit == "B" else f"{number:,.4g} {unit}"
        number /= 1024
    raise AssertionError


def tokens_text(count: float) -> str:
    """A length of text: 512, 4K, 128K, 256K (K is 1,024 tokens)."""
    return f"{count / 1024:g}K" if count >= 1024 and count % 1024 == 0 else f"{count:,.0f}"


def save(figure: Figure, path: str | Path, dpi: int = 160) -> tuple[Path, Path]:
    """Write ``path`` as .png and as .svg (the same bytes every time) and return both paths."""
    stem = Path(path).with_suffix("") if Path(path).suffix in (".png", ".svg") else Path(path)
    png, svg = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".svg")
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    with mpl.rc_context({"svg.hashsalt": "minigemma"}):
        figure.savefig(svg, bbox_inches="tight", metadata={"Date": None})
    return png, svg
