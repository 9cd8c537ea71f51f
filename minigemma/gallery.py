"""Every figure of the gallery: its name, what it shows, and what draws it.

``draw_all`` (``minigemma figures``) writes them as PNG and SVG with a page that lists them; the tour draws a few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from minigemma import exhibits, numbers, plots
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.parameters import parameter_count
from minigemma.studio import SAMPLES, Studio

DPI = 120  # 770 pixels for a figure as wide as a column; the SVG is there for more
E2B, A4B = PRESETS["E2B"], PRESETS["26B-A4B"]


@dataclass(frozen=True)
class Entry:
    """A figure of the gallery."""

    name: str  # of its files
    caption: str  # also its alternative text; {model} stands for the model it was drawn from
    draw: Callable[..., Figure]  # of a studio and a model, or of nothing where the released configs say it all
    needs: tuple[str, ...] | None = None  # what a model must have for it (studio.NEEDS); None: no model is asked


def _of_models(name: str, caption: str, draw: Callable[..., Figure], *needs: str) -> Entry:
    return Entry(name, caption, draw, needs)


GALLERY: tuple[Entry, ...] = (
    # text
    _of_models("tokens", "A sentence cut into the tokens that {model} reads.", exhibits.tokens),
    Entry("parameters", "Where the parameters of the four released models live.",
          lambda: plots.parameter_bars({name: parameter_count(config) for name, config in PRESETS.items()})),
    Entry("layer_schedule", "Local, global and sharing layers of the four released models, to one scale.",
          lambda: plots.layer_schedule(PRESETS)),
    Entry("window_masks", "What a local and a global layer let a token see: a window of six, and everything before it.",
          lambda: plots.mask_pair(16, 6, 12)),
    Entry("receptive_field", "How far back a token can have heard from, layer by layer, until the first global layer.",
          lambda: plots.receptive_field({n: (c.text.layer_types, c.text.sliding_window) for n, c in PRESETS.items()})),
    _of_models("attention_grid", "Attention patterns of every layer and head of {model} on one sentence: narrow bands "
               "in the local layers, whole triangles in the global ones.", exhibits.attention_grid),
    _of_models("attention_local", "One local head of {model}: each token looks at most a window back.",
               exhibits.attention_local),
    _of_models("attention_global", "One global head of {model}: each token may look at everything before it.",
               exhibits.attention_global),
    _of_models("recall", "A fact told long before the window: what {model} looks at as it answers a question about it.",
               exhibits.recall),
    Entry("head_wiring", "Query heads and the key/value head each one reads, in the four released models.",
          lambda: plots.head_wiring(PRESETS)),
    Entry("kv_sharing", "E2B: whose keys and values each layer reads.", lambda: plots.kv_sharing_arcs(E2B)),
    Entry("kv_cache_bytes", "The KV cache of the four released models against context.",
          lambda: plots.kv_cache_bytes(PRESETS)),
    _of_models("kv_cache_parts", "The KV cache of {model}: local layers stop growing at their window.",
               exhibits.kv_cache),
    Entry("rope_angles", "Rotation angles of every pair at every position: local layers, full RoPE, p-RoPE.",
          lambda: plots.rope_angles(E2B)),
    Entry("wavelengths", "How many tokens one full turn takes, pair by pair; p-RoPE prunes the slow ones.",
          lambda: plots.wavelengths(numbers.rope_variants(E2B.text))),
    _of_models("stream_sizes", "Size of the residual stream after every layer of {model}.", exhibits.stream_sizes),
    _of_models("logit_lens", "The likeliest next token read after every layer of {model}.", exhibits.logit_lens),
    # experts and per-layer embeddings
    _of_models("router", "Which experts {model}'s router chooses for each token of a sentence.", exhibits.router,
               "experts"),
    _of_models("router_steps", "One token's way through the router of {model}: scores, probabilities, weights.",
               exhibits.router_steps, "experts"),
    _of_models("expert_load", "How often {model} uses each expert, by domain of the text.", exhibits.expert_load,
               "experts"),
    Entry("active_parameters", "26B-A4B: parameters in memory and at work for one token.",
          lambda: plots.active_parameters(*numbers.active_parameters(A4B.text))),
    _of_models("ple_parts", "One token's per-layer embeddings in {model}: from the token, from the context, mixed.",
               exhibits.ple_parts, "ple"),
    _of_models("ple_contribution", "How much per-layer embeddings add to the stream of {model}, layer by layer.",
               exhibits.ple_contribution, "ple"),
    Entry("ple_bytes", "Per-layer embeddings read for one token, and the table they are read from.",
          lambda: plots.ple_bytes({name: PRESETS[name] for name in ("E2B", "E4B")})),
    # pictures
    _of_models("patch_grid", "A picture as {model}'s encoder gets it: resized, cut into patches and soft tokens.",
               exhibits.patch_grid, "eyes"),
    Entry("budgets", "One picture at every budget of soft tokens.", lambda: plots.budgets(SAMPLES / "scene.png")),
    _of_models("position_tables", "The two learned tables that tell {model}'s encoder where a patch is.",
               exhibits.position_tables, "eyes"),
    Entry("vision_angles", "Two-dimensional RoPE of E2B's encoder: x turns one half of a head, y the other.",
          exhibits.vision_angles),
    _of_models("patch_attention", "Where one patch of a picture looks, in the last layer of {model}'s encoder.",
               exhibits.patch_attention, "eyes"),
    Entry("image_mask", "Tokens of an image in the masks of the small and of the large models.", exhibits.image_mask),
    _of_models("image_attention", "Where in the picture {model} looks as it answers a question about it.",
               exhibits.image_attention, "eyes"),
    # sounds
    Entry("waveform_and_mel", "A recorded sentence: waveform, mel-spectrogram, soft tokens.", exhibits.waveform),
    Entry("mel_filters", "The filters that gather frequencies into mel bins.", plots.mel_filter_bank),
    _of_models("convolutions", "What the two convolutions of {model}'s ears make of a spectrogram.",
               exhibits.convolutions, "ears"),
    Entry("conformer_mask", "Which soft tokens a sound's soft token may look at: the last twelve.", plots.chunk_mask),
    _of_models("conformer", "What each part of a Conformer layer of {model} adds to the stream.", exhibits.conformer,
               "ears"),
    _of_models("sound_attention", "Where in the sound {model} looks as it writes down what was said.",
               exhibits.sound_attention, "ears"),
    _of_models("one_sequence", "One prompt with a picture and a sound, as {model} reads it: a single sequence.",
               exhibits.both, "eyes", "ears"),
)  # fmt: skip


def draw(entries: Sequence[Entry], studio: Studio, out: Path) -> dict[str, str]:
    """Draw figures into ``out`` as PNG and SVG; returns captions by file name, in order.

    What no model of the studio can do is left out, and said.
    """
    captions = {}
    for entry in tqdm(entries, unit="figure", leave=False, disable=None):
        if entry.needs is None:
            figure, captions[entry.name] = entry.draw(), entry.caption
        else:
            try:
                model = studio.model(*entry.needs)
            except InputError as error:
                tqdm.write(f"left out: {entry.name}: {error}")
                continue
            figure, captions[entry.name] = entry.draw(studio, model), entry.caption.format(model=studio.name(model))
        plots.save(figure, out / entry.name, dpi=DPI)
    print(f"{len(captions)} figure{'s' * (len(captions) != 1)} in {out}/ (PNG and SVG)")
    return captions


def draw_all(out: Path, only: str | None = None) -> list[Path]:
    """Draw the gallery, or the figures whose name contains ``only``, into ``out``; returns the PNG files.

    When all of it is drawn, README.md shows it.
    """
    chosen = [entry for entry in GALLERY if not only or only in entry.name]
    if not chosen:
        raise InputError(f"no figure's name contains {only!r}; there are: {', '.join(e.name for e in GALLERY)}")
    captions = draw(chosen, Studio(), out)
    if not only:
        head = "# Gallery\n\nDrawn by `make figures` from the shipped checkpoints and the released configs.\n\n"
        (out / "README.md").write_text(head + page(captions), encoding="utf-8")
    return [out / f"{name}.png" for name in captions]


def page(captions: dict[str, str]) -> str:
    """Figures as Markdown. captions: by file name, in order."""
    parts = [f"## {text}\n\n![{text}]({name}.png)\n\n[SVG]({name}.svg)\n" for name, text in captions.items()]
    return "\n".join(parts)
