"""Helping losses on the soft tokens: what lies under each, where it is, and which words are said.

A short answer in words is little to learn an encoder from. So while training, small linear heads also read every soft
token of a picture (shape, colour and digit under it, whether a thing's middle is there, and its place) and the words of
a sound (connectionist temporal classification, Graves et al. 2006). Two more read the words of a question behind the
decoder's first global layer: where the one thing is that a word names, or how many there are. And two read a thing in
a story, who has it: before that layer where it is told, behind it where it is asked. All are thrown away.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import speech
from .pictures import COLOURS, SHAPES, Scene
from .text import NAMES

CELL = 48  # pixels of a soft token's side
WORDS = sorted({word for phrase in speech.PHRASES for word in phrase.split()})
SIZES = {"shape": len(SHAPES) + 1, "colour": len(COLOURS) + 1, "digit": 11, "middle": 2}  # class 0: nothing here
PLACES = 4.0  # weight of the distances, which are parts of 480 pixels
MOST = 6  # things to count; "none" is a number too


def cell_labels(made: Scene) -> dict[str, np.ndarray]:
    """What lies under each soft token of a picture, row by row: {"shape", "colour", "digit", "middle": (n,),
    "place": (n, 2)}."""
    w, h = made["size"]
    x, y = np.meshgrid(np.arange(w // CELL) * CELL + CELL / 2, np.arange(h // CELL) * CELL + CELL / 2)
    labels = {name: np.zeros(x.shape, np.int64) for name in SIZES}
    for thing in made.get("things", ()):
        reach = max(thing["radius"] * 0.8, CELL * 0.71)  # at least the cell that its middle is in
        under = (x - thing["at"][0]) ** 2 + (y - thing["at"][1]) ** 2 <= reach**2
        labels["shape"][under] = SHAPES.index(thing["shape"]) + 1
        labels["colour"][under] = list(COLOURS).index(thing["colour"]) + 1
        labels["middle"][min(thing["at"][1] // CELL, h // CELL - 1), min(thing["at"][0] // CELL, w // CELL - 1)] = 1
    for one in made.get("digits", ()):
        reach = one["side"] * 0.38
        under = (abs(x - one["at"][0]) <= reach) & (abs(y - one["at"][1]) <= reach)
        labels["digit"][under] = one["label"] + 1
    place = np.stack([x, y], -1).reshape(-1, 2).astype(np.float32) / 480
    return {name: label.reshape(-1) for name, label in labels.items()} | {"place": place}


class Heads(nn.Module):
    """Linear readers of the soft tokens that the model's two projectors give out in a forward pass, and of words."""

    def __init__(self, model: nn.Module, width: int):
        super().__init__()
        self.readers = nn.ModuleDict({name: nn.Linear(width, n) for name, n in SIZES.items()})
        self.readers["place"] = nn.Linear(width, 2)
        self.readers["words"] = nn.Linear(width, len(WORDS) + 1)
        self.readers["where"], self.readers["number"] = nn.Linear(width, 2), nn.Linear(width, MOST + 1)
        self.readers["told"], self.readers["asked"] = (nn.Linear(width, len(NAMES)) for _ in range(2))
        self.soft: dict[str, torch.Tensor] = {}
        for name in ("embed_vision", "embed_audio"):
            part = getattr(model.model, name, None)
            if part is not None:
                part.register_forward_hook(lambda _m, _i, out, name=name: self.soft.__setitem__(name, out))
        text = model.model.language_model
        first = text.config.layer_types.index("full_attention")
        for name, layer in (("before", text.layers[first - 1]), ("behind", text.layers[first])):
            layer.register_forward_hook(lambda _m, _i, out, name=name: self.soft.__setitem__(name, out))

    def read(self, name: str, soft: torch.Tensor) -> torch.Tensor:
        return self.readers[name](F.rms_norm(soft.float(), soft.shape[-1:]))

    def loss(self, labels: dict) -> torch.Tensor | float:
        """labels: of the batch that has just been run (data.Batch.labels)."""
        total: torch.Tensor | float = 0.0
        if "place" in labels:
            soft = self.soft["embed_vision"]
            for name in SIZES:
                weight = torch.ones(SIZES[name])
                weight[0] = 0.1  # most of a picture is ground
                total = total + F.cross_entropy(self.read(name, soft), labels[name], weight)
            total = total + PLACES * F.l1_loss(self.read("place", soft), labels["place"])
        before, looked = self.soft.pop("before", None), self.soft.pop("behind", None)  # none if encoders ran alone
        if "holders" in labels and looked is not None:
            row, at, name, asked = labels["holders"].unbind(1)
            for reader, hidden, those in (("told", before, asked == 0), ("asked", looked, asked == 1)):
                if those.any():
                    total = total + F.cross_entropy(self.read(reader, hidden[row[those], at[those]]), name[those])
        if "named" in labels and looked is not None:
            row, at, number = labels["named"][:, [0, 1, 4]].long().unbind(1)
            words, one = looked[row, at], number < 0
            if one.any():
                total = total + PLACES * F.l1_loss(self.read("where", words[one]), labels["named"][one, 2:4])
            if not one.all():
                total = total + F.cross_entropy(self.read("number", words[~one]), number[~one])
        if "words" in labels:
            scores = self.read("words", self.soft["embed_audio"]).log_softmax(-1).transpose(0, 1)  # (T, B, words)
            target = torch.cat([torch.tensor(w) for w in labels["words"]])
            lengths = torch.tensor([len(w) for w in labels["words"]])
            total = total + F.ctc_loss(scores, target, labels["tokens"], lengths, zero_infinity=True)
        return total


def word_ids(said: str) -> list[int]:
    """Words as classes of the sound's head; class 0 means no word."""
    return [WORDS.index(word) + 1 for word in said.split()]
