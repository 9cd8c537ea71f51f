"""Right answers and losses on the validation split, which all choices are made on."""

from __future__ import annotations

import numpy as np
import torch

from . import pictures
from .data import Batch, Data
from .model import loss_of, run


@torch.no_grad()
def validate(model, data: Data, kinds: list[str], rounds: int = 3) -> dict[str, float]:
    """Loss per text domain and share of right answers per kind of question, on the validation split."""
    model.eval()
    right: dict[str, list[bool]] = {}
    figures: dict[str, float] = {}
    for domain in data.streams:
        rows = [data.streams[domain][i * 256 : i * 256 + 256] for i in range(6)]
        ids = torch.tensor(np.stack([np.concatenate([[data.id["<bos>"]], r]) for r in rows]))
        loss = loss_of(model, Batch("text", {"input_ids": ids, "mm_token_type_ids": ids * 0}, (ids >= 0).float(), []))
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
