"""The pictures of one moment of a sound, one head of the Conformer, and a change on its way; and their numbers."""

import numpy as np
import pytest
from make_goldens_audio import SMALL, sounds
from test_audio_plots import drawn, tower, trace, words  # noqa: F401

from minigemma import audio, plots
from minigemma.audio import numbers
from minigemma.audio.subsampling import soft_token_count, token_frames
from minigemma.errors import InputError


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 31, 99])
def test_the_tokens_of_a_frame_are_those_that_see_it(frames):
    tokens = soft_token_count(frames)
    for frame in range(frames):
        seeing = [k for k in range(tokens) if token_frames(k)[0] <= frame <= token_frames(k)[1]]
        assert numbers.frame_tokens(frame, tokens) == (seeing[0], seeing[-1])


@pytest.mark.parametrize("length", [200, 5000])
def test_a_moment_of_a_sound(length):
    wave = sounds()["vowel"][:length]
    mel = audio.log_mel(wave, 16_000)
    soft = np.random.default_rng(0).normal(size=(soft_token_count(len(mel)), 16)).astype(np.float32)
    for frame in (0, len(mel) - 1):
        assert f"around {10 * frame} ms" in words(drawn(plots.frame_view(wave, mel, soft, frame)))
    for token in (0, len(soft) - 1):
        assert f"Soft token {token}: frames" in words(drawn(plots.token_view(wave, mel, soft, token, "a note")))
    with pytest.raises(InputError, match="soft tokens"):
        plots.token_view(wave, mel, soft, len(soft))
    silence = np.zeros(400, np.float32)
    drawn(plots.frame_view(silence, audio.log_mel(silence, 16_000), np.zeros((1, 16), np.float32), 1))


def test_shapes_of_a_sound():
    text = words(drawn(plots.sound_shapes(3.0)))
    assert "299 frames" in text
    assert "75 × 32 × 32" in text
    assert "of which 30 s are heard" in words(plots.sound_shapes(40.0))
    with pytest.raises(InputError, match="too short"):
        plots.sound_shapes(0.01)


def test_scores_of_a_query_are_those_of_the_pattern(trace):  # noqa: F811
    name = "audio.0.layers.1.attention."
    pattern = trace[f"{name}pattern"]
    for head in range(len(pattern)):
        for token in (0, 5, len(pattern[0]) - 1):
            found = numbers.query_scores(trace[f"{name}content"], trace[f"{name}distance_shifted"], head, token, SMALL)
            assert np.allclose(found.weights, pattern[head, token, token - found.distance], atol=1e-6)
    mel = np.zeros((60, 128), np.float32)
    assert "Query 14" in words(drawn(plots.sound_head(mel, pattern[0], found, 14, SMALL, title="head")))
    with pytest.raises(InputError, match="expected 0 to 14"):
        plots.sound_head(mel, pattern[0], found, 15, SMALL)


def test_a_change_on_its_way():
    change = np.zeros((3, 40))
    change[0, 5], change[1, 5:12] = 1, 0.1
    figure = drawn(plots.sound_spread(change, 5, SMALL))
    [stairs] = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    reach = sum(numbers.layer_reach(SMALL))
    assert list(stairs.get_xdata()[1:]) == [5.5, 5.5 + reach, 5.5 + 2 * reach]
    assert stairs.get_drawstyle() == "steps-post"  # each row's edge is in its row


def test_shares_of_right_answers():
    assert " 75" in words(drawn(plots.answer_shares({"whole": 0.75, "cut": 0.0})))
