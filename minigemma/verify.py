"""Is our forward pass the reference's? Layer by layer, on any checkpoint, in little memory.

    [OK]   layers.2.attention.pattern      max 3.1e-07  mean 1.2e-08  rel 2.0e-07

First transformers runs in float32, one module at a time (``streamed_reference``); then we run, and each tensor is
compared as it is made. After that we go on with the reference's numbers, so a difference is seen where it arises, and
is not carried on and magnified by the layers after it. ``end_to_end`` is our own pass, with nothing of the reference in
it but the choice of experts in a mixture: where two are almost equally probable, rounding decides, and all that follows
is another computation. (Choices themselves are compared before, layer by layer.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from minigemma.audio import log_mel, soft_token_count
from minigemma.errors import InputError, TokenizerError
from minigemma.model import Gemma4, Image, find_checkpoint, load
from minigemma.ops import relative_error
from minigemma.trace import Trace
from minigemma.vision import prepare

TOLERANCE = 1e-4  # relative error of a step that starts from the reference's own numbers, in float32
END_TO_END = 1e-2  # of the logits of a pass of ours; what a layer adds to the error, dozens of layers magnify
PROMPT = "The quick brown fox jumps over the lazy dog. Der schnelle Fuchs: 2 + 2 = 4; def fox(n): return n * n"
COMPARED = (
    "images.*.layers.*.attention.output", "images.*.layers.*.feed_forward.output", "images.*.layers.*.output",
    "audio.*.subsampling.output", "audio.*.layers.*.feed_forward1.output", "audio.*.layers.*.attention.output",
    "audio.*.layers.*.convolution.added", "audio.*.layers.*.feed_forward2.output", "audio.*.layers.*.output",
    "*.soft_tokens", "embedding", "ple.inputs", "layers.*.attention.pattern", "layers.*.attention.output",
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
        return self.relative <= (END_TO_END if self.name.startswith("end_to_end") else TOLERANCE) and not self.note

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
    say(f"{directory}: {len(ids)} tokens, {len(pictures)} images, {len(sounds)} sounds; transformers goes first")
    theirs: dict[str, np.ndarray] = {}
    with tqdm(desc="transformers", unit=" tensors", delay=2, leave=False) as bar:

        def keep(name: str, value: np.ndarray) -> None:
            theirs[name] = value.copy()
            bar.update()

        StreamedReference(find_checkpoint(directory)).run(ids, pictures, sounds, keep)

    logits = theirs["logits"]
    choices = {name: value for name, value in theirs.items() if name.endswith("expert_index")}
    beside = _Beside(theirs, say)
    model.forward(ids, pictures, sounds, trace=beside)
    beside.finish()
    alone = Trace(edit={name: partial(_chosen, theirs=value) for name, value in choices.items()}) if choices else None
    beside.add(compare("end_to_end.logits", model.forward(ids, pictures, sounds, trace=alone), logits))
    say(str(beside.report))
    return beside.report


def _chosen(_: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """In place of our choice of experts (T, k), the reference's."""
    return theirs


class _Beside(Trace):
    """Watches our pass: compares what the reference made too, and hands the reference's numbers on."""

    def __init__(self, theirs: dict[str, np.ndarray], say: Callable[[str], None]):
        super().__init__(*COMPARED)
        self.theirs, self.say, self.report = theirs, say, Report()

    def __call__(self, name: str, value: Any) -> Any:
        if not self.wants(name):
            return value
        theirs = self.theirs.pop(name, None)
        self.add(compare(name, value, theirs))
        same_kind = theirs is not None and theirs.shape == value.shape and np.issubdtype(value.dtype, np.floating)
        return theirs if same_kind else value

    def add(self, line: Comparison) -> None:
        self.report.comparisons.append(line)
        self.say(f"{line}  <- the first that differs" if self.report.first_difference is line else str(line))

    def finish(self) -> None:
        for name, theirs in self.theirs.items():
            self.add(compare(name, None, theirs))


def compare(name: str, ours: np.ndarray | None, theirs: np.ndarray | None) -> Comparison:
    """One line of the report. Chosen experts are compared as sets: their order in a tie means nothing."""
    if ours is None or theirs is None or ours.shape != theirs.shape:
        made, expected = ("nothing" if each is None else f"shape {each.shape}" for each in (ours, theirs))
        return Comparison(name, np.nan, np.nan, np.nan, f"ours made {made}, the reference {expected}")
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
