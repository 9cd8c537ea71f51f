"""The pictures of sound: drawn for short and long sounds, right about what they claim, refusing what they cannot."""

import sys

import numpy as np
import pytest
from make_goldens_audio import GOLDENS, SMALL, sounds

from minigemma import audio
from minigemma.audio import attention, conformer
from minigemma.checkpoint import Weights
from minigemma.errors import InputError
from minigemma.plots import audio as plots
from minigemma.plots.conformer import reach_of_a_layer
from minigemma.plots.timeline import envelope
from minigemma.trace import Trace


@pytest.fixture(scope="module")
def mel():
    return audio.log_mel(sounds()["vowel"], 16_000)


@pytest.fixture(scope="module")
def tower():
    with np.load(GOLDENS) as stored:
        return Weights.of({k.removeprefix("weights."): stored[k] for k in stored if k.startswith("weights.")})


@pytest.fixture(scope="module")
def trace(tower):
    trace = Trace()
    noise = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
    audio.encode(noise, tower, SMALL, trace.under("audio.0"))
    return trace


def words(figure):
    texts = [axes.get_title("left") for axes in figure.axes]
    texts += [text.get_text() for axes in figure.axes for text in axes.texts] + [t.get_text() for t in figure.texts]
    return " ".join([*texts, figure.get_supxlabel()])


def drawn(figure):
    """The figure after a real drawing; every letter at least 11 pt."""
    figure.canvas.draw()
    for axes in figure.axes:
        for text in [axes.xaxis.label, axes.yaxis.label, *axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]:
            assert not text.get_text() or text.get_fontsize() >= 11, text
    return figure


def test_front_end(mel):
    text = words(drawn(plots.waveform_and_mel(sounds()["vowel"], 16_000, mel)))
    assert "5,000 samples → 31 frames → 8 soft tokens" in text
    text = words(drawn(plots.token_span(mel, 3)))
    assert "frames 9 to 15" in text
    assert "0.08 to 0.16 s" in text
    assert "filter" in words(drawn(plots.mel_filter_bank())).lower()


def test_long_sounds_say_what_is_thinned():
    wave = np.zeros(300_000, np.float32)
    figure = plots.waveform_and_mel(wave, 16_000, audio.log_mel(wave, 16_000))
    assert "every 6 tokens" in words(figure)
    wave[150_000], wave[70_000] = 0.7, -0.4
    times, low, high = envelope(wave, 16_000)
    assert len(times) <= 1200
    assert (low.min(), high.max()) == (np.float32(-0.4), np.float32(0.7))  # no click gets lost


@pytest.mark.parametrize("queries", [1, 4])
def test_sound_attention(mel, queries):
    weights = np.full((queries, 8), 1 / 8)
    drawn(plots.sound_attention(mel, weights[0] if queries == 1 else weights, ["what\n"] * queries))


def test_stages_and_blocks(trace):
    names = [f"audio.0.{n}" for n in ("mel", "subsampling.conv0", "subsampling.conv1", "subsampling.output")]
    text = words(drawn(plots.convolution_stages(*(trace[name] for name in names))))
    assert "30 × 8 × 16" in text
    assert "15 × 4 × 6" in text
    for layer in range(2):
        drawn(plots.conformer_path(trace, layer, "audio.0."))


def test_chunk_mask():
    text = words(drawn(plots.chunk_mask(48)))
    assert "48² = 2,304 scores, 1,176 kept" in text
    assert "1,152 scores, 510 kept" in text
    drawn(plots.chunk_mask(5))


def test_relative_bias(trace, tower):
    keys = attention.relative_keys(attention.relative_positions(SMALL), tower.under("layers.0.self_attn."), SMALL)
    products = np.einsum("thk,rhk->thr", trace["audio.0.layers.0.attention.queries"], keys)
    figure = drawn(plots.relative_bias(products, SMALL))
    line = next(axes for axes in figure.axes if axes.get_lines() and len(axes.get_lines()) > 2).get_lines()[1]
    expected = [np.mean(products[:, 0, len(keys) - 1 - d]) for d in range(SMALL.attention_context_left - 1)]
    assert np.allclose(line.get_ydata(), expected, atol=1e-6)


def test_receptive_field(tower):
    assert "180 tokens: 7.2 s" in words(drawn(plots.receptive_field()))
    x = np.random.default_rng(0).standard_normal((30, 24)).astype(np.float32)
    changed, positions = x.copy(), attention.relative_positions(SMALL)
    changed[4] += 1
    before, after = (conformer.layer(h, positions, tower.under("layers.0."), SMALL) for h in (x, changed))
    reached = np.flatnonzero((before != after).any(axis=1))
    assert (reached.min(), reached.max()) == (4, 4 + sum(reach_of_a_layer(SMALL)))


def test_refusals(mel):
    with pytest.raises(InputError, match="expected 0 to 7"):
        plots.token_span(mel, 8)
    with pytest.raises(InputError, match=r"expected \(Q, 8\)"):
        plots.sound_attention(mel, np.ones(7))
    with pytest.raises(InputError, match="labels"):
        plots.sound_attention(mel, np.ones((2, 8)), ["one"])
    with pytest.raises(InputError, match="1 to 200"):
        plots.chunk_mask(0)


def test_nothing_global():
    """No figure is registered with pyplot, so none has to be closed."""
    plots.receptive_field()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
