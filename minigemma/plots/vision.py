"""How Gemma 4 sees: budgets and patches, the two codes of place, who looks where, and images in the decoder's masks.

Every function takes arrays and returns a Figure. ``image`` is anything ``vision.prepare`` takes; ``positions`` (N, 2)
are the places (x, y) of its patches; a patch is named by its row in the list of patches or by its place. The axes
count patches, so a soft token is a square of 3 x 3. What is drawn from random weights means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.config import VisionConfig
from minigemma.errors import InputError
from minigemma.interleaving import image_block_ends, interval_mask, visible_keys
from minigemma.plots import style
from minigemma.plots.picture import (
    COLUMNS,
    ROWS,
    Patch,
    figure_for,
    grid_lines,
    image_frames,
    named,
    on_grid,
    outline,
    overlay,
    patch_row,
    pixels_of,
    show,
    tiles,
)
from minigemma.rope import rotation_frequencies
from minigemma.vision.image import open_image
from minigemma.vision.patches import grid
from minigemma.vision.pooling import cells
from minigemma.vision.resize import BUDGETS, PATCH, POOL, resize, size_for_budget


def patch_grid(image: Any, budget: int = 280) -> Figure:
    """The picture as the encoder gets it: resized for the budget, cut into patches (thin) and soft tokens (thick)."""
    pixels = resize(image, budget)
    rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
    tokens = rows * columns // POOL**2
    figure = figure_for(columns, rows, 8.0)
    title = f"{columns} × {rows} = {rows * columns:,} patches → {tokens} of {budget} soft tokens"
    axes = style.panel(figure, 111, title, COLUMNS, ROWS, frame=False)
    show(axes, pixels, columns, rows)
    grid_lines(axes, columns, rows, 1, "white", 0.4)
    grid_lines(axes, columns, rows, POOL, style.IMAGE_TOKEN, 1.4)
    given = open_image(image)
    style.note(
        figure,
        f"{given.width} × {given.height} pixels given, {pixels.shape[1]} × {pixels.shape[0]} after resizing; "
        f"a patch is {PATCH} × {PATCH} pixels, a soft token {POOL} × {POOL} patches.",
    )
    return figure


def budgets(image: Any, choices: Sequence[int] = BUDGETS) -> Figure:
    """One picture at every budget of soft tokens, and how much of each budget its shape can use."""
    image = open_image(image)
    resized = {budget: resize(image, budget) for budget in choices}
    across = min(3, len(choices) + 1)
    down = -(-(len(choices) + 1) // across)
    figure = style.canvas(3.9 * across, down * (3.6 * min(1.5, max(0.5, image.height / image.width)) + 0.95))
    used = []
    for i, (budget, pixels) in enumerate(resized.items()):
        rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
        used.append(rows * columns // POOL**2)
        title = f"budget {budget}: {used[-1]} tokens\n{pixels.shape[1]} × {pixels.shape[0]} pixels"
        axes = style.panel(figure, (down, across, i + 1), title, COLUMNS, ROWS, frame=False)
        show(axes, pixels, columns, rows)
        grid_lines(axes, columns, rows, POOL, style.IMAGE_TOKEN, 0.8)
    axes = style.panel(figure, (down, across, len(resized) + 1), "tokens used", "soft tokens", "budget")
    places = np.arange(len(used))
    axes.barh(places, list(resized), color=style.FAINT, height=0.7)
    axes.barh(places, used, color=style.IMAGE_TOKEN, height=0.7)
    for place, (budget, count) in enumerate(zip(resized, used, strict=True)):
        axes.text(budget, place, f" {count / budget:.0%}", va="center", fontsize=style.SMALL, color=style.INK)
    axes.set_yticks(places, [str(budget) for budget in resized])
    axes.set_xlim(0, max(resized) * 1.2)
    axes.invert_yaxis()
    return figure


def budget_calculator(width: int, height: int, budget: int = 280) -> Figure:
    """What becomes of width × height pixels: the new size, patches and soft tokens, beside the other budgets."""
    new_height, new_width = size_for_budget(height, width, budget)
    columns, rows = new_width // PATCH, new_height // PATCH
    figure = style.canvas(10.5, 4.2)
    title = f"{width} × {height} → {columns * rows // POOL**2} soft tokens"
    axes = style.panel(figure, (1, 2, 1), title, "width (pixels)", "height (pixels)")
    axes.add_patch(Rectangle((0, 0), new_width, new_height, facecolor="#FCEFD2", edgecolor="none"))
    longest = max(width, height, new_width, new_height)
    line = float(np.clip(20 * PATCH * POOL / longest, 0.15, 0.9))  # points: a tenth of a cell, about
    grid_lines(axes, new_width, new_height, PATCH * POOL, style.IMAGE_TOKEN, line, origin=0)
    axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor=style.LOCAL_COLOUR, ls="--", lw=2))
    wide, tall = float(max(width, new_width)), float(max(height, new_height))
    wide, tall = max(wide, 1.5 * tall), max(tall, wide / 1.5)  # thin pictures get room for their labels
    axes.set_xlim(-0.03 * wide, 1.03 * wide)
    axes.set_ylim(1.03 * tall, -0.03 * tall)
    axes.set_aspect("equal")

    table = style.panel(figure, (1, 2, 2), "every budget", frame=False)
    table.set_axis_off()
    lines = []
    for choice in BUDGETS:
        h, w = size_for_budget(height, width, choice)
        patches = h * w // PATCH**2
        lines.append([f"{choice:,}", f"{w} × {h}", f"{patches:,}", f"{patches // POOL**2:,}"])
    made = table.table(lines, colLabels=["budget", "pixels", "patches", "tokens"], loc="upper center", cellLoc="right")
    made.auto_set_font_size(False)
    made.set_fontsize(style.TEXT)
    made.scale(1, 1.9)
    for (row, _), cell in made.get_celld().items():
        cell.set_edgecolor(style.FAINT)
        if row and BUDGETS[row - 1] == budget:
            cell.set_facecolor("#FCEFD2")
    scale = f"width × {new_width / width:.2g}, height × {new_height / height:.2g}"
    style.note(figure, f"Dashed: the picture given. Orange: resized ({scale}), one cell a soft token.")
    return figure


def patch_numbers(shapes: Sequence[tuple[int, int]] = ((3, 3), (4, 2)), chosen: int = 4) -> Figure:
    """Why a patch's number does not say where it is: the same number in grids of different (columns, rows)."""
    figure = style.canvas(3.2 * len(shapes), 3.4)
    for i, (columns, rows) in enumerate(shapes):
        title = f"{columns} × {rows} patches"
        axes = style.panel(figure, (1, len(shapes), i + 1), title, COLUMNS, ROWS, frame=False)
        show(axes, np.full((rows, columns, 3), 245, np.uint8), columns, rows)
        grid_lines(axes, columns, rows, 1, style.MUTED, 1.0)
        for number, (x, y) in enumerate(grid(columns, rows)):
            axes.text(x, y, str(number), ha="center", va="center", fontsize=16, color=style.INK)
            if number == chosen:
                outline(axes, x, y, 1, fill=True)
    return figure


