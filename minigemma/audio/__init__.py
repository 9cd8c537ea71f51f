"""Hearing: a waveform becomes a mel-spectrogram, two convolutions make it four times shorter, a Conformer encodes it.

mel = log_mel("sound.wav")                              # (frames, 128), one frame every 10 ms
soft = encode(mel, weights, config.audio)               # (n, output_proj_dims), one soft token every 40 ms
soft = project(soft, embed_weights, eps)                # (n, D), rows that stand where word embeddings would
"""

from minigemma.audio.conformer import encode, project
from minigemma.audio.mel import log_mel, mel_filter_bank
from minigemma.audio.subsampling import soft_token_count
from minigemma.audio.waveform import load

__all__ = ["encode", "load", "log_mel", "mel_filter_bank", "project", "soft_token_count"]
