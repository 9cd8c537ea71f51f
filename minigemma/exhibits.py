"""How each figure of the gallery is made from a model and the samples: functions (studio, model) -> Figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minigemma import audio as hearing
from minigemma import lens, numbers, plots
from minigemma import vision as seeing
from minigemma.config import PRESETS
from minigemma.model import Gemma4
from minigemma.studio import SAMPLES, Studio
from minigemma.trace import Trace

# --- text ------------------------------------------------------------------------------------------------------------


def tokens(studio: Studio, model: Gemma4) -> Figure:
    run = studio.read(model)
    return plots.token_strip(run.tokens, run.prompt.token_ids)


def attention_grid(studio: Studio, model: Gemma4) -> Figure:
    run = studio.read(model)
    patterns = list(run.trace.match("layers.*.attention.pattern").values())
    title = f"{studio.name(model)}: attention patterns, layers × heads"
    return plots.attention_grid(patterns, model.schedule, run.tokens, title=title)


def attention_local(studio: Studio, model: Gemma4) -> Figure:
    return _sharpest_head(studio, model, local=True)


def attention_global(studio: Studio, model: Gemma4) -> Figure:
    return _sharpest_head(studio, model, local=False)


def _sharpest_head(studio: Studio, model: Gemma4, local: bool) -> Figure:
    """The head of one kind that spends the most of its attention on one key, leaving out the first token."""
    run = studio.read(model)
    peaks = {
        (spec, head): run.trace[f"layers.{spec.index}.attention.pattern"][head, 2:, 1:].max(axis=-1).mean()
        for spec in model.schedule
        if spec.is_local == local
        for head in range(spec.heads)
    }
    spec, head = max(peaks, key=lambda at: peaks[at])
    title = f"{studio.name(model)}, {'local' if local else 'global'} layer {spec.index}, head {head}"
    pattern = run.trace[f"layers.{spec.index}.attention.pattern"][head]
    return plots.attention_head(pattern, run.tokens, title=title, scale="sqrt", kind=spec.kind)


def recall(studio: Studio, model: Gemma4) -> Figure:
    """The global head that looks most at the fact which answers the story's question."""
    run, sample = studio.run(model, "story"), studio.samples["story"]
    ids = model.tokenizer.encode(sample["fact"])
    begins = [t for t in range(len(run.tokens)) if run.prompt.token_ids[t + 1 : t + len(ids)] == ids[1:]]
    fact = slice(begins[0], begins[0] + len(ids))
    at = run.answering.start
    looks = {
        (spec.index, head): run.trace[f"layers.{spec.index}.attention.pattern"][head, at, fact].sum()
        for spec in model.schedule
        if not spec.is_local
        for head in range(spec.heads)
    }
    layer, head = max(looks, key=lambda where: looks[where])
    pattern = run.trace[f"layers.{layer}.attention.pattern"][head, : at + 1, : at + 1]
    title = (
        f"“{sample['fact']}” told {at - fact.stop + 1} tokens back\nlayer {layer}, head {head}, as the answer is made"
    )
    return plots.attention_row(pattern, run.tokens[: at + 1], title=title, most=16)


def kv_cache(studio: Studio, model: Gemma4) -> Figure:
    longest = model.config.text.max_position_embeddings
    contexts = [2**i for i in range(4, 18) if 2**i <= longest]
    title = f"{studio.name(model)}: size of a full KV cache"
    return plots.kv_cache_bytes(model.config, contexts, bytes_per_number=4, title=title)


def logit_lens(studio: Studio, model: Gemma4) -> Figure:
    run = studio.read(model)
    read = [lens.read_out(model, x) for x in lens.streams(model, run.trace)[1:]]
    rows = [model.tokenizer.tokens(probabilities.argmax(axis=-1)) for probabilities in read]
    return plots.logit_lens(rows, np.array([probabilities.max(axis=-1) for probabilities in read]), run.tokens)


def stream_sizes(studio: Studio, model: Gemma4) -> Figure:
    trace = studio.read(model).trace
    sizes = [numbers.rms(trace[f"layers.{spec.index}.output"]) for spec in model.schedule]
    return plots.rms_depth({studio.name(model): sizes}, model.schedule)


def _longest(labels: list[str]) -> int:
    """The last place of the longest token: one with something to say."""
    return max(range(len(labels)), key=lambda t: (len(labels[t].strip("<>")), t))


# --- experts and per-layer embeddings --------------------------------------------------------------------------------


def router(studio: Studio, model: Gemma4) -> Figure:
    run, layer = studio.read(model), len(model.schedule) // 2
    moe = f"layers.{layer}.moe."
    title = f"{studio.name(model)}, layer {layer}: probability of each expert, chosen ones outlined"
    return plots.router_heatmap(
        run.trace[moe + "router_probabilities"], run.trace[moe + "expert_index"], run.tokens, title=title
    )


