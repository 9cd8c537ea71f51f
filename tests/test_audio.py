"""The sound encoder without torch: stored results of the reference, twins in loops, and what people feed it."""

import io
import struct
import warnings

import numpy as np
import pytest
from make_goldens_audio import GOLDENS, SMALL, sounds
from scipy.io import wavfile

from minigemma import audio
from minigemma.audio import attention as local
from minigemma.audio import conformer, naive, subsampling, waveform
from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig
from minigemma.errors import InputError, MinigemmaError
from minigemma.ops import relative_error
from minigemma.trace import Trace

RELEASED = AudioConfig()


@pytest.fixture(scope="module")
def goldens():
    with np.load(GOLDENS) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def tower(goldens):
    return Weights.of({k.removeprefix("weights."): v for k, v in goldens.items() if k.startswith("weights.")})


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


# ---- against the stored reference -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sounds())
def test_mel(goldens, name):
    mel = audio.log_mel(sounds()[name], 16_000)
    assert mel.dtype == np.float32
    assert mel.shape == goldens[f"mel.{name}"].shape
    assert relative_error(mel, goldens[f"mel.{name}"]) <= 1e-6


def test_tower(goldens, tower):
    trace = Trace()
    audio.encode(goldens["tower.mel"], tower, SMALL, trace)
    expected = {k.removeprefix("tower."): v for k, v in goldens.items() if k.startswith("tower.")}
    for name in expected.keys() - {"mel"}:
        assert relative_error(trace[name], expected[name]) <= 1e-5, name


def test_project():
    soft, weight = normal(7, 20), normal(30, 20, seed=1)
    rows = audio.project(soft, Weights.of({"embedding_projection.weight": weight}), 1e-6)
    expected = soft / np.sqrt((soft**2).mean(axis=1, keepdims=True) + 1e-6) @ weight.T
    assert relative_error(rows, expected) <= 1e-6


# samples, mel frames, tokens: the reference's own, from 1 s to the cap
COUNTS = [(161, 1, 1), (16_000, 99, 25), (38_560, 240, 60), (48_000, 299, 75), (48_800, 304, 76), (63_520, 396, 99)]
COUNTS += [(99_360, 620, 155), (160_000, 999, 250), (480_000, 2999, 750)]


@pytest.mark.parametrize(("samples", "frames", "tokens"), COUNTS)
def test_counts(samples, frames, tokens):
    mel = audio.log_mel(np.zeros(samples, np.float32), 16_000)
    assert mel.shape == (frames, 128)
    assert audio.soft_token_count(len(mel)) == tokens


def test_filter_bank():
    bank = audio.mel_filter_bank()
    assert bank.shape == (257, 128)
    assert not bank[:, 0].any()  # narrower than the step between two frequencies
    assert (bank[:, 1:].max(axis=0) > 0).all()


# ---- against loops ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (7, 8, 2), (9, 5, 3)])
def test_convolution_is_the_loop(shape):
    x, kernel = normal(*shape), normal(5, shape[2], 3, 3, seed=1)
    assert relative_error(subsampling.convolve(x, kernel), naive.convolve(x, kernel)) <= 1e-6


@pytest.mark.parametrize("tokens", [1, 3, 5, 20])
def test_depthwise_is_the_loop(tokens):
    x, kernel = normal(tokens, 6), normal(6, 5, seed=1)
    assert relative_error(conformer.depthwise(x, kernel), naive.depthwise(x, kernel)) <= 1e-6


@pytest.mark.parametrize(("chunk", "rows", "context"), [(12, 13, 24), (4, 5, 8), (1, 2, 3)])
def test_relative_shift_is_the_loop(chunk, rows, context):
    products = normal(chunk, rows)
    assert np.array_equal(local.relative_shift(products, context), naive.relative_shift(products, context))


@pytest.mark.parametrize("tokens", [1, 5, 12, 13, 37])
@pytest.mark.parametrize("config", [RELEASED, SMALL], ids=["released", "small"])
def test_blocks_are_the_whole_square(tokens, config):
    queries, keys, values = (normal(tokens, 2, 8, seed=s) for s in range(3))
    relative = normal(config.attention_context_left, 2, 8, seed=3)
    expected = naive.attend(queries, keys, values, relative, config)
    assert relative_error(local.attend_in_blocks(queries, keys, values, relative, config), expected) <= 1e-5
    trace = Trace("pattern")
    watched = local.attend_in_blocks(queries, keys, values, relative, config, trace)
    assert relative_error(watched, expected) <= 1e-5
    pattern = trace["pattern"]  # (H, T, T)
    assert pattern.shape == (2, tokens, tokens)
    assert np.allclose(pattern.sum(axis=-1), 1, atol=1e-6)
    assert np.array_equal(pattern[0] > 0, naive.visible(tokens, config))


