"""Loss on held-out text by domain, beside counting words; and what that loss becomes when parts are taken out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from minigemma.evaluation import sets
from minigemma.evaluation.report import Table, progress
from minigemma.model import Gemma4
from minigemma.trace import Edit, Trace

DOMAINS = ("prose", "python", "arithmetic", "stories")
FEWER = 12  # passages of each domain where several variants of a model are compared


def token_losses(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Nats for each next token: logits (T, V), ids (T,) -> (T - 1,)."""
    logits, wanted = logits[:-1], ids[1:, None]
    highest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=-1)) + highest[:, 0]
    return total - np.take_along_axis(logits, wanted, axis=-1)[:, 0]


def passage_ids(model: Gemma4, passage: str) -> np.ndarray:
    """A passage as the model reads it: bos and its tokens (T,)."""
    return np.array([model.config.text.bos_token_id, *model.tokenizer.encode(passage)])


def losses(
    model: Gemma4, name: str, edit: Mapping[str, Edit] | None = None, limit: int | None = None
) -> dict[str, float]:
    """Mean nats per token of each domain's passages. name: what the progress bar says."""
    work = [(domain, text) for domain in DOMAINS for text in sets.passages()[domain][:limit]]
    found: dict[str, list[np.ndarray]] = {domain: [] for domain in DOMAINS}
    for domain, text in progress(work, f"text: {name}"):
        ids = passage_ids(model, text)
        trace = Trace(edit=edit) if edit else None
        found[domain].append(token_losses(model.forward(ids, trace=trace), ids))
    return {domain: float(np.concatenate(parts).mean()) for domain, parts in found.items()}


def language(model: Gemma4, limit: int | None = None) -> list[Table]:
    """Loss by domain, beside unigrams and 3-grams of the same training text."""
    known = sets.baselines()
    counted = known["nats"] if known["tokenizer"] == fingerprint(model) else {}
    columns = {"model": "{:.2f}", "unigram": "{:.2f}", "3-gram": "{:.2f}"}
    rows = {
        domain: [loss, *(counted.get(domain, {}).get(n) for n in ("unigram", "3-gram"))]
        for domain, loss in losses(model, "intact", limit=limit).items()
    }
    note = "" if counted else "the n-grams were counted with another tokenizer, so they do not compare"
    return [Table("Held-out text: nats per token", columns, rows, note)]


def fingerprint(model: Gemma4) -> str:
    """A short name for a tokenizer: a hash of its entries in order, as ``training/ngram.py`` makes it."""
    entries = (model.tokenizer.token(i) for i in range(model.config.text.vocab_size))
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()[:16]


def without_ple(model: Gemma4, limit: int | None = None) -> list[Table]:
    """Loss with the token part, the context part, or both parts of the per-layer embeddings set to zero."""
    token, context = ({f"ple.{part}_part": np.zeros_like} for part in ("token", "context"))
    edits: dict[str, Mapping[str, Edit] | None] = {"whole": None, "without token part": token}
    edits |= {"without context part": context, "without both": token | context}
    return [compared(model, "Per-layer embeddings: nats per token", edits, limit)]


def compared(
    model: Gemma4, title: str, edits: Mapping[str, Mapping[str, Edit] | None], limit: int | None = None
) -> Table:
    """Loss by domain for several variants of a model, on the same passages."""
    limit = min(limit or FEWER, FEWER)
    rows = {name: list(losses(model, name, edit, limit).values()) for name, edit in edits.items()}
    return Table(title, dict.fromkeys(DOMAINS, "{:.2f}"), rows, f"on {limit} passages of each domain")
