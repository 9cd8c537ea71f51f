"""What people feed the sound encoder: files of every kind, arrays of every kind, and what is no sound at all."""

import io
import struct
import warnings

import numpy as np
import pytest
from scipy.io import wavfile

from minigemma import audio
from minigemma.audio import waveform
from minigemma.errors import InputError, MinigemmaError
from minigemma.ops import relative_error


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape).astype(np.float32)


def wav(samples, rate=16_000):
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def wav24(values, rate=16_000):
    """A 24-bit file, which scipy reads but does not write. values: integers below 2²³."""
    data = b"".join(int(v).to_bytes(3, "little", signed=True) for v in values)
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 3, 3, 24)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def changed(at, form, value):
    """A good file whose header says something else at byte ``at``."""
    content = bytearray(wav(np.zeros(900, np.int16)))
    struct.pack_into(form, content, at, value)
    return bytes(content)


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.int16, 2**15), (np.int32, 2**31), (np.float32, 1), (np.float64, 1), (np.uint8, 2**7)]
)
def test_wav_types(tmp_path, dtype, scale):
    wave = 0.5 * np.sin(np.arange(4_000) / 9)
    stored = (wave * scale + (128 if dtype == np.uint8 else 0)).astype(dtype)
    (tmp_path / "sound.wav").write_bytes(wav(stored))
    loaded, rate = audio.load(tmp_path / "sound.wav")
    assert rate == 16_000
    assert loaded.dtype == np.float32
    assert np.abs(loaded - wave).max() <= (1e-2 if dtype == np.uint8 else 1e-4)
    assert np.array_equal(audio.log_mel(tmp_path / "sound.wav"), audio.log_mel(stored, 16_000))


def test_wav_of_24_bits():
    loaded, _ = audio.load(wav24([0, 2**22, -(2**23), 1]))
    assert loaded.tolist() == [0, 0.5, -1, 2.0**-23]


def test_stereo_is_averaged():
    left, right = normal(2_000, seed=1) / 9, normal(2_000, seed=2) / 9
    mel = audio.log_mel(wav(np.stack([left, right], axis=1)))
    assert relative_error(mel, audio.log_mel((left + right) / 2, 16_000)) <= 1e-6


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_other_rates_are_resampled(rate):
    """The same tone at any rate lights up the same mel bin for the same time."""
    tone = {r: 0.5 * np.sin(2 * np.pi * 1_500 * np.arange(r) / r) for r in (rate, 16_000)}
    mel, expected = audio.log_mel(tone[rate], rate), audio.log_mel(tone[16_000], 16_000)
    assert mel.shape == expected.shape
    inside = slice(5, -5)
    assert np.array_equal(mel[inside].argmax(axis=1), expected[inside].argmax(axis=1))
    assert np.abs(mel[inside].max(axis=1) - expected[inside].max(axis=1)).max() < 0.05


@pytest.mark.parametrize("rate", [16_000, 8_000, 44_100])
def test_ten_minutes_are_cut_with_a_warning(rate):
    wave = np.tile(normal(rate) / 9, 600)
    with pytest.warns(UserWarning, match=r"lasts 600\.0 s; only its first 30 s"):
        assert len(audio.log_mel(wave, rate)) == 2999
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audio.log_mel(wave[: 30 * rate], rate)


def test_silence_and_clipping():
    assert np.allclose(audio.log_mel(np.zeros(16_000), 16_000), np.log(1e-3))
    loud = audio.log_mel(np.sign(np.sin(np.arange(16_000))), 16_000)
    assert np.isfinite(loud).all()


