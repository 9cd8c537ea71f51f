"""Rotation: the hands of a real key over positions, and the map of all angles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.explore.base import Explorer, Reader, choice, play, slider, stops, text
from minigemma.model import Gemma4
from minigemma.rope import rotation_frequencies

SHARES = {"0": 0.0, "⅛": 0.125, "¼": 0.25, "½": 0.5, "¾": 0.75, "1": 1.0}  # of the pairs


def rotation_clocks(model: Gemma4, sentence: str, layer: int = 0) -> Explorer:
    """A token's key, pair by pair, turned to any position: as clock hands of their real lengths.

    The key is the one the layer makes (or reads, where it shares) for a token of the text, normed and not yet turned.
    """
    read = Reader(model, "layers.*.attention.keys_normed")
    first = read(sentence)

    def fit(controls: Mapping[str, Any]) -> None:
        controls["token"].max = len(read(controls["sentence"].value).tokens) - 1

    def draw(sentence, layer, token, position) -> Figure:
        reading, spec = read(sentence), model.schedule[layer]
        vector = reading.trace[f"layers.{spec.kv_source}.attention.keys_normed"][token, 0]  # (K,) of KV head 0
        frequencies = rotation_frequencies(spec.head_dim, spec.rope_theta, spec.rope_fraction)
        kind = "local" if spec.is_local else "global"
        title = f"Layer {layer} ({kind}): the key of token {token}, “{reading.tokens[token]}”, at position {position}"
        return plots.clock_faces(frequencies, position, vector=vector, title=title)

    position = slider("position", 0, 64, 5)
    controls = {
        "sentence": text("text", sentence),
        "layer": slider("layer", 0, len(model.schedule) - 1, layer),
        "token": slider("token", 0, len(first.tokens) - 1, 1),
        "position": position,
    }
    return Explorer(draw, controls, beside=[play(position)], adapt=fit)


def angle_map(width: int = 512) -> Explorer:
    """Angle of every pair at every position: full rotation beside a share of it, for any theta and length."""

    def draw(theta, share, length) -> Figure:
        every, some = rotation_frequencies(width, theta), rotation_frequencies(width, theta, share)
        powers = 4 ** np.arange(10)  # what the axis labels
        positions = np.union1d(np.geomspace(1, length, 600).astype(int), powers[powers <= length])
        maps = {"every pair turns": every, f"p = {share:g}: {np.count_nonzero(some)} of {width // 2} pairs turn": some}
        title = f"Angle of every pair, theta {theta:,.0f}, head of {width}"
        return plots.rope_angles(maps, positions, title=title)

    controls = {
        "theta": choice("theta", {"10,000 (local layers)": 1e4, "1,000,000 (global layers)": 1e6}, 1e6),
        "share": stops("share p that turns", SHARES, 0.25),
        "length": stops("up to position", {"32": 32, "512": 512, "8K": 8192, "128K": 2**17, "256K": 2**18}, 2**18),
    }
    return Explorer(draw, controls)
