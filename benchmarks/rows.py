"""What is measured: the visits (a process each) that a table needs, and its rows, which compare what they found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from counts import last_only_values, prefill_operations, token_values

from minigemma.config import Config
from minigemma.memory import show_size
from minigemma.ops import relative_error

GB = 10**9


@dataclass(frozen=True)
class Sizes:
    """How much of everything: tokens, soft tokens of a picture, seconds of sound, the side of a square matrix."""

    short: int = 128
    long: int = 512
    decoded: int = 16
    image: int = 1120
    sound: int = 30
    near: int = 2048
    far: int = 8192
    once: int = 64
    square: int = 4096


FULL = Sizes()
SMALL = Sizes(short=16, long=48, decoded=4, image=16, sound=2, near=64, far=256, once=8, square=256)


class Task(NamedTuple):
    """A method of a side, its size, how many times; warm: how many times before, not counted."""

    name: str
    size: int
    times: int
    warm: int = 1

    @property
    def label(self) -> str:
        return f"{self.name} {self.size}"


@dataclass(frozen=True)
class Visit:
    """One process: which side (of sides.py), on which twin, doing what."""

    side: str
    tasks: tuple[Task, ...]
    memory: str | int | None = None  # of our side
    variant: str = "E2B"
    once: bool = False  # too long to be repeated
    cold: bool = False  # the system forgets the checkpoint first, so all comes from disk


def visits(sizes: Sizes, config: Config) -> dict[str, Visit]:
    """Every visit by name, in the order of a round."""
    n = sizes
    read = (Task("prefill", n.short, 3, 2), Task("prefill", n.long, 3), Task("decode", n.short, n.decoded))
    sound, fresh = Task("sound", n.sound, 2), (Task("prefill", n.short, 1, 0),)
    towers = (Task("image", n.image, 1, 0), sound)
    large = {}
    for variant in ("26B-A4B", "31B"):
        large[f"{variant} pass"] = Visit("ours", (Task("prefill", n.once, 1, 0),), "1GB", variant, True, True)
        large[f"{variant} file"] = Visit("disk", (), None, variant, True, True)
    return {
        "machine": Visit(
            "machine",
            (Task("matrix_products", n.square, 5), Task("matrix_vectors", max(1, token_values(config) // 10**6), 5)),
        ),
        "fresh": Visit("ours", fresh),
        "fresh streaming": Visit("ours", fresh, "500MB"),
        "fresh bfloat16": Visit("bfloat16", fresh),
        "bfloat16": Visit("bfloat16", read),
        "streaming": Visit("ours", read, "500MB"),
        "resident": Visit("ours", read, "all"),
        "float32": Visit("float32", read),
        "towers": Visit("ours", towers, "all"),
        "towers sdpa": Visit("towers sdpa", towers),  # with eager attention a picture takes them minutes
        "every logit": Visit("ours", (Task("prefill_every", n.short, 2, 2),), "all"),
        "long": Visit(
            "ours",
            (Task("prefill", n.short, 1, 2), Task("local_layers", n.near, 3, 0), Task("local_layers", n.far, 1, 0)),
            "all",
            once=True,
        ),
    } | large


class Results:
    """What the visits brought back, round by round: {visit: {"tasks": {label: {...}}, "peak": bytes}}."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, dict[str, Any]]] = []

    def task(self, visit: str, label: str) -> list[dict[str, Any]]:
        """A line of each round; KeyError if the visit did not happen."""
        found = [each[visit]["tasks"][label] for each in self.rounds if visit in each]
        if not found:
            raise KeyError(visit)
        return found

    def seconds(self, visit: str, label: str) -> list[float]:
        return [median(line["seconds"]) for line in self.task(visit, label)]

    def peak(self, visit: str) -> int:
        return max(each[visit]["peak"] for each in self.rounds if visit in each)


@dataclass(frozen=True)
class Line:
    """A row as it is printed. ratio: what the target is about."""

    here: str
    there: str
    ratio: float
    memory: tuple[int, ...] = ()  # peak bytes, here and there
    note: str = ""


