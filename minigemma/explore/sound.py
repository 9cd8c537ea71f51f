"""A sound, moment by moment: from the waveform to the soft tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.audio.numbers import query_scores
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, choice, end_at, slider
from minigemma.explore.sound_input import Sound, sound_choice
from minigemma.model import Gemma4
from minigemma.trace import Trace

FRAME, TOKEN = "a frame (20 ms)", "a soft token (80 ms)"


class Hearer:
    """Encodes sounds with a model's audio encoder, recording the tensors named; the last one is kept.

    names: below ``audio.0``, as the encoder records them (``layers.*.attention.pattern``).
    """

    def __init__(self, model: Gemma4, *names: str):
        if model.config.audio is None:
            raise InputError("this model has no ears: take mini-e, E2B or E4B")
        self.model, self.names = model, names
        self._last: tuple[Sound, Trace] | None = None

    def __call__(self, sound: Sound) -> Trace:
        """What the encoder made of a sound."""
        if self._last is None or self._last[0] is not sound:
            trace = Trace(*self.names)
            self.model.encode_audio(sound.mel, trace)
            self._last = sound, trace
        return self._last[1]


def sound_viewer(model: Gemma4, **sounds: Any) -> Explorer:
    """Follow a frame or a soft token of a sound: a sample, your own WAV file, or what you say into the microphone.

    sounds: more of them by name: a path, the bytes of a WAV file, or (waveform, sample rate).
    """
    hear = Hearer(model, "subsampling.output")
    control, beside = sound_choice(**sounds)
    before: list[Any] = [control.value, FRAME]  # what the slider was last fitted to

    def fit(controls: Mapping[str, Any]) -> None:
        at, follow, sound = controls["at"], controls["follow"].value, controls["sound"].value
        frame = loudest(sound) if sound is not before[0] else at.value if before[1] == FRAME else 4 * at.value
        before[:] = sound, follow
        at.description = "frame" if follow == FRAME else "soft token"
        at.max = len(sound.mel) - 1 if follow == FRAME else (len(sound.mel) - 1) // 4
        at.value = min(at.max, frame if follow == FRAME else round(frame / 4))

    def draw(sound: Sound, follow: str, at: int) -> Figure:
        soft = hear(sound)["subsampling.output"]  # (T, D)
        view = plots.frame_view if follow == FRAME else plots.token_view
        return view(sound.waveform, sound.mel, soft, at, sound.note)

    at = slider("frame", 0, len(control.value.mel) - 1, loudest(control.value))
    at.layout = widgets.Layout(width="420px")
    controls = {"sound": control, "follow": choice("follow", [FRAME, TOKEN]), "at": at}
    return Explorer(draw, controls, beside=beside, adapt=fit)


def conformer_heads(model: Gemma4, layer: int = 0, head: int = 0, **sounds: Any) -> Explorer:
    """Whom the soft tokens of a sound look at in each layer and head of the Conformer, and why: scores of one of them.

    sounds: as ``sound_viewer`` takes them.
    """
    hear = Hearer(model, *(f"layers.*.attention.{part}" for part in ("pattern", "content", "distance_shifted")))
    config = model.config.audio
    assert config is not None  # or it would have no ears
    control, beside = sound_choice(**sounds)

    def fit(controls: Mapping[str, Any]) -> None:
        end_at(controls["token"], (len(controls["sound"].value.mel) - 1) // 4)

    def draw(sound: Sound, layer: int, head: int, token: int) -> Figure:
        trace, name = hear(sound), f"layers.{layer}.attention."
        pattern = trace[f"{name}pattern"][head]  # (T, T)
        scores = query_scores(trace[f"{name}content"], trace[f"{name}distance_shifted"], head, token, config)
        title = f"Layer {layer}, head {head}"
        return plots.sound_head(sound.mel, pattern, scores, token, config, title=title, note=sound.note)

    controls = {
        "sound": control,
        "layer": slider("layer", 0, config.num_hidden_layers - 1, layer),
        "head": slider("head", 0, config.num_attention_heads - 1, head),
        "token": slider("query (soft token)", 0, (len(control.value.mel) - 1) // 4, loudest(control.value) // 4),
    }
    return Explorer(draw, controls, beside=beside, adapt=fit)


def loudest(sound: Sound) -> int:
    """The frame in which the mel bins sum to most."""
    return int(np.argmax(sound.mel.sum(axis=1)))


def sound_lengths(config: AudioConfig | None = None) -> Explorer:
    """Seconds, frames, soft tokens, and the shapes on the way, for a config (None: the released models')."""
    seconds = widgets.FloatSlider(
        value=3.0, min=0.1, max=40.0, step=0.1, description="seconds", layout=widgets.Layout(width="420px")
    )
    return Explorer(lambda seconds: plots.sound_shapes(seconds, config), {"seconds": seconds})
