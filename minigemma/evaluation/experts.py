"""Do the experts share the work, and do they differ by domain? And what is lost without the busiest of them?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minigemma.evaluation import sets
from minigemma.evaluation.language import DOMAINS, compared, passage_ids
from minigemma.evaluation.report import Table, progress
from minigemma.model import Gemma4
from minigemma.trace import Edit, Trace

SHUFFLES = 20


def choices(model: Gemma4, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How often each expert was chosen: counts (passages, L, E), and the domain of each passage (passages,)."""
    work = [(d, text) for d, domain in enumerate(DOMAINS) for text in sets.passages()[domain][:limit]]
    experts = model.config.text.num_experts
    counts = []
    for _, text in progress(work, "experts chosen"):
        trace = Trace("layers.*.moe.expert_index")
        model.forward(passage_ids(model, text), trace=trace)
        counts.append([np.bincount(index.ravel(), minlength=experts) for index in trace.values()])
    return np.array(counts), np.array([d for d, _ in work])


def mutual_information(counts: np.ndarray, domain: np.ndarray) -> float:
    """Bits that a chosen expert tells about the domain, all domains alike: counts (passages, E), domain (passages,)."""
    joint = np.array([counts[domain == d].sum(axis=0) for d in np.unique(domain)], dtype=float)
    joint /= joint.sum(axis=1, keepdims=True) * len(joint)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    return float((joint[seen] * np.log2(joint[seen] / apart[seen])).sum())


def evenness(counts: np.ndarray) -> float:
    """Entropy of the load (E,) as a share of the most there can be: 1 where all experts work alike."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum() / np.log(len(counts)))


def experts(model: Gemma4, limit: int | None = None) -> list[Table]:
    """By layer what experts tell about domains and how evenly they work; then the loss without some of them."""
    counts, domain = choices(model, limit)
    random = np.random.default_rng(0)
    rows = {}
    for layer in range(counts.shape[1]):
        here = counts[:, layer]
        shuffled = [mutual_information(here, random.permutation(domain)) for _ in range(SHUFFLES)]
        load = here.sum(axis=0)
        even = load.mean()
        rows[f"layer {layer}"] = [
            mutual_information(here, domain), float(np.mean(shuffled)), evenness(load), load.max() / even,
            load.min() / even,
        ]  # fmt: skip
    columns = {"bits about the domain": "{:.3f}", "domains shuffled": "{:.3f}", "evenness": "{:.3f}",
               "busiest": "{:.2f}", "idlest": "{:.2f}"}  # fmt: skip
    note = (
        f"at most {np.log2(len(DOMAINS)):.0f} bits for {len(DOMAINS)} domains; shuffled: passages change domains\n"
        "evenness: entropy of the load over the largest possible; busiest and idlest: load over the mean"
    )
    return [Table("Experts", columns, rows, note), _removed(model, counts.sum(axis=0), limit)]


def _removed(model: Gemma4, load: np.ndarray, limit: int | None) -> Table:
    """Loss when in every layer the k busiest, or as a control the k idlest, experts cannot be chosen. load (L, E)."""
    top_k, E = model.config.text.top_k_experts, model.config.text.num_experts
    edits: dict[str, Mapping[str, Edit] | None] = {"all experts": None}
    for k in (k for k in (1, 2, 4) if k <= E - top_k):
        for name, order in (("busiest", -load), ("idlest", load)):
            edits[f"without the {k} {name}"] = without(np.argsort(order, axis=-1, kind="stable")[:, :k])
    return compared(model, "Experts removed: nats per token", edits, limit)


def without(removed: np.ndarray) -> Mapping[str, Edit]:
    """Edits under which the router never chooses experts removed[layer]: removed (L, k)."""

    def closed(experts: np.ndarray) -> Edit:
        def change(scores: np.ndarray) -> np.ndarray:
            scores[:, experts] = -np.inf
            return scores

        return change

    return {f"layers.{layer}.moe.router_scores": closed(experts) for layer, experts in enumerate(removed)}
