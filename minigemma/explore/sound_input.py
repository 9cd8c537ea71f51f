"""Which sound an explorer is about: one of the shipped samples, a WAV file of the reader's, or a recording."""

from __future__ import annotations

import io
import warnings
import wave
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ipywidgets as widgets
import numpy as np

from minigemma.audio.mel import log_mel
from minigemma.audio.waveform import SAMPLE_RATE, prepare
from minigemma.errors import InputError
from minigemma.explore.base import choice
from minigemma.explore.record import recorder
from minigemma.studio import SAMPLES

SHIPPED = {
    "command.wav (a synthetic voice)": "command.wav",
    "recorded.wav (a person; no such voice in training)": "recorded.wav",
}


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound by its source: a WAV file, its bytes, or samples with their rate. It is read when it is asked for."""

    source: Any  # a path, bytes, or (waveform, sample rate)

    @cached_property
    def _heard(self) -> tuple[np.ndarray, str]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            waveform = prepare(*self.source) if isinstance(self.source, tuple) else prepare(self.source)
        notes = [str(warning.message) for warning in said]
        if not waveform.any():
            notes.append("the sound is silent: every mel bin stands at ln(0.001)")
        return waveform, " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)

    @property
    def waveform(self) -> np.ndarray:
        """(samples,) at 16 kHz; InputError if the source is no sound."""
        return self._heard[0]

    @property
    def note(self) -> str:
        """ "" or what a reader should know: cut at 30 s, silent."""
        return self._heard[1]

    @cached_property
    def mel(self) -> np.ndarray:
        """(frames, 128) log-mel; InputError if it is shorter than one frame."""
        return log_mel(self.waveform, SAMPLE_RATE)

    def wav(self) -> bytes:
        """The sound as the model hears it, as a WAV file to be played; empty if the source is no sound."""
        try:
            samples = (np.clip(self.waveform, -1, 1) * 32767).astype("<i2")
        except InputError:
            return b""
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))  # channels, bytes a sample, Hz
            out.writeframes(samples.tobytes())
        return file.getvalue()


def sound_choice(**more: Any) -> tuple[widgets.Dropdown, list[widgets.Widget]]:
    """A choice of sounds, and what goes beside it: a player, and an upload and a record button, which add a sound.

    more: further sounds by name, as ``Sound`` takes them.
    """
    sounds = {label: Sound(SAMPLES / file) for label, file in SHIPPED.items()}
    sounds |= {name: Sound(source) for name, source in more.items()}
    control = choice("sound", sounds)
    player = widgets.Audio(autoplay=False, loop=False, format="wav", layout=widgets.Layout(width="260px"))
    upload = widgets.FileUpload(accept=".wav", multiple=False, description="your WAV file")

    def add(name: str, source: Any) -> None:
        new = Sound(source)
        control.options = [*(entry for entry in control.options if entry[0] != name), (name, new)]
        control.value = new

    def uploaded(change: dict) -> None:
        for file in change["new"]:
            add(file["name"], bytes(file["content"]))

    def play(_: Any = None) -> None:
        player.value = control.value.wav()

    play()
    control.observe(play, "value")
    upload.observe(uploaded, "value")
    return control, [player, upload, recorder(lambda waveform, rate: add("my recording", (waveform, rate)))]
