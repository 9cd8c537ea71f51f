"""Train a shipped checkpoint from nothing: ``python -m training.train mini-e --minutes 100`` (``--smoke``: 20 seconds).

The model is transformers' own Gemma4ForConditionalGeneration on the CPU. First the encoders learn alone, from the heads
of ``auxiliary``; then a step adds up a batch of words and a batch of pictures or sounds. The learning rate rises, stays
and falls with the clock. A checkpoint to resume from and an exported directory are written every few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from . import model_configs
from .auxiliary import Heads
from .calibration import calibrate_clips, calibrate_standardisation
from .data import Data
from .export import export
from .model import Balance, build, loss_of, tower_pass
from .muon import Muon, is_hidden_matrix
from .tokenizer import SPECIAL, load_or_train
from .validation import validate

SIZES = {"text": 5, "recall": 6, "repeat": 12, "digits": 8, "scenes": 8, "speech": 16, "both": 6}
TOWER_SIZES = {"small": 32, "digits": 12, "scenes": 12, "speech": 24}  # when only the encoders learn
ALONGSIDE = {"small": 0.5, "speech": 0.15}  # how often the encoders learn alone beside the rest, per step
MIXTURE = {  # how often a kind is drawn; each step takes one of words and one of senses
    "mini-e": {"text": 0.5, "recall": 1.8, "repeat": 0.2, "digits": 0.8, "scenes": 1.4, "speech": 0.4, "both": 0.4},
    "mini-a4b": {"text": 0.5, "recall": 1.9, "repeat": 0.2, "digits": 0.9, "scenes": 1.4, "speech": 0.0, "both": 0.0},
}
MIXTURE["mini-31b"] = MIXTURE["mini-a4b"]
PEAK, WARM_STEPS, DECAY_FROM = 2.5e-3, 100, 0.3  # learning rate; its rise in steps; the share of time where it falls
LONGEST_STEP = 30  # seconds: a machine that slept, or a process that was stopped, has not been training
TOWERS_UNTIL, HELP = 0.07, 0.3  # share of the time that the encoders learn alone; weight of the heads' loss afterwards


def make_optimisers(model: torch.nn.Module, heads: Heads) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for the rest."""
    hidden = [p for name, p in model.named_parameters() if is_hidden_matrix(name, p)]
    taken = {id(p) for p in hidden}
    rest = [p for p in [*model.parameters(), *heads.parameters()] if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": 0.05},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95), fused=True), Muon(hidden, lr=PEAK, weight_decay=0.05)]


def schedule(progress: float, step: int, peak: float) -> float:
    """The learning rate: a rise over ``WARM_STEPS`` to ``peak``, then flat, then a straight fall to a fiftieth."""
    fall = 1.0 if progress < DECAY_FROM else max(0.02, 1 - (progress - DECAY_FROM) / (1 - DECAY_FROM))
    return peak * min(1.0, (step + 1) / WARM_STEPS) * fall


class Training:
    """A model on its way, with all that a checkpoint keeps; ``step`` goes on by one, ``progress`` is the share done."""

    def __init__(self, name: str, work: Path, seed: int, smoke: bool, peak: float = PEAK):
        self.name, self.smoke, self.peak, self.saved = name, smoke, peak, work / f"{name}.pt"
        self.tokenizer = load_or_train(work / "tokenizer.json")
        self.config = model_configs.config(name, {t: self.tokenizer.token_to_id(t) for t in SPECIAL})
        self.model = build(self.config, seed).train()
        hears = self.config["audio_config"] is not None
        self.train = Data(self.tokenizer, work, "train", seed, hears, smoke)
        self.valid = Data(self.tokenizer, work, "valid", seed, hears, smoke)
        self.balance, self.heads = Balance(self.model), Heads(self.model, self.config["text_config"]["hidden_size"])
        self.optimisers = make_optimisers(self.model, self.heads)
        self.mixture = {kind: weight for kind, weight in MIXTURE[name].items() if weight > 0}
        self.curve: list[dict] = []
        self.recent: dict[str, list[float]] = {}
        self.steps, self.calibrated = 0, 0
        self.towers_until, self.earlier = TOWERS_UNTIL, {"step": 0, "minutes": 0.0}

    def step(self, progress: float) -> float:
        """One change of the weights; returns the length of the gradient."""
        for group in (g for o in self.optimisers for g in o.param_groups):
            group["lr"] = schedule(progress, self.steps, self.peak)
        if progress < self.towers_until:
            for kind in (k for k in TOWER_SIZES if k in self.mixture or k == "small"):
                self._learn_encoder(kind)
        else:
            self._learn(self._draw("text", "recall", "repeat"))
            self._learn(self._draw("digits", "scenes", "speech", "both"))
            for kind, share in ALONGSIDE.items():
                if (kind in self.mixture or kind == "small") and self.train.random.random() < share:
                    self._learn_encoder(kind)
        norm = torch.nn.utils.clip_grad_norm_([*self.model.parameters(), *self.heads.parameters()], 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        for part in (self.model, self.heads):
            part.zero_grad(set_to_none=True)
        self.steps += 1
        return float(norm)

    def _draw(self, *kinds: str) -> str:
        kinds = tuple(k for k in kinds if k in self.mixture)
        return self.train.random.choices(kinds, [self.mixture[k] for k in kinds])[0]

    def _learn_encoder(self, kind: str) -> None:
        batch = self.train.batch(kind, 2 if self.smoke else TOWER_SIZES[kind])
        tower_pass(self.model, batch)
        loss = self.heads.loss(batch.labels)
        loss.backward()
        self.recent.setdefault(kind + " alone", []).append(float(loss.detach()))

    def _learn(self, kind: str) -> None:
        batch = self.train.batch(kind, 2 if self.smoke else SIZES[kind])
        loss = loss_of(self.model, batch)
        helped = self.heads.loss(batch.labels)
        (loss + self.balance.loss() + HELP * helped).backward()
        self.recent.setdefault(kind, []).append(float(loss.detach()))
        if batch.labels:
            self.recent.setdefault(kind + " heads", []).append(float(helped.detach()))

    def calibrate(self, progress: float) -> None:
        """Set the buffers that no gradient reaches: at the start, soon after, and twice more."""
        wanted = 1 + (self.steps >= (1 if self.smoke else 30)) + (progress > 0.15) + (progress > 0.4)
        if self.calibrated >= wanted:
            return
        kinds = [k for k in ("digits", "scenes", "speech") if k in self.mixture]
        seen = [self.train.batch(k, 4 if self.smoke else 12) for k in kinds for _ in range(3)]
        self.calibrated = wanted
        if wanted <= 3:
            calibrate_standardisation(self.model, [b for b in seen if "pixel_values" in b.inputs])
        if wanted > 1:
            calibrate_clips(self.model, seen, *((0.99999, 8.0) if wanted < 4 else (0.9999, 1.0)))

    def report(self, minutes: float, norm: float, validated: bool) -> None:
        """Add a point to the curve, and print it."""
        point = {"step": self.earlier["step"] + self.steps, "minutes": round(self.earlier["minutes"] + minutes, 2)}
        point |= {"rate": self.optimisers[0].param_groups[0]["lr"]}
        point["train"] = {k: round(float(np.mean(v)), 4) for k, v in self.recent.items()}
        self.recent = {}
        if validated:
            found = validate(self.model, self.valid, list(self.mixture), 1 if self.smoke else 3)
            point["valid"] = {k: round(v, 4) for k, v in found.items()}
        self.curve.append(point)
        print(json.dumps(point | {"norm": round(norm, 2)}), flush=True)

    def save(self, used: float, out: Path) -> None:
        """What ``resume`` needs, after ``used`` seconds; and the model in the hub's form in ``out``."""
        state = {"model": self.model.state_dict(), "heads": self.heads.state_dict()}
        state |= {"optimisers": [o.state_dict() for o in self.optimisers], "used": used}
        state |= {"curve": self.curve, "step": self.steps, "calibrated": self.calibrated}
        state |= {"towers_until": self.towers_until, "earlier": self.earlier}
        torch.save(state, f"{self.saved}.part")
        os.replace(f"{self.saved}.part", self.saved)
        export(self.model, self.config, self.tokenizer, out)
        (out.parent / f"{self.name}_curve.json").write_text(json.dumps(self.curve))

    def start_from(self, exported: Path, curve: Path) -> None:
        """Begin with the weights of an exported directory, whose curve goes on; the encoders are trained already."""
        weights, own = load_file(exported / "model.safetensors"), self.model.state_dict()
        shapes = {name: own[name].shape for name in own if name != "lm_head.weight"}  # that one is the embedding table
        if shapes != {name: tensor.shape for name, tensor in weights.items()}:
            raise SystemExit(f"{exported} holds another model than {self.name}: other tensors, or other shapes")
        self.model.load_state_dict(weights, strict=False)
        if curve.exists():
            self.curve = json.loads(curve.read_text())
            self.earlier = {k: self.curve[-1][k] for k in ("step", "minutes")}
        self._meet_heads()

    def grow_from(self, exported: Path) -> None:
        """Take over from another shape what this one has too; what is wider here keeps its new weights at the edge."""
        own = self.model.state_dict()
        for name, old in load_file(exported / "model.safetensors").items():
            if name in own and all(n <= m for n, m in zip(old.shape, own[name].shape, strict=True)):
                own[name][tuple(slice(n) for n in old.shape)] = old
        self._meet_heads()

    def _meet_heads(self) -> None:
        """The heads, which are not exported, learn to read the encoders that are trained already."""
        self.towers_until, self.calibrated = 0.0, 3
        optimiser = torch.optim.AdamW(self.heads.parameters(), lr=5e-3)
        for kind in (k for _ in range(2 if self.smoke else 25) for k in TOWER_SIZES if k in (*self.mixture, "small")):
            batch = self.train.batch(kind, 2 if self.smoke else TOWER_SIZES[kind])
            with torch.no_grad():
                tower_pass(self.model, batch)
            optimiser.zero_grad()
            self.heads.loss(batch.labels).backward()
            optimiser.step()

    def resume(self) -> float:
        """Go on where the last checkpoint was written; returns the seconds used until then."""
        state = torch.load(self.saved, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.curve, self.steps, self.calibrated = state["curve"], state["step"], state["calibrated"]
        self.towers_until, self.earlier = state["towers_until"], state["earlier"]
        self.train.random.seed(self.steps)
        return state["used"]


def main(argv: list[str] | None = None) -> Path:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("name", choices=model_configs.NAMES)
    ask.add_argument("--minutes", type=float, default=100)
    ask.add_argument("--work", type=Path, default=Path(__file__).parent / "work", help="tokenizer, clips, checkpoints")
    ask.add_argument("--out", type=Path, default=None, help="exported directory (work/export/NAME)")
    ask.add_argument("--seed", type=int, default=4)
    ask.add_argument("--rate", type=float, default=PEAK, help="highest learning rate (default: %(default)s)")
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --work")
    ask.add_argument("--start", type=Path, help="begin with the weights of this exported directory, not from nothing")
    ask.add_argument("--grow", type=Path, help="begin with what this exported directory of another shape has in common")
    ask.add_argument("--smoke", action="store_true", help="a few steps of everything on a little data")
    args = ask.parse_args(argv)
    torch.set_num_threads(args.threads)
    out = args.out or args.work / "export" / args.name
    args.work.mkdir(parents=True, exist_ok=True)
    begin = args.start or args.grow
    if begin and not (args.work / "tokenizer.json").exists():
        shutil.copy(begin / "tokenizer.json", args.work)
    training = Training(args.name, args.work, args.seed, args.smoke, args.rate)
    used = 0.0
    if args.resume and training.saved.exists():
        used = training.resume()
    elif args.start:
        training.start_from(args.start, Path(__file__).parent / "results" / f"{args.name}_curve.json")
    elif args.grow:
        training.grow_from(args.grow)
    every_log, last_save = 2 if args.smoke else 50, time.time()

    def share_done() -> float:
        return training.steps / 4 if args.smoke else used / (60 * args.minutes)

    while (progress := share_done()) < 1:
        before = time.time()
        training.calibrate(progress)
        norm = training.step(progress)
        if training.steps % every_log == 0:
            validated = args.smoke or (training.steps % (3 * every_log) == 0 and progress > training.towers_until)
            training.report(used / 60, norm, validated)
        used += min(time.time() - before, LONGEST_STEP)
        if time.time() - last_save > 300:
            last_save = time.time()
            training.save(used, out)
    training.save(used, out)
    return out


if __name__ == "__main__":
    main()