def test_twelve_keys():
    seen = local.visible(50, RELEASED).sum(axis=-1).ravel()[:50]
    assert seen.tolist() == [min(t + 1, 12) for t in range(50)]


def test_nothing_looks_ahead(goldens, tower):
    """What comes later changes nothing, so padding cannot either. Token k has heard the frames up to 4k + 3."""
    mel = goldens["tower.mel"].astype(np.float32)
    whole, part, shorter = (audio.encode(mel[:n], tower, SMALL) for n in (71, 40, 38))
    assert relative_error(part, whole[:10]) <= 1e-5
    assert relative_error(shorter[:9], whole[:9]) <= 1e-5
    assert relative_error(shorter[9], whole[9]) > 1e-3


def test_frames_of_a_token(tower):
    """Which tokens a change of one frame reaches before the first layer is what ``token_frames`` says."""
    mel = normal(30, 16)
    plain = subsampling.subsample(mel, tower.under("subsample_conv_projection."), SMALL)
    for frame in range(30):
        changed = mel.copy()
        changed[frame] += 1
        after = subsampling.subsample(changed, tower.under("subsample_conv_projection."), SMALL)
        reached = np.flatnonzero((after != plain).any(axis=1)).tolist()
        spans = [subsampling.token_frames(k) for k in range(8)]
        assert reached == [k for k, (first, last) in enumerate(spans) if first <= frame <= last]


def test_no_square_array_unless_watched(tower, monkeypatch):
    monkeypatch.setattr(local, "over_tokens", lambda *_: pytest.fail("(H, T, T) was made though nobody looks"))
    audio.encode(normal(50, 16), tower, SMALL, Trace("*.output"))


def test_names_in_the_trace(tower):
    trace = Trace()
    audio.encode(normal(50, 16), tower, SMALL, trace.under("audio.0"))
    parts = ["feed_forward_start", *(f"attention.{n}" for n in ("queries", "keys", "values", "pattern", "output"))]
    parts += ["convolution", "feed_forward_end", "output"]
    expected = ["mel", *(f"subsampling.{n}" for n in ("conv0", "conv1", "output"))]
    expected += [f"layers.{i}.{part}" for i in range(2) for part in parts]
    assert list(trace) == [f"audio.0.{name}" for name in [*expected, "output_projection"]]


def test_an_edit_removes_a_part(tower):
    mel = normal(50, 16)
    plain = audio.encode(mel, tower, SMALL)
    for name in ("attention.output", "attention.pattern", "convolution", "feed_forward_end"):
        without = audio.encode(mel, tower, SMALL, Trace(edit={f"layers.0.{name}": lambda x: 0 * x}))
        assert relative_error(without, plain) > 1e-2, name


# ---- what people feed it ----------------------------------------------------------------------------------------


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


def test_files_of_unknown_length_are_read_to_their_end():
    """Programs that write to a pipe do not know the length and put a huge one into the header."""
    content = bytearray(wav((normal(900) * 3_000).astype(np.int16)))
    expected, _ = audio.load(bytes(content))
    content[4:8], content[40:44] = struct.pack("<I", 0x7FFFF024), struct.pack("<I", 0x7FFFF000)
    assert np.array_equal(audio.load(bytes(content))[0], expected)


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


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (np.zeros((0, 16)), r"\(frames, 16\)"),
        (np.zeros((16, 80)), r"\(frames, 16\).*got \(16, 80\)"),
        (np.zeros(16), r"\(frames, 16\)"),
        (np.full((9, 16), np.nan), "NaN"),
    ],
)
def test_impossible_spectrograms(tower, mel, message):
    with pytest.raises(InputError, match=message):
        audio.encode(mel, tower, SMALL)


def test_integers_keep_their_full_scale():
    assert waveform.as_float(np.array([-128, 64], np.int8)).tolist() == [-1, 0.5]
    assert waveform.as_float(np.array([0, 192], np.uint8)).tolist() == [-1, 0.5]
