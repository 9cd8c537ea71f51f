"""Is our forward pass the reference's? Layer by layer, on any checkpoint, in little memory.

    [OK]   layers.2.attention.pattern      max 3.1e-07  mean 1.2e-08  rel 2.0e-07

Ours runs first and keeps the tensors that are compared; then transformers runs in float32, one module at a time
(``streamed_reference``), and each tensor is compared as it appears. Each side goes on with its own numbers, so the
first tensor that differs is where to look.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from minigemma.audio import log_mel, soft_token_count
from minigemma.errors import InputError, TokenizerError
from minigemma.model import Gemma4, Image, find_checkpoint, load
from minigemma.ops import relative_error
from minigemma.trace import Trace
from minigemma.vision import prepare

TOLERANCE = 1e-4  # relative error, over the whole depth of a model in float32
PROMPT = "The quick brown fox jumps over the lazy dog. Der schnelle Fuchs: 2 + 2 = 4; def fox(n): return n * n"
COMPARED = (
    "images.*.output", "audio.*.output", "audio.*.convolution.added", "*.soft_tokens", "embedding", "ple.inputs", "layers.*.attention.pattern", "layers.*.attention.output",
    "layers.*.feed_forward.output", "layers.*.moe.router_probabilities", "layers.*.moe.expert_index",
    "layers.*.moe.experts", "layers.*.ple.added", "layers.*.output", "final_norm", "logits",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One tensor of ours beside the reference's: largest, mean and relative difference."""

    name: str
    largest: float
    mean: float
    relative: float
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.relative <= TOLERANCE and not self.note

    def __str__(self) -> str:
        numbers = f"max {self.largest:.1e}  mean {self.mean:.1e}  rel {self.relative:.1e}"
        return f"{'[OK]' if self.ok else '[DIFF]':<6} {self.name:<40} {self.note or numbers}"


@dataclass
class Report:
    """Every comparison, in the order of the forward pass."""

    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def first_difference(self) -> Comparison | None:
        return next((c for c in self.comparisons if not c.ok), None)

    @property
    def ok(self) -> bool:
        return bool(self.comparisons) and self.first_difference is None

    def __str__(self) -> str:
        total = len(self.comparisons)
        if self.ok:
            worst = max(self.comparisons, key=lambda c: c.relative)
            return f"all {total} tensors agree; largest relative error {worst.relative:.1e} ({worst.name})"
        wrong = sum(not c.ok for c in self.comparisons)
        first = self.first_difference.name if self.first_difference else "nothing was compared"
        return f"{wrong} of {total} tensors differ; the first: {first}"


def run(directory: str | Path, prompt: str | None = None) -> int:
    """The command: print the comparison; 0 if everything agrees, 1 if not."""
    return 0 if verify(directory, prompt).ok else 1


def verify(
    directory: str | Path,
    prompt: str | Sequence[int] | None = None,
    images: Sequence[Any] | None = None,
    audio: Sequence[np.ndarray] | None = None,
    file: TextIO | None = None,
) -> Report:
    """Compare a checkpoint's forward pass with transformers' and print a line for every tensor.

    directory: in hub format, or the name of a shipped checkpoint. prompt: a text, or token ids that are used as they
    are. images: anything ``vision.prepare`` takes, or (patches, positions); audio: log-mel arrays; None: a made-up
    picture and sound where the checkpoint has towers, () none. Raises MinigemmaError where transformers is missing.
    """
    from minigemma.streamed_reference import StreamedReference

    def say(line: str) -> None:
        print(line, file=file or sys.stdout, flush=True)

    model = load(directory, memory="1GB")
    pictures, sounds = _media(model, prompt, images, audio)
    ids = _token_ids(model, prompt, pictures, sounds, say)
    say(f"ours: {len(ids)} tokens, {len(pictures)} images, {len(sounds)} sounds through {directory}")
    trace = Trace(*COMPARED)
    model.forward(ids, pictures, sounds, trace=trace)
    ours = dict(trace)
    del model, trace  # whatever weights are resident go before the reference's come

    say("reference: transformers, float32, eager, one module at a time")
    report = Report()

    def keep(name: str, theirs: np.ndarray) -> None:
        line = compare(name, ours.pop(name, None), theirs)
        report.comparisons.append(line)
        say(f"{line}  <- the first that differs" if report.first_difference is line else str(line))

    StreamedReference(find_checkpoint(directory)).run(ids, pictures, sounds, keep)
    for name in ours:  # made by us, not by the reference
        report.comparisons.append(Comparison(name, np.nan, np.nan, np.nan, "the reference does not make it"))
    say(str(report))
    return report


def compare(name: str, ours: np.ndarray | None, theirs: np.ndarray) -> Comparison:
    """One line of the report. Chosen experts are compared as sets: their order in a tie means nothing."""
    if ours is None or ours.shape != theirs.shape:
        shape = "nothing" if ours is None else f"shape {ours.shape}"
        return Comparison(name, np.nan, np.nan, np.nan, f"ours made {shape}, the reference {theirs.shape}")
    if name.endswith("expert_index"):
        ours, theirs = np.sort(ours, axis=-1), np.sort(theirs, axis=-1)
    difference = np.abs(ours.astype(np.float64) - theirs)
    relative = relative_error(ours, theirs)
    return Comparison(name, float(difference.max()), float(difference.mean()), relative)


def _media(model: Gemma4, prompt, images, audio) -> tuple[list[Image], list[np.ndarray]]:
    """Prepared images and sounds; made-up ones where none are given but the checkpoint can take them."""
    made_up = prompt is None or isinstance(prompt, str)  # ids say themselves how many soft tokens they hold
    if images is None:
        y, x = np.mgrid[:96, :144]
        picture = np.stack([x * 255 // 143, y * 255 // 95, (x + y) % 48 * 5], axis=-1).astype(np.uint8)
        images = [picture] if model.config.vision and made_up else []
    if audio is None:
        time = np.arange(12_000) / 16_000
        chirp = 0.3 * np.sin(2 * np.pi * (200 + 600 * time) * time)
        audio = [log_mel(chirp, 16_000)] if model.config.audio and made_up else []
    return [image if isinstance(image, tuple) else prepare(image, 70) for image in images], list(audio)


def _token_ids(model: Gemma4, prompt, images, sounds, say) -> np.ndarray:
    """The prompt as ids (T,): bos, a run of placeholders for every image and sound, and the text."""
    config = model.config
    if prompt is not None and not isinstance(prompt, str):
        return np.asarray(prompt)
    ids = [config.text.bos_token_id]
    for patches, _ in images:
        count = len(patches) // (config.vision.pooling_kernel_size**2 if config.vision else 1)
        ids += [config.boi_token_id, *[config.image_token_id] * count, config.eoi_token_id]
    for mel in sounds:
        ids += [config.boa_token_id, *[config.audio_token_id] * soft_token_count(len(mel)), config.eoa_token_id]
    try:
        return np.array([*ids, *model.tokenizer.encode(prompt or PROMPT)])
    except TokenizerError as error:
        if prompt is not None:
            raise InputError(f"the prompt cannot be encoded ({error}); give token ids instead") from None
        say("no tokenizer here: random token ids instead of a text")
        taken = {v for k, v in vars(config).items() if k.endswith("_token_id")}
        text = np.random.default_rng(0).integers(3, config.text.vocab_size, 48)
        return np.array([*ids, *(i for i in text if i not in taken)])