def router_steps(studio: Studio, model: Gemma4) -> Figure:
    run, layer = studio.read(model), len(model.schedule) // 2
    t = _longest(run.tokens)
    scores = run.trace[f"layers.{layer}.moe.router_scores"][t]
    scale = model.text_weights[f"layers.{layer}.router.per_expert_scale"]
    title = f"“{run.tokens[t]}” on its way through the router of layer {layer}"
    return plots.router_waterfall(scores, model.config.text.top_k_experts, scale, title=title)


def expert_load(studio: Studio, model: Gemma4) -> Figure:
    layer = len(model.schedule) // 2
    title = f"{studio.name(model)}, layer {layer}: experts by domain of the text"
    return plots.expert_load(studio.experts_by_domain(model, layer), model.config.text.num_experts, title=title)


def ple_parts(studio: Studio, model: Gemma4) -> Figure:
    run = studio.read(model)
    t = _longest(run.tokens)
    parts = [run.trace[f"ple.{part}"][t] for part in ("token_part", "context_part", "inputs")]
    return plots.ple_parts(*parts, title=f"Per-layer vectors of “{run.tokens[t]}”, from two sources")


def ple_contribution(studio: Studio, model: Gemma4) -> Figure:
    trace = studio.read(model).trace
    added = [trace[f"layers.{spec.index}.ple.added"] for spec in model.schedule]
    after = [trace[f"layers.{spec.index}.before_scalar"] for spec in model.schedule]
    sizes = [numbers.rms(x) for x in added], [numbers.rms(x - y) for x, y in zip(after, added, strict=True)]
    return plots.ple_contribution(np.array(sizes[0]), np.array(sizes[1]), model.schedule)


# --- pictures --------------------------------------------------------------------------------------------------------


def _image(studio: Studio, name: str):
    return SAMPLES / studio.samples[name]["images"][0]


def patch_grid(studio: Studio, model: Gemma4) -> Figure:
    return plots.patch_grid(_image(studio, "digits"), model.config.default_soft_tokens)


def patch_attention(studio: Studio, model: Gemma4) -> Figure:
    image = _image(studio, "scene")
    patches, positions = seeing.prepare(image, model.config.default_soft_tokens)
    trace = Trace("layers.*.attention.pattern")
    model.encode_image(patches, positions, trace)
    pattern = list(trace.values())[-1]
    columns, rows = positions.max(axis=0) + 1
    return plots.patch_attention(image, positions, pattern, (int(columns * 0.17), int(rows * 0.27)), heads=[3])


def position_tables(studio: Studio, model: Gemma4) -> Figure:
    return plots.position_tables(model.weights["vision_tower.patch_embedder.position_embedding_table"])


def vision_angles() -> Figure:
    vision = PRESETS["E2B"].vision
    assert vision is not None
    return plots.rope2d_angles(vision, 27, 21)


def image_attention(studio: Studio, model: Gemma4, name: str = "scene") -> Figure:
    run = studio.run(model, name)
    weights = studio.looked(model, name, "image")
    return plots.soft_token_attention(
        _image(studio, name), run.prompt.images[0][1], weights[:-1], run.tokens[-len(weights) : -1]
    )


def image_mask() -> Figure:
    is_image = np.zeros(28, bool)
    is_image[5:14], is_image[18:22] = True, True
    return plots.image_mask(is_image, window=8)


# --- sounds ----------------------------------------------------------------------------------------------------------


def waveform() -> Figure:
    wave, rate = hearing.load(SAMPLES / "recorded.wav")
    return plots.waveform_and_mel(wave, rate, hearing.log_mel(wave, rate))


def convolutions(studio: Studio, model: Gemma4) -> Figure:
    trace = studio.run(model, "command").trace
    stages = (trace[f"audio.0.subsampling.{part}"] for part in ("conv0", "conv1", "output"))
    return plots.convolution_stages(trace["audio.0.mel"], *stages)


def conformer(studio: Studio, model: Gemma4) -> Figure:
    return plots.conformer_path(studio.run(model, "command").trace, prefix="audio.0.")


def sound_attention(studio: Studio, model: Gemma4) -> Figure:
    run, weights = studio.run(model, "command"), studio.looked(model, "command", "audio")
    return plots.sound_attention(run.prompt.audio[0], weights[:-1], run.tokens[-len(weights) : -1])


def both(studio: Studio, model: Gemma4) -> Figure:
    """One prompt with a picture and a sound, by the source of each token."""
    names = {model.config.image_token_id: "image", model.config.audio_token_id: "audio"}
    ids = studio.prompt(model, "both").token_ids
    return plots.sequence_strip([names.get(i, "text") for i in ids])
