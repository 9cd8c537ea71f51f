"""A sequence as a strip: tokens with their ids, and runs of text, image and sound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigemma.errors import InputError
from minigemma.plots import style

PER_LINE, MOST = 10, 120  # tokens a line; tokens drawn at most
SOURCE = {"text": style.TEXT_TOKEN, "image": style.IMAGE_TOKEN, "audio": style.AUDIO_TOKEN}


def token_strip(
    tokens: Sequence[str],
    ids: Sequence[int] | None = None,
    sources: Sequence[str] | None = None,
    *,
    title: str = "Text cut into tokens",
) -> Figure:
    """Tokens as boxes in reading order, their ids beneath. sources: "text", "image" or "audio" for each, as colour."""
    if not len(tokens) or (ids is not None and len(ids) != len(tokens)):
        raise InputError(
            f"{len(tokens)} tokens and {len(tokens) if ids is None else len(ids)} ids; expected as many, some"
        )
    kinds = ["text"] * len(tokens) if sources is None else _known(sources, len(tokens))
    shown = min(len(tokens), MOST)
    lines = -(-shown // PER_LINE)
    figure, axes = style.single(
        title,
        "token, its id beneath" if ids is not None else "token",
        "position of the first",
        width=10,
        height=1.3 + 0.72 * lines,
        frame=False,
    )
    for i in range(shown):
        x, y = i % PER_LINE, i // PER_LINE
        axes.add_patch(Rectangle((x + 0.03, y + 0.08), 0.94, 0.44, facecolor=SOURCE[kinds[i]], alpha=0.55))
        label = {"ha": "center", "va": "center", "fontsize": style.SMALL, "parse_math": False}
        axes.text(x + 0.5, y + 0.3, style.printable(tokens[i], 11), **label)
        if ids is not None:
            axes.text(x + 0.5, y + 0.7, f"{ids[i]}", color=style.MUTED, **label)
    axes.set(xlim=(0, min(PER_LINE, max(shown, 4))), ylim=(lines, 0), xticks=[])
    axes.set_yticks([y + 0.3 for y in range(lines)], [str(y * PER_LINE) for y in range(lines)], fontsize=style.SMALL)
    if shown < len(tokens):
        style.note(figure, f"The first {shown} of {len(tokens)} tokens are shown.")
    return figure


def sequence_strip(sources: Sequence[str], *, title: str = "One sequence: text, image and sound") -> Figure:
    """Runs of text, image and audio tokens along one sequence. sources: one of these words for every token."""
    kinds = _known(sources, len(sources))
    if not kinds:
        raise InputError("sources is empty; expected 'text', 'image' or 'audio' for every token")
    edges = [0, *(i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]), len(kinds)]
    figure = style.canvas(10, 2.3)
    axes = style.panel(figure, 111, "", "position", "", frame=False)
    for start, end in pairwise(edges):
        axes.add_patch(Rectangle((start, 0), end - start, 1, facecolor=SOURCE[kinds[start]], edgecolor="white"))
        if end - start > len(kinds) / 40:
            axes.text((start + end) / 2, 0.5, str(end - start), ha="center", va="center", fontsize=style.TEXT)
    axes.set(xlim=(0, len(kinds)), ylim=(0, 1), yticks=[])
    counts = {f"{name}: {kinds.count(name)} tokens": SOURCE[name] for name in SOURCE if name in kinds}
    style.headline(figure, title, style.patches(**counts), columns=3)
    return figure


def _known(sources: Sequence[str], count: int) -> list[str]:
    kinds = list(sources)
    if len(kinds) != count or not set(kinds) <= set(SOURCE):
        raise InputError(f"sources are {sorted(set(kinds))} for {count} tokens; expected text, image or audio for each")
    return kinds
