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
from random import Random

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import Gemma4Config, Gemma4ForConditionalGeneration
from transformers.models.gemma4 import modeling_gemma4 as reference

from . import apart, model_configs, pictures
from .auxiliary import Heads
from .data import Batch, Data
from .export import export
from .muon import Muon, is_hidden_matrix
from .tokenizer import SPECIAL, load_or_train

SIZES = {"text": 5, "recall": 6, "repeat": 12, "digits": 8, "scenes": 8, "speech": 16, "both": 6}
TOWER_SIZES = {"small": 32, "digits": 12, "scenes": 12, "speech": 24}  # when only the encoders learn
ALONGSIDE = {"small": 0.5, "speech": 0.15}  # how often the encoders learn alone beside the rest, per step
MIXTURE = {  # how often a kind is drawn; each step takes one of words and one of senses
    "mini-e": {"text": 0.5, "recall": 1.6, "repeat": 0.5, "digits": 0.5, "scenes": 1.4, "speech": 0.4, "both": 0.4},
    "mini-a4b": {"text": 0.5, "recall": 1.6, "repeat": 0.5, "digits": 0.6, "scenes": 1.4, "speech": 0.0, "both": 0.0},
}
PEAK, WARM_STEPS, DECAY_FROM = 2.5e-3, 100, 0.3  # learning rate; its rise in steps; the share of time where it falls
LONGEST_STEP = 30  # seconds: a machine that slept, or a process that was stopped, has not been training
TOWERS_UNTIL, HELP = 0.07, 0.3  # share of the time that the encoders learn alone; weight of the heads' loss afterwards


