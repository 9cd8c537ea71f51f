"""A sound followed frame by frame: samples, uploads, recordings, and what is no sound."""

import base64
import datetime
import io

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import letter_model, move_everything
from scipy.io import wavfile

from minigemma.errors import InputError
from minigemma.explore import conformer_heads, sound_lengths, sound_viewer

TONE = np.sin(np.arange(8000) / 3).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return letter_model("e2b", towers=True)


def wav(samples, rate=16_000):
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def parts(explorer):
    """The upload, and the hidden field the browser writes a recording into."""
    *_, upload, recorder = explorer.children[0].children
    return upload, recorder.children[1]


def give(explorer, name, content):
    """Upload a file."""
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    parts(explorer)[0].value = ({**file, "last_modified": datetime.datetime.now(datetime.UTC)},)


def test_every_control_moves(model):
    assert move_everything(sound_viewer(model, tone=(TONE, 16_000))) >= 6


def test_a_moment_stays_when_one_follows_tokens_and_ends_fit_the_sound(model):
    late = np.where(np.abs(np.arange(8000) - 6400) < 160, TONE, 0)
    explorer = sound_viewer(model, late=(late, 16_000))
    at, follow = explorer.controls["at"], explorer.controls["follow"]
    at.value = 40
    follow.index = 1
    assert (at.value, at.description) == (10, "soft token")
    follow.index = 0
    assert (at.value, at.description) == (40, "frame")
    explorer.controls["sound"].label = "late"
    assert at.max == 48  # 8,000 samples are 49 frames
    assert 39 <= at.value <= 41  # where it is loudest
    assert explorer.message.value == ""


def test_an_upload_is_read_and_chosen(model):
    explorer = sound_viewer(model)
    before = explorer.picture.value
    give(explorer, "mine.wav", wav((32767 * np.stack([TONE, TONE], 1)).astype(np.int16), 44_100))
    assert explorer.controls["sound"].label == "mine.wav"
    assert explorer.message.value == ""
    assert explorer.picture.value != before
    assert explorer.controls["at"].max == 17  # 8,000 samples at 44.1 kHz are 2,903 at 16 kHz
    give(explorer, "mine.wav", wav(TONE))
    assert [label for label, _ in explorer.controls["sound"].options].count("mine.wav") == 1
    assert explorer.controls["at"].max == 48


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"ID3 this is an mp3", "not a WAV file"),
        (wav(TONE)[:4000], "cut off"),
        (wav(TONE[:100]), "one frame needs"),
        (wav(TONE[:0]), "empty"),
        (wav(np.full(800, np.nan, np.float32)), "NaN"),
    ],
)
def test_what_is_no_sound_is_said_in_place_and_can_be_left_again(model, content, says):
    explorer = sound_viewer(model)
    give(explorer, "odd.wav", content)
    assert says in explorer.message.value
    explorer.controls["sound"].index = 0
    assert explorer.message.value == ""


def test_silence_and_long_sounds_are_drawn_and_noted(model):
    explorer = sound_viewer(model, nothing=(np.zeros(4000), 16_000), long=(np.tile(TONE, 70), 16_000))
    for label, note in (("nothing", "silent"), ("long", "only its first 30 s")):
        explorer.controls["sound"].label = label
        assert explorer.message.value == ""
        assert note in explorer.controls["sound"].value.note
    assert explorer.controls["at"].max == 2998


def test_a_recording_arrives_from_the_browser(model):
    explorer = sound_viewer(model)
    field = parts(explorer)[1]
    field.value = base64.b64encode((TONE * 20000).astype("<i2").tobytes()).decode()
    assert explorer.controls["sound"].label == "my recording"
    assert explorer.message.value == ""
    assert field.value == ""
    assert np.allclose(explorer.controls["sound"].value.waveform, TONE * 20000 / 32768, atol=1e-4)
    player = explorer.children[0].children[-3]
    assert len(wavfile.read(io.BytesIO(player.value))[1]) == len(TONE)


def test_a_model_without_ears_says_so():
    with pytest.raises(InputError, match="ears"):
        sound_viewer(letter_model("26b"))


def test_lengths_move():
    assert move_everything(sound_lengths()) == 3


def test_every_control_of_the_conformers_heads_moves(model):
    explorer = conformer_heads(model, tone=(TONE, 16_000))
    assert move_everything(explorer) >= 6
    explorer.controls["token"].value = explorer.controls["token"].max
    explorer.controls["sound"].label = "tone"
    assert explorer.controls["token"].value == 12  # 49 frames are 13 soft tokens; the end stays the end
    give(explorer, "odd.wav", b"no sound")
    assert "not a WAV file" in explorer.message.value