@dataclass(frozen=True)
class Row:
    """key: for --rows. least, most: the target for the line's ratio, if there is one."""

    key: str
    text: str
    visits: tuple[str, ...]
    measure: Callable[[Results], Line]
    least: float | None = None
    most: float | None = None

    @property
    def target(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}" if self.most is not None else ""

    def met(self, ratio: float) -> bool:
        return (self.least is None or ratio >= self.least) and (self.most is None or ratio <= self.most)


def rows(sizes: Sizes, config: Config) -> list[Row]:
    """The whole table."""
    n = sizes
    short, long, decode = f"prefill {n.short}", f"prefill {n.long}", f"decode {n.short}"
    every = f"prefill_every {n.short}"
    reading, once = last_only_values(config), token_values(config)
    table = [
        _fresh(n, "fresh", 0.35),
        _fresh(n, "fresh streaming", None),
        *(
            _faster("prefill", f"prefill, {label.split()[1]} tokens", "resident", side, label, least)
            for label in (short, long)
            for side, least in (("float32", 2.0), ("bfloat16", 0.7))
        ),
        *(
            _faster("decode", "decoding, weights resident", "resident", side, decode, least)
            for side, least in (("bfloat16", 1.1), ("float32", 2.0))
        ),
        _faster("decode", "decoding, weights streaming", "streaming", "bfloat16", decode, None),
        _faster("prefill", f"prefill, {n.long} tokens, weights streaming", "streaming", "bfloat16", long, None),
    ]
    for label, operations, single in (
        (short, prefill_operations(config, n.short), reading),
        (long, prefill_operations(config, n.long), reading),
        (every, prefill_operations(config, n.short, True), 0),
    ):
        table.append(_share_of_products(n, label, operations, single))
    table += [
        _share_of_vectors(decode, once),
        _memory("memory, streaming", "streaming", 1.0),
        _memory("memory, all weights resident", "resident", 10.0),
        _faster(
            "towers", f"{n.image} soft tokens of a picture, float32", "towers", "towers sdpa", f"image {n.image}", 1
        ),
        _faster("towers", f"{n.sound} s of sound, float32", "towers", "towers sdpa", f"sound {n.sound}", 1),
        _flat(n),
    ]
    for variant in ("26B-A4B", "31B"):
        table += [_pass(variant, n), _memory(f"memory, {variant}", f"{variant} pass", 4.0, variant)]
    return table


def _agreement(a: list[float], b: list[float]) -> str:
    return f"differ by {relative_error(a, b):.0e}"


def _fresh(n: Sizes, ours: str, most: float | None) -> Row:
    label = f"prefill {n.short}"

    def measure(results: Results) -> Line:
        here, there = ([t["since_start"] for t in results.task(v, label)] for v in (ours, "fresh bfloat16"))
        ratio = median(a / b for a, b in zip(here, there, strict=True))
        peaks = results.peak(ours), results.peak("fresh bfloat16")
        return Line(f"{median(here):.2f} s", f"{median(there):.2f} s", ratio, peaks, "time here / time there")

    text = f"from a {ours} process to the logits of {n.short} tokens, bfloat16"
    return Row("fresh", text, (ours, "fresh bfloat16"), measure, most=most)


def _faster(key: str, text: str, ours: str, theirs: str, label: str, least: float | None) -> Row:
    """How many times as fast as the reference."""

    def measure(results: Results) -> Line:
        here, there = results.seconds(ours, label), results.seconds(theirs, label)
        ratio = median(b / a for a, b in zip(here, there, strict=True))
        note = _agreement(results.task(ours, label)[-1]["result"], results.task(theirs, label)[-1]["result"])
        peaks = results.peak(ours), results.peak(theirs)
        return Line(f"{median(here):.3f} s", f"{median(there):.3f} s", ratio, peaks, note)

    return Row(key, f"{text}, {theirs.split()[-1]}", (ours, theirs), measure, least=least)


