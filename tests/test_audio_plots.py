"""The pictures of sound: drawn for short and long sounds, right about what they claim, refusing what they cannot."""

import sys

import numpy as np
import pytest
from make_goldens_audio import GOLDENS, SMALL, sounds

from minigemma import audio, plots
from minigemma.audio import attention, conformer, numbers
from minigemma.checkpoint import Weights
from minigemma.errors import InputError
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


def test_one_frame():
    wave = sounds()["vowel"]
    text = words(drawn(plots.frame_stages(wave, 12)))
    assert "around 120 ms" in text
    drawn(plots.frame_stages(wave, 0))  # half of it before the beginning
    drawn(plots.frame_stages(np.zeros(400, np.float32), 1))
    with pytest.raises(InputError, match="expected 0 to 30"):
        plots.frame_stages(wave, 31)


def test_long_sounds_say_what_is_thinned():
    wave = np.zeros(300_000, np.float32)
    figure = plots.waveform_and_mel(wave, 16_000, audio.log_mel(wave, 16_000))
    assert "every 6 tokens" in words(figure)
    wave[150_000], wave[70_000] = 0.7, -0.4
    times, low, high = envelope(wave, 16_000)
    assert len(times) <= 1200
    assert (low.min(), high.max()) == (np.float32(-0.4), np.float32(0.7))  # no click gets lost


def test_a_stereo_sound_of_which_a_part_is_heard():
    wave = np.zeros((40 * 8_000, 2), np.float32)
    with pytest.warns(UserWarning, match="first 30 s"):
        mel = audio.log_mel(wave, 8_000)
    figure = drawn(plots.waveform_and_mel(wave, 8_000, mel))
    assert "320,000 samples, of which 30 s are heard → 2,999 frames" in words(figure)
    assert figure.axes[0].get_xlim()[1] < 31


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
    queries = trace["audio.0.layers.0.attention.queries"]
    scores = numbers.scores_by_distance(trace["audio.0.layers.0.attention.distance"], len(queries), SMALL)
    keys = attention.relative_keys(attention.relative_positions(SMALL), tower.under("layers.0.self_attn."), SMALL)
    products = np.einsum("thk,rhk->thr", queries, keys)[:, :, :0:-1]  # row 0 is the farthest distance, never seen
    assert np.allclose(scores, products, atol=1e-5)
    figure = drawn(plots.relative_bias(scores, SMALL))
    line = next(axes for axes in figure.axes if len(axes.get_lines()) > 2).get_lines()[1]
    assert np.allclose(line.get_ydata(), scores[:, 0].mean(axis=0), atol=1e-6)


def test_relative_shift(trace):
    parts = [trace[f"audio.0.layers.0.attention.{name}"][1, 2] for name in ("distance", "distance_shifted")]
    before, filled, after = drawn(plots.relative_shift(*parts)).axes[:3]
    drawn_cells = [axes.images[0].get_array() for axes in (before, filled, after)]
    assert np.array_equal(drawn_cells[0], parts[0])
    assert np.array_equal(drawn_cells[2].compressed(), parts[0].ravel())  # the same numbers, in the same order
    with pytest.raises(InputError, match=r"expected \(C, R\)"):
        plots.relative_shift(parts[1], parts[0])


def test_sound_reach(tower):
    assert "180 tokens: 7.2 s" in words(drawn(plots.sound_reach()))
    x = np.random.default_rng(0).standard_normal((30, 24)).astype(np.float32)
    changed, positions = x.copy(), attention.relative_positions(SMALL)
    changed[4] += 1
    before, after = (conformer.layer(h, positions, tower.under("layers.0."), SMALL) for h in (x, changed))
    reached = np.flatnonzero((before != after).any(axis=1))
    assert (reached.min(), reached.max()) == (4, 4 + sum(numbers.layer_reach(SMALL)))


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
    plots.sound_reach()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
