"""How Gemma 4 hears, in pictures: functions of arrays that return a Figure. Random weights mean nothing."""

from minigemma.plots.conformer import chunk_mask, conformer_path, receptive_field, relative_bias
from minigemma.plots.spectrogram import (
    convolution_stages,
    mel_filter_bank,
    sound_attention,
    token_span,
    waveform_and_mel,
)

__all__ = [
    "chunk_mask",
    "conformer_path",
    "convolution_stages",
    "mel_filter_bank",
    "receptive_field",
    "relative_bias",
    "sound_attention",
    "token_span",
    "waveform_and_mel",
]