def _share_of_products(n: Sizes, label: str, operations: int, single: int) -> Row:
    """The time its arithmetic takes at the rate of one large matrix product, as a share of the time of a prefill."""

    visit = "every logit" if "every" in label else "resident"

    def measure(results: Results) -> Line:
        here = results.seconds(visit, label)
        rate = [2 * n.square**3 / each for each in results.seconds("machine", f"matrix_products {n.square}")]
        needed = [operations / each for each in rate]
        ratio = median(b / a for a, b in zip(here, needed, strict=True))
        note = f"{operations / 1e9:.0f} GFLOP at {median(rate) / 1e9:.0f} GFLOP/s"
        if single:  # matrices read for one vector: they cost what reading them costs
            vectors = results.task("machine", _vectors(results))
            seconds = [4 * single / (4e6 * int(_vectors(results).split()[1]) / median(t["seconds"])) for t in vectors]
            with_reading = median((b + c) / a for a, b, c in zip(here, needed, seconds, strict=True))
            note += f"; with {4 * single / GB:.1f} GB read for the last token alone {with_reading:.2f}"
        return Line(f"{median(here):.3f} s", f"{median(needed):.3f} s", ratio, (), note)

    what = "every logit" if "every" in label else "last logits"
    text = f"prefill, {label.split()[1]} tokens, {what}: share of the matrix-product rate"
    return Row("share", text, (visit, "machine"), measure, least=0.75)


def _vectors(results: Results) -> str:
    """The label of the machine's matrix-vector products."""
    machine = next(each["machine"] for each in results.rounds if "machine" in each)
    return next(label for label in machine["tasks"] if label.startswith("matrix_vectors"))


def _share_of_vectors(label: str, values: int) -> Row:
    """The bytes a second of a matrix-vector product over as many bytes, and how much of that decoding reaches."""

    def measure(results: Results) -> Line:
        here, plain = results.seconds("resident", label), results.seconds("machine", _vectors(results))
        ratio = median(b / a for a, b in zip(here, plain, strict=True))
        note = f"{4 * values / GB:.1f} GB a token at {4e-9 * values / median(plain):.0f} GB/s"
        return Line(f"{median(here):.3f} s", f"{median(plain):.3f} s", ratio, (), note)

    return Row("share", "decoding: share of the matrix-vector rate", ("resident", "machine"), measure, least=0.75)


def _memory(text: str, visit: str, most: float, key: str = "memory") -> Row:
    def measure(results: Results) -> Line:
        peak = results.peak(visit)
        return Line(show_size(peak), "", peak / GB, (peak,), "GB of anonymous memory at the peak")

    return Row(key, text, (visit,), measure, most=most)


def _flat(n: Sizes) -> Row:
    """Time per token of local layers, of a long prompt beside a shorter one."""

    def measure(results: Results) -> Line:
        near, far = (results.seconds("long", f"local_layers {size}")[0] / size for size in (n.near, n.far))
        note = f"per token, {n.far} tokens beside {n.near}"
        return Line(f"{far * 1e3:.3f} ms", f"{near * 1e3:.3f} ms", far / near, (results.peak("long"),), note)

    return Row("long", f"local layers, prefill of {n.far} tokens", ("long",), measure, most=1.15)


def _pass(variant: str, n: Sizes) -> Row:
    """One forward pass of a model that is larger than memory, beside reading its file: both from disk."""

    def measure(results: Results) -> Line:
        here, there = (
            results.task(f"{variant} {visit}", label)[0]
            for visit, label in (("pass", f"prefill {n.once}"), ("file", "read"))
        )
        seconds, reading = here["seconds"][0], there["seconds"][0]
        note = f"{show_size(here['from_disk'])} read, beside reading all {show_size(there['from_disk'])} of the file"
        if not np.isfinite(here["result"]).all():
            note += "; THE LOGITS ARE NOT FINITE"
        return Line(f"{seconds:.1f} s", f"{reading:.1f} s", seconds / reading, (results.peak(f"{variant} pass"),), note)

    return Row(variant, f"{variant}, {n.once} tokens, from disk", (f"{variant} pass", f"{variant} file"), measure)
