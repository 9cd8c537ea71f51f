"""A sound, moment by moment: from the waveform to the soft tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from minigemma import plots
from minigemma.config import AudioConfig
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, choice, slider
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
    following = [FRAME]

    def fit(controls: Mapping[str, Any]) -> None:
        at, follow, sound = controls["at"], controls["follow"].value, controls["sound"].value
        last = len(sound.mel) - 1 if follow == FRAME else (len(sound.mel) - 1) // 4
        here = at.value
        if follow != following[0]:  # stay at the same moment: four frames to a token
            here = 4 * here if follow == FRAME else round(here / 4)
            following[0] = follow
            at.description = "frame" if follow == FRAME else "soft token"
        at.max = last
        at.value = min(here, last)

    def draw(sound: Sound, follow: str, at: int) -> Figure:
        soft = hear(sound)["subsampling.output"]  # (T, D)
        view = plots.frame_view if follow == FRAME else plots.token_view
        return view(sound.waveform, sound.mel, soft, at, sound.note)

    control, beside = sound_choice(**sounds)
    loudest = int(np.argmax(control.value.mel.sum(axis=1)))
    at = slider("frame", 0, len(control.value.mel) - 1, loudest)
    at.layout = widgets.Layout(width="420px")
    controls = {"sound": control, "follow": choice("follow", [FRAME, TOKEN]), "at": at}
    return Explorer(draw, controls, beside=beside, adapt=fit)


def sound_lengths(config: AudioConfig | None = None) -> Explorer:
    """Seconds, frames, soft tokens, and the shapes on the way, for a config (None: the released models')."""
    seconds = widgets.FloatSlider(
        value=3.0, min=0.1, max=40.0, step=0.1, description="seconds", layout=widgets.Layout(width="420px")
    )
    return Explorer(lambda seconds: plots.sound_shapes(seconds, config), {"seconds": seconds})