def position_tables(table: np.ndarray, places: int = 64, features: int = 64) -> Figure:
    """The two learned tables that say where a patch is: their rows, and how alike the rows of two places are.

    table (2, P, D): ``position_embedding_table``, x first. Shows the first ``places`` rows and ``features`` columns;
    the likeness is the cosine over all D.
    """
    if table.ndim != 3 or len(table) != 2:
        raise InputError(f"a table (2, places, D) was expected, {table.shape} was given")
    table = table[:, :places]
    figure = style.canvas(10.0, 7.6)
    norm = style.centred(table[:, :, :features], float(np.percentile(np.abs(table), 99)) or None)
    left, right = [], []
    for i, axis in enumerate("xy"):
        left.append(style.panel(figure, (2, 2, 2 * i + 1), f"table of {axis}", "feature", f"{axis} (patches)"))
        values = style.heatmap(left[-1], table[i, :, :features], norm, style.SIGNED)
        unit = table[i] / np.maximum(np.linalg.norm(table[i], axis=1, keepdims=True), 1e-12)
        title = f"likeness of two places in {axis}"
        right.append(style.panel(figure, (2, 2, 2 * i + 2), title, f"{axis} (patches)", f"{axis} (patches)"))
        likeness = style.heatmap(right[-1], unit @ unit.T, style.centred(np.ones(1)), style.SIGNED, aspect="equal")
    style.colour_bar(figure, values, left, "value")
    style.colour_bar(figure, likeness, right, "cosine")
    return figure


