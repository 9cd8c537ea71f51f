"""Batches for training and validation: token ids, loss weights, and the pictures and sounds that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor

from minigemma.evaluation.sounds import with_noise

from . import pictures, speech, text
from .apart import positions
from .auxiliary import cell_labels, word_ids

DOMAINS = ("prose", "python", "arithmetic")
SPOKEN_IN = "Write down what is said."
SPOKEN_QUESTION = "Answer the spoken question."


@dataclass
class Sample:
    """One sequence: pieces of text with loss weights, soft tokens between them, and which answers can be scored."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)  # 0: shared by all questions; then the number of the question
    answers: list[tuple[int, int, str]] = field(default_factory=list)  # first id, end, kind


@dataclass
class Batch:
    kind: str
    inputs: dict[str, torch.Tensor]
    weights: torch.Tensor  # (B, T)
    answers: list[list[tuple[int, int, str]]]
    labels: dict[str, Any] = field(default_factory=dict)  # for auxiliary.Heads
    branches: torch.Tensor | None = None  # (B, T), where questions do not see each other


class Data:
    """Endless batches of each kind for one split. ``work``: where the tokenizer and the spoken clips are kept."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        work: Path,
        split: str = "train",
        seed: int = 0,
        audio: bool = True,
        small: bool = False,
    ):
        self.tokenizer, self.split = tokenizer, split
        self.things = named_things(tokenizer)
        self.names = {tokenizer.token_to_id(mark + name): i for i, name in enumerate(text.NAMES) for mark in ("▁", "")}
        self.random, self.noise = Random(f"{seed} {split}"), np.random.default_rng([seed, len(split)])
        self.cache: dict[str, list[int]] = {}
        self.id = {
            t: tokenizer.token_to_id(t)
            for t in ("<bos>", "<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>")
        }
        lines = 2_000 if small else 100_000
        raw = {
            "prose": text.prose(split),
            "python": text.python_source(split),
            "arithmetic": text.arithmetic(Random(f"sums {split}"), lines if split == "train" else 2_000),
        }
        size = 200_000 if small else None
        self.streams = {
            d: np.array([i for e in tokenizer.encode_batch(_parts(raw[d][:size])) for i in e.ids], np.int64)
            for d in DOMAINS
        }
        self.clips: dict[str, list[dict]] = {}
        if audio:
            count = 60 if small else 4000 if split == "train" else 200
            for held in ("",) if split == "train" else ("", "voice", "speed"):
                which = "" if split == "train" else "_" + (held or "known")
                name = f"speech_{split}{'_small' if small else ''}{which}.npz"
                self.clips[held or "known"] = speech.load_or_make(
                    work / name, count, {"train": 11, "valid": 12}[split], held
                )
        self.mel = Gemma4AudioFeatureExtractor()

    # -- one sample ------------------------------------------------------------------------------------------------
    def encode(self, piece: str) -> list[int]:
        if piece not in self.cache:
            if len(self.cache) > 200_000:
                self.cache.clear()
            self.cache[piece] = self.tokenizer.encode(piece).ids
        return self.cache[piece]

    def _sample(
        self, pieces: text.Pieces, kinds: list[str], soft: dict[str, int] | None = None, apart: bool = False
    ) -> Sample:
        """kinds: of the pieces with weight 1, in order. soft: placeholder -> number of soft tokens it stands for.

        apart: the first piece is shared; the others are questions and answers by turns, each pair a branch of its own.
        """
        sample, kinds = Sample([self.id["<bos>"]], [0.0], [0]), list(kinds)
        for number, (piece, weight) in enumerate(pieces):
            ids: list[int] = []
            for i in self.encode(piece):
                if soft and i in (self.id["<|image|>"], self.id["<|audio|>"]):
                    what = "image" if i == self.id["<|image|>"] else "audio"
                    ids += [self.id[f"<|{what}>"], *[i] * soft[what], self.id[f"<{what}|>"]]
                else:
                    ids.append(i)
            if weight == 1.0:
                sample.answers.append((len(sample.ids), len(sample.ids) + len(ids), kinds.pop(0)))
            sample.ids += ids
            sample.weights += [weight] * len(ids)
            sample.branches += [(number + 1) // 2 if apart else 0] * len(ids)
        return sample

    def _asked(self, lead: str, turns: list[pictures.QA], soft: dict[str, int], apart: bool = False) -> Sample:
        """Questions in turns of one talk; or, ``apart``, each as the first."""
        pieces: text.Pieces = [(f"<|turn>user\n{lead}", 0.0)] if apart else []
        for i, (question, answer, _) in enumerate(turns):
            opening = "" if apart else f"<|turn>user\n{lead}" if i == 0 else "\n<|turn>user\n"
            pieces += [(f"{opening}{question}<turn|>\n<|turn>model\n", 0.0), (f"{answer}<turn|>", 1.0)]
        return self._sample(pieces, [kind for _, _, kind in turns], soft, apart)

    # -- batches ---------------------------------------------------------------------------------------------------
    def batch(self, kind: str, size: int) -> Batch:
        make: Callable[[int], Batch] = getattr(self, f"_{kind}")
        return make(size)

    def _pad(self, kind: str, samples: list[Sample], **inputs: torch.Tensor) -> Batch:
        length = max(len(s.ids) for s in samples)
        ids = torch.zeros(len(samples), length, dtype=torch.long)
        weights = torch.zeros(len(samples), length)
        for row, s in enumerate(samples):
            ids[row, : len(s.ids)] = torch.tensor(s.ids)
            weights[row, : len(s.ids)] = torch.tensor(s.weights)
        types = (ids == self.id["<|image|>"]) * 1 + (ids == self.id["<|audio|>"]) * 3
        batch = Batch(
            kind, {"input_ids": ids, "mm_token_type_ids": types, **inputs}, weights, [s.answers for s in samples]
        )
        if any(any(s.branches) for s in samples):
            batch.branches = torch.tensor([s.branches + [0] * (length - len(s.ids)) for s in samples])
            batch.inputs["position_ids"] = torch.tensor([positions(s.branches, length) for s in samples])
        return batch

    def chunk(self, domain: str, length: int) -> list[int]:
        stream = self.streams[domain]
        start = self.random.randrange(len(stream) - length)
        return stream[start : start + length].tolist()

    def _text(self, size: int, length: int = 192) -> Batch:
        rows = []
        for i in range(size):
            domain = ("prose", "python", "arithmetic", "prose", "python")[i % 5]
            rows.append(Sample([self.id["<bos>"], *self.chunk(domain, length)], [0.0] + [1.0] * length))
        return self._pad("text", rows)

    def _recall(self, size: int) -> Batch:
        """Stories with questions, each asked by itself or in one talk; in training every question several times."""
        samples, learning = [], self.split == "train"
        kinds = text.BACKWARDS if learning else range(5)
        for _ in range(size):
            kind = self.random.choice(
                ("story", "story", "chat", "apart", "apart", "apart", "sums") if learning else ("apart",)
            )
            if kind == "sums":
                pieces, asked = text.chat_sums(self.random, 12), 12
            else:
                n, fillers = self.random.choice((1, 2, 3, 4, 5, 6, 8)), self.random.choice((0, 2, 6, 12, 18, 24))
                n = min(n, 5) if fillers < 6 else n
                asked = min(3 * n, 12 if kind == "story" else 8) if learning else n
                pieces = text.story(self.random, n, fillers, form=kind, questions=asked, kinds=kinds)
            found = ["sum" if kind == "sums" else "recall"] * asked
            samples.append(self._sample(pieces, found, apart=kind == "apart"))
        batch = self._pad("recall", samples)
        if holders := [found for row, sample in enumerate(samples) for found in self._holders(row, sample)]:
            batch.labels["holders"] = torch.tensor(holders)
        return batch

    def _holders(self, row: int, sample: Sample) -> list[tuple[int, int, int, int]]:
        """(row, token, number of a name, 0 or 1) for every thing that somebody has (0) or that is asked for (1)."""
        has_the, who = self.encode(" has the"), self.tokenizer.token_to_id("Who")
        held: dict[int, int] = {}
        found = []
        for at in range(3, len(sample.ids)):
            first, *between, thing = sample.ids[at - 3 : at + 1]
            if between == has_the and first in self.names:
                held[thing] = self.names[first]
                found.append((row, at, held[thing], 0))
            elif between == has_the and first == who and thing in held:
                found.append((row, at, held[thing], 1))
        return found

    def _repeat(self, size: int) -> Batch:
        length = self.random.randint(8, 40)
        return self._pad("repeat", [self._sample(text.repeated(self.random, length), []) for _ in range(size)])

    def _pictures(self, kind: str, size: int, aspect: tuple[int, int] | None) -> Batch:
        budget = 140 if self.split == "train" and self.random.random() < 0.06 else 70
        size = size if budget == 70 else max(1, size // 2)
        wh = pictures.size_for(aspect or self.random.choice(pictures.ASPECTS), budget)
        apart = self.split != "train" or self.random.random() < 0.75
        samples, pixels, labels, named = [], [], [], []
        for row in range(size):
            if kind == "digits":
                number = self.random.choice((1, 1, 2, 3)) if wh[0] >= 0.7 * wh[1] else self.random.choice((1, 1, 2))
                made, turns = pictures.digit_scene(self.random, wh, self.split, number)
            else:
                made = pictures.scene(self.random, wh)
                relations = self.random.choice((2, 12)) if self.split == "train" else 2
                turns = self._hardest(pictures.scene_questions(self.random, made, relations))[:12]
            pixels.append(pictures.patches(pictures.draw(made)))
            labels.append(cell_labels(made))
            samples.append(self._asked("<|image|>", turns, {"image": wh[0] * wh[1] // 2304}, apart))
            named += self._named(row, samples[-1], made)
        batch = self._pad(kind, samples, **self._seen(pixels, wh))
        batch.labels = _joined(labels)
        if named:
            batch.labels["named"] = torch.tensor(named)
        return batch

    def _named(self, row: int, sample: Sample, made: pictures.Scene) -> list[tuple[float, ...]]:
        """(row, token, x, y, number) for every word of a question that names things: where the one is, or how many."""
        found = []
        for at, (i, weight) in enumerate(zip(sample.ids, sample.weights, strict=True)):
            if i in self.things and weight == 0.0:
                word, many = self.things[i]
                those = [t for t in made.get("things", ()) if word in (t["shape"], t["colour"], "shape")]
                if many:
                    found.append((row, at, -1.0, -1.0, len(those)))
                elif len(those) == 1:
                    found.append((row, at, *(c / 480 for c in those[0]["at"]), -1))
        return found

    def _hardest(self, turns: list[pictures.QA]) -> list[pictures.QA]:
        """In training what is learned last comes in more often: of colour and existence only one question each."""
        if self.split != "train":
            return turns
        easy = {kind: [t for t in turns if t[2] == kind][1:] for kind in ("colour", "exists")}
        return [t for t in turns if t not in easy.get(t[2], ())]

    def _seen(self, pixels: list[np.ndarray], wh: tuple[int, int]) -> dict[str, torch.Tensor]:
        where = torch.from_numpy(pictures.positions(wh)).expand(len(pixels), -1, -1)
        return {"pixel_values": torch.from_numpy(np.stack(pixels)).float() / 255, "image_position_ids": where}

    def _heard(self, sounds: list[np.ndarray]) -> tuple[dict[str, torch.Tensor], list[int]]:
        mels, masks = [], []
        for sound in sounds:
            out = self.mel([with_noise(sound, self.noise)])
            mels.append(out["input_features"][0])
            masks.append(out["input_features_mask"][0])
        length = max(len(m) for m in mels)
        features, mask = np.zeros((len(mels), length, 128), np.float32), np.zeros((len(mels), length), bool)
        for row, (m, k) in enumerate(zip(mels, masks, strict=True)):
            features[row, : len(m)], mask[row, : len(k)] = m, k
        tokens = [int(k[::2][::2].sum()) for k in mask]
        return {"input_features": torch.from_numpy(features), "input_features_mask": torch.from_numpy(mask)}, tokens

    def _digits(self, size: int, aspect: tuple[int, int] | None = None) -> Batch:
        return self._pictures("digits", size, aspect)

    def _scenes(self, size: int, aspect: tuple[int, int] | None = None) -> Batch:
        return self._pictures("scenes", size, aspect)

    def _small(self, size: int) -> Batch:
        """Small pictures without words, for the encoder and the heads."""
        wh = self.random.choice(pictures.SMALL_SIZES)
        made = [pictures.small(self.random, wh, self.split) for _ in range(size)]
        labels = [cell_labels(one) for one in made]
        inputs = self._seen([pictures.patches(pictures.draw(one)) for one in made], wh)
        return Batch("small", inputs, torch.zeros(0), [], _joined(labels))

    def _speech(self, size: int, held: str = "known") -> Batch:
        chosen = [self.random.choice(self.clips[held]) for _ in range(size)]
        inputs, tokens = self._heard([c["sound"] for c in chosen])
        samples = [
            self._asked("<|audio|>", [(SPOKEN_IN, c["text"], f"speech {held}")], {"audio": n})
            for c, n in zip(chosen, tokens, strict=True)
        ]
        batch = self._pad("speech", samples, **inputs)
        batch.labels = {"words": [word_ids(c["text"]) for c in chosen], "tokens": torch.tensor(tokens)}
        return batch

    def _both(self, size: int) -> Batch:
        """A picture and a spoken question about it."""
        wh = pictures.size_for(self.random.choice(pictures.ASPECTS))
        spoken = {}
        for c in self.clips["known"]:
            spoken.setdefault(c["text"], []).append(c)
        pixels, chosen, answers = [], [], []
        while len(pixels) < size:
            if self.random.random() < 0.15:
                made, turns = pictures.digit_scene(self.random, wh, self.split, 1)
            else:
                made = pictures.scene(self.random, wh)
                turns = pictures.scene_questions(self.random, made, relations=3)
            said = [(q.lower().rstrip("?"), a) for q, a, _ in turns if q.lower().rstrip("?") in spoken]
            if said:
                question, answer = self.random.choice(said)
                pixels.append(pictures.patches(pictures.draw(made)))
                chosen.append(self.random.choice(spoken[question]))
                answers.append(answer)
        inputs, tokens = self._heard([c["sound"] for c in chosen])
        samples = [
            self._asked(
                "<|image|><|audio|>", [(SPOKEN_QUESTION, a, "both")], {"image": wh[0] * wh[1] // 2304, "audio": n}
            )
            for a, n in zip(answers, tokens, strict=True)
        ]
        return self._pad("both", samples, **inputs, **self._seen(pixels, wh))


def _joined(labels: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.concatenate([one[name] for one in labels])) for name in labels[0]}


def _parts(whole: str, size: int = 4000) -> list[str]:
    """``whole`` cut at line ends into parts of about ``size`` characters, so that encoding stays quick."""
    parts, start = [], 0
    while start < len(whole):
        end = whole.find("\n", start + size) + 1 or len(whole)
        end = min(end, start + 2 * size)
        parts.append(whole[start:end])
        start = end
    return parts


def named_things(tokenizer: Tokenizer) -> dict[int, tuple[str, bool]]:
    """Token id -> (shape or colour that it names, whether it asks how many)."""
    many = {pictures.plural(s): (s, True) for s in (*pictures.SHAPES, "shape")}
    words = {w: (w, False) for w in (*pictures.SHAPES, *pictures.COLOURS)} | many
    ids = {word: tokenizer.encode(f"the {word}").ids for word in words}
    return {i[-1]: words[word] for word, i in ids.items() if len(i) == 2}
