"""Experts: whom the router chooses, how the weights come about, how the load spreads, what is active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from minigemma import numbers
from minigemma.errors import InputError
from minigemma.ops import softmax
from minigemma.plots import style


def router_heatmap(
    probabilities: np.ndarray,
    chosen: np.ndarray,
    tokens: Sequence[str] | None = None,
    *,
    scale: str = "sqrt",
    title: str = "Router: probability of each expert, chosen ones outlined",
) -> Figure:
    """Tokens down, experts across, colour the probability; each token's chosen experts are outlined.

    probabilities (T, E) after the softmax over all experts; chosen (T, k) expert numbers; tokens: T labels.
    """
    probabilities, chosen = _routing(probabilities, chosen)
    T, E = probabilities.shape
    tall, wide = style.cell_inches(T, 8.0), style.cell_inches(E, 9.0, 4.0, 0.3)
    figure = style.canvas(wide + 2.4, tall + 1.6)
    axes = style.panel(figure, 111, title, "expert", "token", frame=False)
    image = style.heatmap(axes, probabilities, style.scaled(probabilities, scale))
    style.colour_bar(figure, image, axes, "router probability")
    thickness = float(np.clip(60 * min(tall / T, wide / E), 0.4, 1.8))  # outlines must not hide small cells
    places = [(expert, token) for token, row in enumerate(chosen) for expert in row]
    style.boxes(axes, places, 1, 1, facecolor="none", edgecolor="white", linewidth=thickness)
    text = style.token_ticks(axes, tokens, "y", tall)
    step = 1 if E <= 24 else 8
    axes.set_xticks(range(0, E, step), [str(e) for e in range(0, E, step)], fontsize=style.SMALL)
    if text:
        style.note(figure, text)
    return figure


def expert_load(
    chosen: np.ndarray | Mapping[str, np.ndarray],
    experts: int,
    *,
    title: str = "Expert load: how many tokens each expert serves",
) -> Figure:
    """Tokens per expert beside the line of an even spread; by domain, also which domains prefer which experts.

    chosen: (T, k) expert numbers, or {domain: (T, k)}. The lower panel of the second form is the domain's use of an
    expert divided by an even spread's, in powers of two: white is even, 2 is four times as often.
    """
    domains = {"": chosen} if isinstance(chosen, np.ndarray) else dict(chosen)
    if not domains or any(np.ndim(c) != 2 or np.size(c) == 0 for c in domains.values()):
        raise InputError("chosen must hold (T, k) expert numbers, at least one token for every domain")
    counts = {name: np.bincount(np.ravel(c), minlength=experts) for name, c in domains.items()}
    if any(len(c) > experts for c in counts.values()):
        raise InputError(f"chosen names expert {max(map(len, counts.values())) - 1}, but there are {experts} experts")
    figure = style.canvas(style.WIDTH + 1.6, 3.4 + (0 if "" in domains else 0.4 * len(domains) + 1.2))
    grid = figure.add_gridspec(
        1 if "" in domains else 2, 1, height_ratios=None if "" in domains else [2.4, 0.4 * len(domains) + 0.6]
    )
    axes = style.panel(figure, grid[0], title, "expert", "tokens")
    bottom = np.zeros(experts)
    for i, (name, count) in enumerate(counts.items()):
        colour = style.ACTIVATIONS if name == "" else style.SERIES[i % len(style.SERIES)]
        axes.bar(range(experts), count, bottom=bottom, width=0.9, color=colour, label=name or None)
        bottom += count
    even = bottom.sum() / experts
    axes.axhline(even, color=style.INK, linestyle="--", linewidth=1.5, label=f"even spread: {even:,.1f}")
    axes.set_xlim(-0.5, experts - 0.5)
    axes.set_ylim(0, bottom.max() * (1.25 if len(domains) < 4 else 1.45))  # a legend of two lines
    style.legend(axes, loc="upper center", ncols=min(4, len(domains) + 1))
    if "" not in domains:
        _preferences(figure, grid[1], counts, experts)
    return figure


def _preferences(figure: Figure, position, counts: Mapping[str, np.ndarray], experts: int) -> None:
    axes = style.panel(figure, position, "", "expert", "", frame=False)
    ratio = np.array([c / c.sum() * experts for c in counts.values()])  # (domains, E), 1 is even
    shown = np.log2(np.maximum(ratio, 2.0**-3))
    image = style.heatmap(axes, shown, style.centred(shown, 3.0), style.SIGNED)
    axes.set_yticks(range(len(counts)), list(counts), fontsize=style.SMALL)
    style.colour_bar(figure, image, axes, "log₂ of use\n÷ even spread", aspect=12, extend="both")


def router_waterfall(
    scores: np.ndarray,
    top_k: int,
    per_expert_scale: np.ndarray | None = None,
    *,
    title: str = "One token's way through the router",
) -> Figure:
    """From scores to weights in five steps for one token: scores, softmax, keep k, renormalise, scale per expert.

    scores (E,), per_expert_scale (E,) or None for ones. Chosen experts keep their colour; the others fade.
    """
    scores = np.asarray(scores, np.float32)
    E = len(scores)
    if not 0 < top_k <= E:
        raise InputError(f"top_k is {top_k} for {E} experts; expected 1 to {E}")
    kept = np.zeros(E, bool)
    kept[np.argsort(-scores, kind="stable")[:top_k]] = True
    probabilities = softmax(scores)
    first = np.where(kept, probabilities, 0)
    weights = first / first.sum()
    scaled = weights * (np.ones(E) if per_expert_scale is None else per_expert_scale)
    steps = {
        "1  scores": scores,
        f"2  softmax over all {E}: sum 1": probabilities,
        f"3  keep the {top_k} largest: sum {first.sum():.3f}": first,
        "4  renormalise: sum 1": weights,
        f"5  × each expert's scale: sum {scaled.sum():.3f}": scaled,
    }
    figure = style.canvas(style.WIDTH, 7.6)
    style.headline(figure, title)
    colours = np.where(kept, style.ACTIVATIONS, "#B8BEC7")
    for i, (name, values) in enumerate(steps.items()):
        axes = style.panel(figure, (5, 1, i + 1), name, "expert" if i == 4 else "", "")
        axes.title.set_fontsize(style.TEXT)
        axes.bar(range(E), values, color=colours, width=0.85)
        axes.set_xlim(-0.6, E - 0.4)
        axes.locator_params(axis="y", nbins=3)
        axes.axhline(0, color=style.MUTED, linewidth=0.8)
        axes.tick_params(labelbottom=i == 4)
    return figure


def router_view(
    before: np.ndarray,
    after: np.ndarray,
    tokens: Sequence[str],
    token: int,
    surprise: tuple[np.ndarray, np.ndarray],
    *,
    title: str = "Weights of the chosen experts",
    note: str = "",
) -> Figure:
    """A router as it is and changed: all tokens, one token's experts, and what the change does to the model's guesses.

    before, after (T, E): weights, zero where an expert was not chosen; surprise: nats (T - 1,) at each next token,
    before and after.
    """
    T, E = before.shape
    tall = style.cell_inches(T, 7.0, 3.2)
    figure = style.canvas(style.WIDTH + 3.4, max(tall, 4.6) + 3.6)
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 1.1], height_ratios=[max(tall, 4.6) - 1.4, 2.6])
    left = style.panel(figure, grid[0, 0], title, "expert", "token", frame=False)
    image = style.heatmap(left, after, style.scaled(np.maximum(after, 0), "linear"))
    style.colour_bar(figure, image, left, "weight")
    style.boxes(left, [((E - 1) / 2, token)], E, 1, facecolor="none", edgecolor="white", linewidth=1.8)
    text = style.token_ticks(left, tokens, "y", tall)
    right = style.panel(figure, grid[0, 1], f"Token {token}: {tokens[token]}", "expert", "weight")
    right.bar(np.arange(E) - 0.2, before[token], 0.4, color=style.WEIGHTS, label="as it is")
    right.bar(np.arange(E) + 0.2, after[token], 0.4, color=style.ACTIVATIONS, label="what if")
    right.set_ylim(0, 1.3 * max(before[token].max(), after[token].max()))
    style.legend(right, loc="upper right", ncols=2)
    for axes in (left, right):
        axes.set_xticks(range(0, E, 1 if E <= 8 else max(2, E // 8)))
    below = style.panel(figure, grid[1, :], "Surprise at the next token", "token that is guessed", "nats")
    lines = {"as it is": (style.WEIGHTS, 3.5), "what if": (style.ACTIVATIONS, 1.5)}  # both seen where they agree
    for values, (name, (colour, width)) in zip(surprise, lines.items(), strict=True):
        label = f"{name}: mean {np.mean(values):.2f}" if len(values) else name
        below.plot(range(1, T), values, "o-", color=colour, linewidth=width, markersize=4, label=label)
    below.set_ylim(bottom=0)
    style.legend(below, loc="upper right", ncols=2)
    if text or note:
        style.note(figure, " ".join(filter(None, (text, note))))
    return figure


def branch_norms(
    dense: np.ndarray,
    experts: np.ndarray,
    tokens: Sequence[str] | None = None,
    *,
    title: str = "Dense branch and experts, token by token",
) -> Figure:
    """How much each of the two branches of a mixture layer contributes. dense, experts (T,): RMS of what each adds."""
    T = len(dense)
    wide = style.cell_inches(T, 9.0, 4.5)
    figure, axes = style.single(title, "token", "RMS of the contribution", width=wide + 1.4)
    axes.bar(np.arange(T) - 0.2, dense, 0.4, color=style.WEIGHTS, label="dense feed-forward (always on)")
    axes.bar(np.arange(T) + 0.2, experts, 0.4, color=style.ACTIVATIONS, label="chosen experts, weighted and summed")
    axes.set_ylim(0, 1.3 * max(np.max(dense), np.max(experts), 1e-9))
    text = style.token_ticks(axes, tokens, "x", wide)
    style.legend(axes, loc="upper left")
    if text:
        style.note(figure, text)
    return figure


def active_parameters(
    active: int,
    total: int,
    experts: int = 128,
    chosen: int = 8,
    *,
    title: str = "Parameters in memory and at work for one token",
) -> Figure:
    """A bar of active and resting parameters over a unit chart of the experts, the chosen ones filled."""
    figure = style.canvas(style.WIDTH, 3.6)
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 1.7])
    axes = style.panel(figure, grid[0], title, "billions of parameters", "")
    axes.barh([0], [active / 1e9], color=style.WEIGHTS)
    axes.barh([0], [(total - active) / 1e9], left=[active / 1e9], color=style.FAINT)
    share = f"{active / 1e9:.2f} B active, {active / total:.2%}"
    axes.text(active / 1e9, 0, f"  {share} of {total / 1e9:.2f} B", va="center", fontsize=style.TEXT)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    units = style.panel(
        figure, grid[1], "", f"{chosen} of {experts} experts work for a token, {experts - chosen} rest", "", frame=False
    )
    columns = min(experts, 32)
    places = [(i % columns + 0.5, i // columns + 0.5) for i in range(experts)]
    style.boxes(units, places, 0.84, 0.84, facecolor=[style.WEIGHTS] * chosen + [style.FAINT] * (experts - chosen))
    units.set_xlim(0, columns)
    units.set_ylim(-(-experts // columns), 0)
    units.set_xticks([])
    units.set_yticks([])
    return figure


def distinct_experts(
    experts: int = 128,
    chosen: int = 8,
    most: int = 256,
    measured: Mapping[int, float] | None = None,
    *,
    title: str = "A batch wakes nearly all experts",
) -> Figure:
    """Expected number of different experts used in a layer against tokens in the batch, if routing were even.

    measured: {tokens: experts used}, drawn as points.
    """
    tokens = np.unique(np.geomspace(1, most, 200).astype(int))
    figure, axes = style.single(title, "tokens in the batch", "different experts read in a layer")
    axes.plot(
        tokens,
        numbers.expected_experts(tokens, experts, chosen),
        color=style.WEIGHTS,
        linewidth=2.5,
        label="even routing",
    )
    axes.axhline(experts, color=style.MUTED, linestyle="--", linewidth=1.2)
    axes.text(1, experts, f"all {experts}", va="bottom", fontsize=style.SMALL, color=style.MUTED)
    for n in (n for n in (1, 8, 32) if n <= most):
        value = float(numbers.expected_experts(n, experts, chosen))
        axes.plot(n, value, "o", color=style.WEIGHTS)
        axes.annotate(f"{value:.3g}", (n, value), (6, -13), textcoords="offset points", fontsize=style.TEXT)
    if measured:
        axes.plot(list(measured), list(measured.values()), "s", color=style.GLOBAL_COLOUR, label="measured")
        style.legend(axes, loc="lower right")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(0, experts * 1.12)
    return figure


def _routing(probabilities: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, chosen = np.asarray(probabilities, np.float32), np.asarray(chosen)
    if probabilities.ndim != 2 or chosen.ndim != 2 or len(probabilities) != len(chosen) or probabilities.size == 0:
        raise InputError(f"probabilities {probabilities.shape}, chosen {chosen.shape}; expected (T, E) and (T, k)")
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < probabilities.shape[1]:
        raise InputError(
            f"chosen names experts {chosen.min()} to {chosen.max()}; there are 0 to {probabilities.shape[1] - 1}"
        )
    return probabilities, chosen