@pytest.mark.parametrize(
    ("wave", "rate", "message"),
    [
        (np.zeros(0), 16_000, "empty"),
        (np.zeros(1), 16_000, "1 samples at 16 kHz; one frame needs at least 161"),
        (np.zeros(160), 16_000, "160 samples"),
        (np.array([0.0, np.nan] * 500), 16_000, "500 of 1000 samples are NaN or infinite, the first at index 1"),
        (np.full(500, np.inf), 16_000, "infinite"),
        (np.full(500, 32_767.0), 16_000, "divide 16-bit samples by 32768"),
        (np.zeros(500, np.int64), 16_000, "int64"),
        (np.zeros(500, complex), 16_000, "complex"),
        (np.zeros((2, 500)), 16_000, "transpose"),
        (np.zeros((5, 2, 2)), 16_000, "samples, channels"),
        ([[0.1, 0.2], [0.3]], 16_000, "make no array"),
        (["a", "b"], 16_000, "samples of type"),
        (0.5, 16_000, "samples, channels"),
        (np.full(500, 1e300), 16_000, "500 of 500 samples are NaN or infinite"),
        (np.zeros(500), None, "sample_rate"),
        (np.zeros(500), 0, "sample rate of 0"),
        (np.zeros(500), -16_000, "sample rate"),
        (np.zeros(500), float("nan"), "sample rate"),
        (np.zeros(500), "16k", "sample rate"),
    ],
)
def test_impossible_sounds(wave, rate, message):
    with pytest.raises(InputError, match=message):
        audio.log_mel(wave, rate)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a WAV file"),
        (b"ID3\x04" + bytes(100), "not a WAV file.*ffmpeg"),
        (wav(np.zeros(900, np.int16))[:-200], "cut off: its header promises 1844 bytes, it has 1644"),
        (wav(np.zeros(900, np.int16))[:30], "cut off"),
        (changed(40, "<I", 9_999_998), "cut off: its header promises 10000042 bytes, it has 1844"),
        (changed(4, "<I", 0), "does not describe the samples"),
        (changed(22, "<H", 2), "contradicts itself: 2 channels of 16 bits at 16000 Hz, but 2 bytes"),
        (changed(34, "<H", 8), "contradicts itself: 1 channels of 8 bits"),
        (changed(24, "<I", 44_100), "contradicts itself: .* 44100 Hz, but 2 bytes .* and 32000 bytes a second"),
        (wav(np.zeros(0, np.int16)), "empty"),
        (wav(np.zeros(900, np.int16)).replace(b"WAVE", b"AVI "), "AVI"),
        (wav(np.zeros(900, np.int16)).replace(b"\x10\x00\x00\x00\x01\x00", b"\x10\x00\x00\x00\x07\x00"), "MULAW"),
        (wav(np.zeros(900, np.int16), 1), "sample rate of 1"),
        (b"RIFF" + bytes(60), "damaged"),
    ],
)
def test_damaged_files(content, message):
    with pytest.raises(InputError, match=message):
        audio.log_mel(content)


@pytest.mark.parametrize("sizes", [(0x7FFFF024, 0x7FFFF000), (0xFFFFFFFF, 0xFFFFFFFF)], ids=["sox", "ffmpeg"])
def test_files_of_unknown_length_are_read_to_their_end(sizes):
    """Programs that write to a pipe do not know the length and put a huge one into the header."""
    content = bytearray(wav((normal(900) * 3_000).astype(np.int16)))
    expected, _ = audio.load(bytes(content))
    content[4:8], content[40:44] = (struct.pack("<I", size) for size in sizes)
    assert np.array_equal(audio.load(bytes(content))[0], expected)


def test_what_stands_around_the_samples_is_passed_over():
    """Metadata of odd length before the samples, a name after them, bytes after the end."""
    content = wav((normal(900) * 3_000).astype(np.int16))
    expected, _ = audio.load(content)
    before, after = b"LIST" + struct.pack("<I", 5) + b"hello\0", b"ICMT" + struct.pack("<I", 4) + b"name"
    body = b"WAVE" + before + content[12:] + after
    more = b"RIFF" + struct.pack("<I", len(body)) + body + b"junk beyond the end"
    assert np.array_equal(audio.load(more)[0], expected)


def test_big_endian():
    form = struct.pack(">IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    body = b"WAVEfmt " + form + b"data" + struct.pack(">Ihh", 4, 1000, -2000)
    content = b"RIFX" + struct.pack(">I", len(body)) + body
    assert audio.load(content)[0].tolist() == [1000 / 2**15, -2000 / 2**15]


def test_a_file_says_its_rate():
    tone = np.sin(np.arange(44_100) / 9).astype(np.float32) / 2
    assert audio.load(wav(tone, 44_100))[1] == 44_100
    mel = audio.log_mel(wav(tone, 44_100))
    assert np.array_equal(mel, audio.log_mel(tone, 44_100))
    assert len(mel) == 99  # one second
    assert len(audio.log_mel(tone, 16_000)) == 275  # what a misread rate would give


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        audio.log_mel(tmp_path / "no.wav")
    with pytest.raises(InputError, match="leave sample_rate out"):
        audio.log_mel(tmp_path / "no.wav", 16_000)


def test_any_damage_is_an_input_error_or_a_sound():
    """Random bytes of a header overwritten, and the file cut anywhere: nothing but an InputError may come out."""
    whole = wav((normal(600) * 3_000).astype(np.int16))
    dice = rng(4)
    for _ in range(300):
        content = bytearray(whole)
        for at in dice.integers(0, 46, dice.integers(1, 4)):
            content[at] = dice.choice([0, 1, 2, 127, 255])
        try:
            wave, _ = audio.load(bytes(content[: dice.integers(1, len(whole) + 1)] if dice.random() < 0.5 else content))
        except MinigemmaError:
            continue
        assert wave.dtype == np.float32


def test_integers_keep_their_full_scale():
    assert waveform.as_float(np.array([-128, 64], np.int8)).tolist() == [-1, 0.5]
    assert waveform.as_float(np.array([0, 192], np.uint8)).tolist() == [-1, 0.5]