# -- the model -----------------------------------------------------------------------------------------------------
def experts_in_one_product(self, x, top_k_index, top_k_weights):
    """The tokens of each expert side by side, padded to the fullest, so that all experts are one batched product."""
    k, expert = top_k_index.shape[1], top_k_index.flatten()
    order = expert.argsort(stable=True)
    counts = torch.bincount(expert, minlength=self.num_experts)
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts)[expert[order]]  # of each token among its expert's
    rows = x.new_zeros(self.num_experts, int(counts.max()), x.shape[1])
    rows[expert[order], place] = x[order // k]
    gate, up = torch.bmm(rows, self.gate_up_proj.mT).chunk(2, -1)
    out = torch.bmm(self.act_fn(gate) * up, self.down_proj.mT)
    chosen = out[expert[order], place] * top_k_weights.flatten()[order][:, None]
    return torch.zeros_like(x).index_add(0, order // k, chosen.to(x.dtype))


def build(config: dict, seed: int) -> Gemma4ForConditionalGeneration:
    """The reference model with weights drawn for its small width (its own initialisation suits large ones)."""
    torch.manual_seed(seed)
    settings = Gemma4Config(**json.loads(json.dumps(config)))
    settings._attn_implementation = {"text_config": "sdpa", "vision_config": "sdpa", "audio_config": "eager"}
    model = Gemma4ForConditionalGeneration(settings).float()
    random = Random(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("embed_tokens.weight", "embed_tokens_per_layer.weight")):
                p.normal_(0, p.shape[1] ** -0.5 if "per_layer" not in name else 0.25)
            elif "position_embedding_table" in name:
                p.copy_(_waves(p.shape[1], p.shape[2]).expand_as(p))
            elif "k_norm" in name:
                p.fill_(p.numel() ** -0.5)  # takes the place of attention's 1/sqrt(K), which is 1 in this family
            elif name.endswith(("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")):
                p.fill_(0.5)
            elif "post_per_layer_input_norm" in name:
                p.fill_(0.3)
            elif p.dim() >= 2:
                fan_in = p[0].numel() if "experts" not in name else p.shape[2]
                p.normal_(0, fan_in**-0.5)
        for layer in model.model.language_model.layers:
            layer.layer_scalar.fill_(round(random.uniform(0.7, 1.0), 2))
    if model.config.text_config.enable_moe_block:
        reference.Gemma4TextExperts.forward = experts_in_one_product
    return model


def _waves(length: int, width: int) -> torch.Tensor:
    """(1, length, width) slow sines and cosines of the position, small: a smooth start for learned positions."""
    angle = torch.arange(length)[:, None] * torch.exp(torch.linspace(0, -5, width // 2))[None]
    return 0.2 * torch.cat([angle.sin(), angle.cos()], -1)[None]


class Balance:
    """Watches the routers; adds to the loss what pushes tokens away from experts that were overused lately."""

    def __init__(self, model: Gemma4ForConditionalGeneration, weight: float = 0.02):
        self.weight, self.seen = weight, {}
        self.load: dict[int, torch.Tensor] = {}
        for i, layer in enumerate(model.model.language_model.layers):
            if layer.enable_moe_block:
                layer.router.register_forward_hook(lambda _m, _i, out, i=i: self.seen.__setitem__(i, (out[0], out[2])))

    def loss(self) -> torch.Tensor | float:
        total: torch.Tensor | float = 0.0
        for i, (p, chosen) in self.seen.items():
            share = F.one_hot(chosen, p.shape[1]).float().mean((0, 1))  # (E,) sums to one
            self.load[i] = 0.98 * self.load.get(i, share) + 0.02 * share
            total = total + self.weight * p.shape[1] * (self.load[i] * p.mean(0)).sum()
        self.seen = {}
        return total


def run(model: Gemma4ForConditionalGeneration, batch: Batch) -> torch.Tensor:
    """The last hidden states (B, T, D); questions of one branch do not see those of another."""
    inputs, text = dict(batch.inputs), model.config.text_config
    if batch.branches is not None:
        image, both_ways = inputs["mm_token_type_ids"] == 1, text.use_bidirectional_attention == "vision"
        inputs["attention_mask"] = apart.masks(
            batch.branches, inputs["position_ids"], image, text.sliding_window, both_ways
        )
    with torch.autocast("cpu", torch.bfloat16):
        return model.model(**inputs, use_cache=False).last_hidden_state


def loss_of(model: Gemma4ForConditionalGeneration, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted mean of the cross-entropy; and per supervised token the greedy guess and the target."""
    hidden = run(model, batch)[:, :-1]
    at = batch.weights[:, 1:] > 0
    logits = model.lm_head(hidden[at].float())
    cap = model.config.text_config.final_logit_softcapping
    logits = cap * torch.tanh(logits / cap)
    target, weight = batch.inputs["input_ids"][:, 1:][at], batch.weights[:, 1:][at]
    loss = (F.cross_entropy(logits.float(), target, reduction="none") * weight).sum() / weight.sum()
    return loss, logits, target


def tower_pass(model: Gemma4ForConditionalGeneration, batch: Batch) -> None:
    """Run the encoders alone; the heads have listened."""
    with torch.autocast("cpu", torch.bfloat16):
        if "pixel_values" in batch.inputs:
            model.model.get_image_features(batch.inputs["pixel_values"], batch.inputs["image_position_ids"])
        else:
            model.model.get_audio_features(batch.inputs["input_features"], batch.inputs["input_features_mask"])


# -- calibration of buffers ----------------------------------------------------------------------------------------
@torch.no_grad()
def calibrate_standardisation(model, batches: list[Batch]) -> None:
    """std_bias and std_scale: mean and inverse deviation of each channel of the pooled vision output."""
    tower = model.model.vision_tower
    if not tower.config.standardize:
        return
    bias, scale = tower.std_bias.clone(), tower.std_scale.clone()
    out = torch.cat(
        [
            tower(b.inputs["pixel_values"], b.inputs["image_position_ids"]).last_hidden_state / scale + bias
            for b in batches
        ]
    )
    tower.std_bias.copy_(out.mean(0).bfloat16())
    tower.std_scale.copy_((1 / out.std(0).clamp(min=1e-3)).bfloat16())


@torch.no_grad()
def calibrate_clips(model, batches: list[Batch], share: float, margin: float) -> int:
    """Clip bounds of the encoders' linears: quantiles ``1 - share`` and ``share`` of what passes, times ``margin``."""
    seen: dict[str, list[torch.Tensor]] = {}
    hooks = []
    for name, m in model.named_modules():
        if isinstance(m, reference.Gemma4ClippableLinear) and m.use_clipped_linears:
            for b in (m.input_min, m.output_min):
                b.fill_(-float("inf"))
            for b in (m.input_max, m.output_max):
                b.fill_(float("inf"))

            def note(_m, inputs, output, name=name):
                for side, x in (("input", inputs[0]), ("output", output)):
                    flat = x.flatten()
                    k = max(1, int(flat.numel() * (1 - share)))
                    ends = torch.stack([flat.kthvalue(k).values, flat.kthvalue(flat.numel() - k + 1).values])
                    seen.setdefault(f"{name}.{side}", []).append(ends)

            hooks.append(m.register_forward_hook(note))
    for b in batches:
        model.model(**b.inputs, use_cache=False)
    for h in hooks:
        h.remove()
    modules = dict(model.named_modules())
    for key, ends in seen.items():
        name, side = key.rsplit(".", 1)
        low, high = torch.stack(ends)[:, 0].min(), torch.stack(ends)[:, 1].max()
        reach = torch.maximum(high.abs(), low.abs()) * 0.05  # both bounds stay away from zero
        getattr(modules[name], side + "_min").copy_(torch.minimum(low * margin, -reach).bfloat16())
        getattr(modules[name], side + "_max").copy_(torch.maximum(high * margin, reach).bfloat16())
    return len(seen)


# -- validation ----------------------------------------------------------------------------------------------------
@torch.no_grad()
def validate(model, data: Data, kinds: list[str], rounds: int = 3) -> dict[str, float]:
    """Loss per text domain and share of right answers per kind of question, on the validation split."""
    model.eval()
    right: dict[str, list[bool]] = {}
    figures: dict[str, float] = {}
    for domain in data.streams:
        rows = [data.streams[domain][i * 256 : i * 256 + 256] for i in range(6)]
        ids = torch.tensor(np.stack([np.concatenate([[data.id["<bos>"]], r]) for r in rows]))
        loss, _, _ = loss_of(
            model, Batch("text", {"input_ids": ids, "mm_token_type_ids": ids * 0}, (ids >= 0).float(), [])
        )
        figures[f"loss {domain}"] = float(loss)
    batches = []
    for _ in range(rounds):
        batches += [data.batch(k, 12) for k in kinds if k not in ("text", "repeat", "speech")]
        if "digits" in kinds:
            held = data._scenes(8, pictures.HELD_OUT_ASPECT)
            held.answers = [[(a, b, "held-out aspect") for a, b, _ in row] for row in held.answers]
            batches.append(held)
        if "speech" in kinds:
            batches += [data._speech(24, held) for held in ("known", "voice", "speed")]
    for batch in batches:
        hidden = run(model, batch)
        for row, answers in enumerate(batch.answers):
            for first, end, kind in answers:
                guess = model.lm_head(hidden[row, first - 1 : end - 1].float()).argmax(-1)
                right.setdefault(kind, []).append(bool((guess == batch.inputs["input_ids"][row, first:end]).all()))
    model.train()
    return figures | {k: float(np.mean(v)) for k, v in sorted(right.items())}


# -- the loop ------------------------------------------------------------------------------------------------------
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
        loss, _, _ = loss_of(self.model, batch)
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
        self.towers_until, self.calibrated = 0.0, 3
        if curve.exists():
            self.curve = json.loads(curve.read_text())
            self.earlier = {k: self.curve[-1][k] for k in ("step", "minutes")}
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
    ask.add_argument("--smoke", action="store_true", help="a few steps of everything on a little data")
    args = ask.parse_args(argv)
    torch.set_num_threads(args.threads)
    out = args.out or args.work / "export" / args.name
    args.work.mkdir(parents=True, exist_ok=True)
    if args.start and not (args.work / "tokenizer.json").exists():
        shutil.copy(args.start / "tokenizer.json", args.work)
    training = Training(args.name, args.work, args.seed, args.smoke, args.rate)
    used = 0.0
    if args.resume and training.saved.exists():
        used = training.resume()
    elif args.start:
        training.start_from(args.start, Path(__file__).parent / "results" / f"{args.name}_curve.json")
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
