"""How the checkpoints learned: ``python -m training.curves`` draws ``results/NAME_curve.json`` as PNG and SVG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from minigemma.plots import save, style

RESULTS = Path(__file__).parent / "results"
PANELS = {  # title -> what is drawn; the losses in nats per token, the rest as shares of right answers
    "Loss on text (nats per token)": ("loss prose", "loss python", "loss arithmetic"),
    "Stories": ("recall",),
    "Pictures": ("digit", "digits", "colour", "shape", "count", "exists", "relation", "describe"),
    "Sounds": ("speech known", "speech voice", "speech speed", "both"),
}


def curves(points: list[dict], title: str) -> Figure:
    """Figures on the validation split against minutes of training. points: as ``train.py`` writes them."""
    points = [point for point in points if "valid" in point]
    panels = {name: kinds for name, kinds in PANELS.items() if any(k in points[-1]["valid"] for k in kinds)}
    figure = style.canvas(12, 3.4 * -(-len(panels) // 2))
    grid = figure.add_gridspec(-(-len(panels) // 2), 2)
    for i, (name, kinds) in enumerate(panels.items()):
        share = "nats" not in name
        axes = style.panel(figure, grid[i // 2, i % 2], name, "minutes of training", "right" if share else "")
        for kind, colour, dash in zip(kinds, style.SERIES, style.DASHES, strict=False):
            found = [(p["minutes"], p["valid"][kind]) for p in points if kind in p["valid"]]
            if found:
                axes.plot(*zip(*found, strict=True), color=colour, linestyle=dash, label=kind.removeprefix("loss "))
        if share:
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter("{x:.0%}")
        style.legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.02))  # beside the lines, never over them
    style.headline(figure, title)
    return figure


def main(argv: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--results", type=Path, default=RESULTS)
    folder = ask.parse_args(argv).results
    for file in sorted(folder.glob("*_curve.json")):
        name = file.stem.removesuffix("_curve")
        title = f"{name}: the validation split while training"
        figure = curves(json.loads(file.read_text(encoding="utf-8")), title)
        print(*save(figure, folder / f"{name}_curve", dpi=100))


if __name__ == "__main__":
    main()