def rope2d_angles(config: VisionConfig, width: int, height: int, pairs: Sequence[int] | None = None) -> Figure:
    """The angle by which a patch's place turns a pair of coordinates: x turns the first half of a head, y the second.

    width, height: patches. pairs: which of the K/4 pairs of a half are shown, from fast (0) to slow.
    """
    frequencies = rotation_frequencies(config.head_dim // 2, config.rope_theta)  # (K/4,)
    pairs = np.linspace(0, len(frequencies) * 3 // 4, 4).astype(int).tolist() if pairs is None else list(pairs)
    x, y = grid(width, height).T.reshape(2, height, width)
    wide = 12.5
    figure = style.canvas(wide, max(4.4, 2 * (wide - 1.5) / len(pairs) * height / width + 1.6))
    panels = []
    for row, (name, place) in enumerate((("x", x), ("y", y))):
        for column, pair in enumerate(pairs):
            coordinate = pair + row * config.head_dim // 2
            title = f"pair ({coordinate}, {coordinate + config.head_dim // 4})"
            title += f"\na turn in {2 * np.pi / frequencies[pair]:.3g} patches of {name}"
            position = (2, len(pairs), row * len(pairs) + column + 1)
            panels.append(style.panel(figure, position, title, COLUMNS, ROWS, frame=False))
            angles = np.degrees(place * frequencies[pair]) % 360
            image = style.heatmap(panels[-1], angles, style.scaled(angles, top=360.0), style.CYCLIC, aspect="equal")
    style.headline(figure, "2-D RoPE: x turns the pairs of a head's first half, y those of the second")
    bar = style.colour_bar(figure, image, panels, "angle (degrees)")
    bar.set_ticks([0, 90, 180, 270, 360])
    return figure


def rope2d_similarity(config: VisionConfig, width: int, height: int, patch: Patch | None = None) -> Figure:
    """How much a patch matches a copy of itself elsewhere, through the rotation alone: x half, y half, both.

    1 at no offset; the mean cosine of the pairs' angles, which is the score of equal content spread over all pairs.
    """
    frequencies = rotation_frequencies(config.head_dim // 2, config.rope_theta)  # (K/4,)
    positions = grid(width, height)
    at = positions[patch_row(positions, (width // 2, height // 2) if patch is None else patch)]
    halves = np.cos((positions - at)[..., None] * frequencies).mean(axis=-1)  # (N, 2)
    figure = style.canvas(12.5, max(3.0, 3.6 * height / width + 1.3))
    panels = []
    for i, (name, values) in enumerate(
        (("x half", halves[:, 0]), ("y half", halves[:, 1]), ("whole head", halves.mean(axis=1)))
    ):
        panels.append(style.panel(figure, (1, 3, i + 1), name, COLUMNS, ROWS, frame=False))
        values = values.reshape(height, width)
        image = style.heatmap(panels[-1], values, style.centred(np.ones(1)), style.SIGNED, aspect="equal")
        outline(panels[-1], at[0], at[1], 1)
    style.headline(figure, f"2-D RoPE: how patch ({at[0]}, {at[1]}) would match its own content elsewhere")
    style.colour_bar(figure, image, panels, "mean cosine", shrink=0.9)
    return figure


def patch_attention(
    image: Any, positions: np.ndarray, rows: np.ndarray, patch: Patch, heads: Sequence[int] | None = None
) -> Figure:
    """Where one patch looks: the picture with the patch, the mean of all heads, and single heads over the picture.

    rows: the patch's row of the attention pattern for every head (H, N), or the whole pattern (H, N, N).
    Weights are told as multiples of an even look at all N patches.
    """
    row = patch_row(positions, patch)
    rows = rows[:, row] if rows.ndim == 3 else np.atleast_2d(rows)
    if rows.shape[1] != len(positions):
        raise InputError(f"attention to {rows.shape[1]} patches was given with positions of {len(positions)}")
    heads = list(range(min(len(rows), 6))) if heads is None else list(heads)
    even = rows * len(positions)  # 1: an even look
    maps = [("mean of all heads", even.mean(axis=0)), *((f"head {h}", even[h]) for h in heads)]
    columns, height = (int(side) for side in positions.max(axis=0) + 1)
    figure, panels = tiles(len(maps) + 1, columns, height)
    x, y = positions[row]
    show(named(panels[0], f"patch ({x}, {y})"), pixels_of(image, columns, height), columns, height)
    top = float(np.percentile(np.concatenate([values for _, values in maps]), 99.5))
    norm = style.scaled(even, "sqrt", max(top, 1.0))
    grey = pixels_of(image, columns, height, grey=True)
    for axes, (name, values) in zip(panels[1:], maps, strict=False):
        drawn = overlay(named(axes, name), grey, on_grid(values, positions), norm, columns, height)
    for axes in panels[: len(maps) + 1]:
        outline(axes, x, y, 1)
    style.colour_bar(figure, drawn, panels, "attention ÷ even attention", extend="max")
    return figure


def patch_similarity(features: np.ndarray, positions: np.ndarray, patch: Patch, image: Any) -> Figure:
    """How alike one patch's vector is to all others', as a cosine: features (N, D), e.g. ``layers.i.output``."""
    if len(features) != len(positions):
        raise InputError(f"{len(features)} features were given with positions of {len(positions)} patches")
    row = patch_row(positions, patch)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    columns, rows = (int(side) for side in positions.max(axis=0) + 1)
    figure, panels = tiles(2, columns, rows)
    x, y = positions[row]
    show(named(panels[0], f"patch ({x}, {y})"), pixels_of(image, columns, rows), columns, rows)
    values = on_grid(unit @ unit[row], positions)
    axes = named(panels[1], "cosine with that patch")
    drawn = style.heatmap(axes, values, style.centred(np.ones(1)), style.SIGNED, aspect="equal")
    for axes in panels:
        outline(axes, x, y, 1)
    style.colour_bar(figure, drawn, panels, "cosine")
    return figure


def soft_token_grid(
    image: Any, positions: np.ndarray, values: np.ndarray | None = None, token: int | None = None, label: str = "value"
) -> Figure:
    """Which part of the picture each soft token is: numbered cells, or one value a token (its norm, say) as a map.

    values (n,), told as ``label`` on the colour bar. token: outlined, with the patches it averages.
    """
    columns, rows = (int(side) for side in positions.max(axis=0) + 1)
    n = len(positions) // POOL**2
    figure = figure_for(columns, rows, 9.0)
    across = columns // POOL
    axes = style.panel(figure, 111, f"{n} soft tokens, {across} in a row", COLUMNS, ROWS, frame=False)
    corners = np.stack([np.arange(n) % across, np.arange(n) // across], axis=1) * POOL  # (n, 2) first patch of a cell
    if values is None:
        show(axes, pixels_of(image, columns, rows), columns, rows)
    else:
        if len(values) != n:
            raise InputError(f"{len(values)} values were given for {n} soft tokens")
        spread = np.asarray(values)[cells(positions)]
        norm = style.Normalize(float(np.min(values)), float(np.max(values)))
        grey = pixels_of(image, columns, rows, grey=True)
        drawn = overlay(axes, grey, on_grid(spread, positions), norm, columns, rows)
        style.colour_bar(figure, drawn, axes, label, shrink=0.8)
    grid_lines(axes, columns, rows, POOL, style.IMAGE_TOKEN if values is None else "white", 1.0)
    if values is None:
        roomy = 8.2 * POOL / columns > 0.1 + 0.1 * len(str(n))  # inches along a cell, inches of digits at 11 pt
        for i in range(0, n, 1 if roomy else across):
            x, y = corners[i] + ((POOL - 1) / 2 if roomy else (-0.3, (POOL - 1) / 2))
            box = {"facecolor": "black", "alpha": 0.45, "pad": 1.0, "edgecolor": "none"}
            side = "center" if roomy else "left"
            axes.text(x, y, str(i), fontsize=style.SMALL, color="white", bbox=box, ha=side, va="center")
        if not roomy:
            style.note(figure, "The first token of every row is numbered.")
    if token is not None:
        x, y = corners[token]
        grid_lines(axes, POOL, POOL, 1, "white", 0.8, offset=(x, y))
        outline(axes, x, y, POOL)
    return figure


def soft_token_attention(
    image: Any,
    positions: np.ndarray,
    weights: np.ndarray,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Which parts of the picture text tokens look at: one map a text token.

    weights (Q, n) or (n,): attention of Q text tokens to the image's n soft tokens (a layer's pattern, averaged over
    heads or one head, cut to the image's columns). labels: the Q tokens.
    """
    weights = np.atleast_2d(weights)
    n = len(positions) // POOL**2
    if weights.shape[1] != n:
        raise InputError(f"attention to {weights.shape[1]} soft tokens was given, the picture has {n}")
    columns, rows = (int(side) for side in positions.max(axis=0) + 1)
    figure, panels = tiles(len(weights), columns, rows)
    norm = style.scaled(weights, "sqrt", float(np.percentile(weights, 99.5)) or None)
    grey, cell = pixels_of(image, columns, rows, grey=True), cells(positions)
    for i, axes in enumerate(panels[: len(weights)]):
        name = style.printable(labels[i]) if labels is not None else f"token {i}"
        named(axes, f"“{name}”: {weights[i].sum():.0%} on the image")
        drawn = overlay(axes, grey, on_grid(weights[i][cell], positions), norm, columns, rows)
    style.colour_bar(figure, drawn, panels, "attention weight", extend="max")
    return figure


def image_mask(is_image: np.ndarray, window: int, tokens: Sequence[str] | None = None) -> Figure:
    """An image in the masks of local and global layers, without (E2B, E4B) and with the rule of 26B-A4B and 31B.

    is_image (T,): which tokens stand for image patches. With the rule, tokens of one image see each other in local
    layers, as far back as the window reaches; global layers stay causal. Exact for any weights.
    """
    is_image = np.asarray(is_image, bool)
    T = len(is_image)
    positions, ends = np.arange(T), image_block_ends(is_image)
    figure = style.canvas(9.6, 10.2)
    kinds = (("local", window), ("global", None))
    rules = (("causal (E2B, E4B)", None), ("images see themselves (26B-A4B, 31B)", ends))
    for row, (kind, reach) in enumerate(kinds):
        causal = interval_mask(*visible_keys(positions, reach), T)
        for column, (rule, block_end) in enumerate(rules):
            block_end = block_end if kind == "local" else None
            seen = interval_mask(*visible_keys(positions, reach, block_end), T)
            title = f"{kind}: {rule if row == 0 or column == 0 else 'still causal (26B-A4B, 31B)'}"
            axes = style.panel(figure, (2, 2, 2 * row + column + 1), title, "key", "query", frame=False)
            colours = np.full((T, T, 3), to_rgb(style.FAINT))
            colours[seen] = to_rgb(style.TEXT_TOKEN)
            colours[seen & is_image[:, None] & is_image[None, :]] = to_rgb(style.LOCAL_COLOUR)
            colours[seen & ~causal] = to_rgb(style.IMAGE_TOKEN)
            axes.imshow(colours, interpolation="nearest")
            image_frames(axes, is_image, ends)
            if tokens is not None:
                style.token_ticks(axes, tokens, "x", 3.8)
                style.token_ticks(axes, tokens, "y", 3.8)
            else:
                ticks = np.arange(0, T, max(1, 5 * round(T / 30)))
                axes.set_xticks(ticks)
                axes.set_yticks(ticks)
            if T <= 48:
                grid_lines(axes, T, T, 1, "white", 0.6)
    handles = [
        Rectangle((0, 0), 1, 1, color=style.TEXT_TOKEN, label="seen"),
        Rectangle((0, 0), 1, 1, color=style.LOCAL_COLOUR, label="seen, both are image tokens"),
        Rectangle((0, 0), 1, 1, color=style.IMAGE_TOKEN, label="seen only because of the rule"),
        Rectangle((0, 0), 1, 1, color=style.FAINT, label="hidden"),
    ]
    style.headline(figure, f"Image tokens in the masks (window {window})", handles, columns=2)
    return figure
