"""Images in the decoder's masks: what the rule of the large models changes, and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.errors import InputError
from minigemma.interleaving import image_block_ends, interval_mask, visible_keys
from minigemma.plots import style
from minigemma.plots.picture import grid_lines
from minigemma.vision.numbers import image_runs


def image_mask(is_image: np.ndarray, window: int, tokens: Sequence[str] | None = None) -> Figure:
    """An image in the masks of local and global layers, without (E2B, E4B) and with the rule of 26B-A4B and 31B.

    is_image (T,): which tokens stand for image patches. With the rule, tokens of one image see each other in local
    layers, as far back as the window reaches; global layers stay causal. Exact for any weights.
    """
    is_image = np.asarray(is_image, bool)
    if tokens is not None and len(tokens) != len(is_image):
        raise InputError(f"{len(tokens)} tokens were given for a mask of {len(is_image)}")
    ends = image_block_ends(is_image)
    figure = style.canvas(9.2, 9.6)
    for row, (kind, reach) in enumerate((("local", window), ("global", None))):
        rule, block_end = ("images see themselves", ends) if kind == "local" else ("still causal", None)
        rules = (("causal (E2B, E4B)", None), (f"{rule} (26B-A4B, 31B)", block_end))
        for column, (rule, block_end) in enumerate(rules):
            axes = style.panel(figure, (2, 2, 2 * row + column + 1), f"{kind}: {rule}", "key", "query", frame=False)
            _mask(axes, is_image, reach, block_end, tokens)
    colours = {
        "seen": style.TEXT_TOKEN,
        "seen, both are image tokens": style.LOCAL_COLOUR,
        "seen only because of the rule": style.IMAGE_TOKEN,
        "hidden": style.FAINT,
    }
    handles = [Rectangle((0, 0), 1, 1, color=colour, label=label) for label, colour in colours.items()]
    style.headline(figure, f"Image tokens in the masks (window {window})", handles, columns=2)
    return figure


def _mask(
    axes: Axes, is_image: np.ndarray, window: int | None, block_end: np.ndarray | None, tokens: Sequence[str] | None
) -> None:
    """One mask, every image framed."""
    T = len(is_image)
    causal = interval_mask(*visible_keys(np.arange(T), window), T)
    seen = interval_mask(*visible_keys(np.arange(T), window, block_end), T)
    colours = np.full((T, T, 3), to_rgb(style.FAINT))
    colours[seen] = to_rgb(style.TEXT_TOKEN)
    colours[seen & is_image[:, None] & is_image] = to_rgb(style.LOCAL_COLOUR)
    colours[seen & ~causal] = to_rgb(style.IMAGE_TOKEN)
    axes.imshow(colours, interpolation="nearest")
    for run in image_runs(is_image):
        corner, size = (run.start - 0.5, run.start - 0.5), run.stop - run.start
        axes.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=style.INK, lw=1.8, zorder=5))
    if T <= 48:
        grid_lines(axes, T, T, 1, "white", 0.6)
    style.token_ticks(axes, tokens, "x", 3.6)
    style.token_ticks(axes, tokens, "y", 3.6)
