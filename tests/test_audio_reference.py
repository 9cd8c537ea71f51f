"""The sound encoder against the installed transformers, on towers whose every tensor is random."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import make_goldens_audio as workshop
import torch

from minigemma import audio
from minigemma.audio import attention as local
from minigemma.audio import conformer
from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig
from minigemma.ops import relative_error
from minigemma.trace import Trace

pytestmark = pytest.mark.reference
HEARING = dataclasses.replace(workshop.SMALL, subsampling_conv_channels=(128, 6))  # small, for real spectrograms
SHAPES = {
    "as released": dataclasses.replace(
        workshop.SMALL, attention_chunk_size=12, attention_context_left=13, gradient_clipping=1e10
    ),
    "small": workshop.SMALL,
    "no clipping": dataclasses.replace(workshop.SMALL, use_clipped_linears=False),
    "looks ahead": dataclasses.replace(workshop.SMALL, attention_context_right=3),
    "chunk > context": dataclasses.replace(workshop.SMALL, attention_chunk_size=6, attention_context_left=4),
    "context > chunk": dataclasses.replace(workshop.SMALL, attention_chunk_size=3, attention_context_left=8),
}


def random_mel(frames, bins=16, seed=3):
    return np.random.default_rng(seed).standard_normal((frames, bins)).astype(np.float32)


def compare(trace, expected, limit):
    for name, value in expected.items():
        assert trace[name].shape == value.shape, name
        assert relative_error(trace[name], value) <= limit, name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("frames", [1, 6, 63, 64, 187, 192])  # shorter than a chunk, multiples of it, and neither
def test_tower(shape, frames):
    config, mel = SHAPES[shape], random_mel(frames)
    tower = workshop.reference_tower(config, seed=frames)
    trace = Trace()
    audio.encode(mel, Weights.of(workshop.arrays(tower)), config, trace)
    compare(trace, workshop.run_reference(tower, mel), 1e-5)


def test_parts_alone():
    config = SHAPES["as released"]
    tower = workshop.reference_tower(config, seed=5)
    layer, weights = tower.layers[1], Weights.of(workshop.arrays(tower)).under("layers.1.")
    x = 2 * random_mel(40, config.hidden_size)
    given = torch.from_numpy(x)[None]
    positions = local.relative_positions(config)
    with torch.no_grad():
        assert relative_error(positions, tower.rel_pos_enc(given).numpy()) <= 1e-6
        expected = layer.feed_forward1(given)[0].numpy()
        ours = x + conformer.feed_forward(x, weights.under("feed_forward1."), config)
        assert relative_error(ours, expected) <= 1e-6
        expected = layer.lconv1d(given)[0].numpy()
        ours = x + conformer.light_convolution(x, weights.under("lconv1d."), config)
        assert relative_error(ours, expected) <= 1e-6
        # without a mask, the reference also lets the blocks see zeros outside the sound, so give it ours
        mask = torch.from_numpy(~local.visible(len(x), config))[None, None]
        expected, pattern = layer.self_attn(given, torch.from_numpy(positions), mask)
        trace = Trace()
        ours = local.attention(x, positions, weights.under("self_attn."), config, trace)
        assert relative_error(ours, expected[0].numpy()) <= 1e-5
        blocks = pattern[0].numpy()  # (H, B, C, S)
        full = local.over_tokens(blocks, local.visible(len(x), config), config)
        assert relative_error(trace["pattern"], full) <= 1e-5


def test_mask_is_the_references():
    """Which keys a query sees, read off the reference's own mask: 12 of them, not 13."""
    config = AudioConfig(hidden_size=16, num_hidden_layers=1, subsampling_conv_channels=(16, 4))
    tower = workshop.reference_tower(config)
    masks = []
    tower.layers[0].register_forward_pre_hook(
        lambda module, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
    )
    workshop.run_reference(tower, random_mel(4 * 41))
    visible = local.visible(41, config)
    assert np.array_equal(masks[0][0, 0].numpy() == 0, visible)
    assert visible.sum(axis=-1).max() == 12


def test_true_width():
    config = dataclasses.replace(AudioConfig(), num_hidden_layers=2)
    tower = workshop.reference_tower(config, seed=2)
    mel = audio.log_mel(workshop.sounds()["vowel"].repeat(6), 16_000)
    trace = Trace()
    audio.encode(mel, Weights.of(workshop.arrays(tower)), config, trace)
    compare(trace, workshop.run_reference(tower, mel), 1e-5)


def test_sound_to_soft_tokens_in_a_padded_batch():
    """Two sounds in one padded batch, frames that the padding adds, masks: the kept rows are what we make of each."""
    from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig
    from transformers.models.gemma4.modeling_gemma4 import Gemma4MultimodalEmbedder

    waves = [workshop.sounds()["noise"].repeat(12)[:48_800], workshop.sounds()["vowel"].repeat(2)[:6_000]]
    tower = workshop.reference_tower(HEARING, seed=9)
    text = Gemma4TextConfig(hidden_size=40)
    embedder = workshop.random_module(Gemma4MultimodalEmbedder(workshop.reference_config(HEARING), text), 10)
    mels, masks = workshop.reference_mel(*waves)
    with torch.no_grad():
        out = tower(torch.from_numpy(np.stack(mels)), torch.from_numpy(np.stack(masks)))
        expected = embedder(out.last_hidden_state)
    for i, wave in enumerate(waves):
        mel = audio.log_mel(wave, 16_000)
        soft = audio.encode(mel, Weights.of(workshop.arrays(tower)), HEARING)
        soft = audio.project(soft, Weights.of(workshop.arrays(embedder)), HEARING.rms_norm_eps)
        kept = expected[i][out.attention_mask[i]].numpy()
        assert soft.shape == kept.shape == (audio.soft_token_count(len(mel)), 40)
        assert relative_error(soft, kept) <= 1e-4
    assert len(mels[0]) == 305
    assert masks[0].sum() == 304  # the batch really has a masked tail, in both sounds


@pytest.mark.parametrize("name", workshop.sounds())
def test_mel_of_synthesised_sounds(name):
    wave = workshop.sounds()[name]
    (mel,), (mask,) = workshop.reference_mel(wave)
    assert relative_error(audio.log_mel(wave, 16_000), mel[mask]) <= 1e-6


def test_mel_of_a_recording():
    wave, _ = audio.load(workshop.RECORDED)
    (mel,), (mask,) = workshop.reference_mel(wave)
    assert relative_error(audio.log_mel(workshop.RECORDED), mel[mask]) <= 1e-6


def test_mel_of_many_lengths():
    rng = np.random.default_rng(0)
    for samples in (161, 320, 321, 479, 480, 481, *rng.integers(500, 9_000, 20), 500_000):
        wave = (0.2 * rng.standard_normal(samples)).astype(np.float32)
        (mel,), (mask,) = workshop.reference_mel(wave)
        if samples > 480_000:
            with pytest.warns(UserWarning, match="first 30 s"):
                ours = audio.log_mel(wave, 16_000)
        else:
            ours = audio.log_mel(wave, 16_000)
        assert ours.shape == (mask.sum(), 128)
        assert relative_error(ours, mel[mask]) <= 1e-6
        assert audio.soft_token_count(len(ours)) == mask[::2][::2].sum()
