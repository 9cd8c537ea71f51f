"""The sound encoder without torch: stored results of the reference, twins in loops, the trace, the memory."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from make_goldens_audio import GOLDENS, RECORDED, SMALL, sounds

from minigemma import audio
from minigemma.audio import attention as local
from minigemma.audio import conformer, mel, naive, numbers, subsampling
from minigemma.checkpoint import Weights
from minigemma.config import AudioConfig
from minigemma.errors import InputError
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


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ---- against the stored reference -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sounds())
def test_mel(goldens, name):
    mel = audio.log_mel(sounds()[name], 16_000)
    assert mel.dtype == np.float32
    assert mel.shape == goldens[f"mel.{name}"].shape
    assert relative_error(mel, goldens[f"mel.{name}"]) <= 1e-6


def test_mel_of_a_recording(goldens):
    spectrogram = audio.log_mel(RECORDED)
    assert spectrogram.shape == (298, 128)
    assert relative_error(spectrogram[::16], goldens["mel.recorded"]) <= 1e-6


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
COUNTS += [(160, 0, 0), (320, 1, 1), (321, 2, 1)]


@pytest.mark.parametrize(("samples", "frames", "tokens"), COUNTS)
def test_counts(samples, frames, tokens):
    if frames:
        assert audio.log_mel(np.zeros(samples, np.float32), 16_000).shape == (frames, 128)
    assert audio.soft_token_count(frames) == tokens
    assert numbers.lengths(samples / 16_000) == (samples, frames, tokens)


def test_filter_bank():
    bank = audio.mel_filter_bank()
    assert bank.shape == (257, 128)
    assert not bank[:, 0].any()  # narrower than the step between two frequencies
    assert (bank[:, 1:].max(axis=0) > 0).all()


# ---- against loops ----------------------------------------------------------------------------------------------


def test_fourier_transform_is_the_loop():
    frame = normal(320)
    assert relative_error(np.abs(np.fft.rfft(frame, mel.FFT)), naive.magnitudes(frame)) <= 1e-6


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (7, 8, 2), (9, 5, 3), (135, 3, 2)])
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


PARTS = """
    input feed_forward1.input feed_forward1.inner feed_forward1.output feed_forward1.added
    attention.input attention.queries attention.keys attention.values attention.relative_keys attention.content
    attention.distance attention.distance_shifted attention.pattern attention.heads attention.output attention.added
    convolution.input convolution.gated convolution.mixed convolution.added
    feed_forward2.input feed_forward2.inner feed_forward2.output feed_forward2.added output
"""


@pytest.fixture(scope="module")
def trace(tower):
    trace = Trace()
    audio.encode(normal(50, 16), tower, SMALL, trace.under("audio.0"))  # 13 tokens, 4 blocks of 4
    return trace


def test_names_in_the_trace(trace):
    expected = ["mel", *(f"subsampling.{n}" for n in ("conv0", "conv1", "output"))]
    expected += [f"layers.{i}.{part}" for i in range(2) for part in PARTS.split()]
    assert list(trace) == [f"audio.0.{name}" for name in [*expected, "output_projection"]]
    assert all(name.split(".")[-1] in conformer.__doc__ for name in expected)
    shapes = {name: trace[f"audio.0.{name}"].shape for name in numbers.stage_shapes(50, SMALL, 16)}
    assert shapes == numbers.stage_shapes(50, SMALL, 16)


@pytest.mark.parametrize("i", [0, 1])
def test_a_block_adds_up(trace, tower, i):
    """input + the four parts, normed, is output; content + distance, capped and masked, is the pattern."""
    block = {part: trace[f"audio.0.layers.{i}.{part}"] for part in PARTS.split()}
    stream = block["input"] + sum(x for name, x in block.items() if name.endswith(".added"))
    normed = conformer.rms_norm(conformer.bounded(stream, SMALL), tower[f"layers.{i}.norm_out.weight"])
    assert relative_error(normed, block["output"]) <= 1e-5
    shifted = local.relative_shift(block["attention.distance"], local.reach(SMALL)[1])
    assert np.array_equal(shifted, block["attention.distance_shifted"])
    seen = local.visible(13, SMALL)
    scores = local.soft_cap(block["attention.content"] + shifted, SMALL.attention_logit_cap)
    pattern = local.over_tokens(local.softmax(np.where(seen, scores, -1e9)), seen, SMALL)
    assert relative_error(pattern, block["attention.pattern"]) <= 1e-5


def test_an_edit_removes_a_part(tower):
    spectrogram = normal(50, 16)
    plain = audio.encode(spectrogram, tower, SMALL)
    parts = ("attention.added", "attention.pattern", "attention.distance", "convolution.added", "feed_forward2.added")
    for name in parts:
        without = audio.encode(spectrogram, tower, SMALL, Trace(edit={f"layers.0.{name}": lambda x: 0 * x}))
        assert relative_error(without, plain) > 1e-2, name


def test_one_frame_by_hand():
    wave = sounds()["vowel"]
    spectrogram = audio.log_mel(wave, 16_000)
    for frame in (0, 1, 17, len(spectrogram) - 1):
        stages = numbers.frame_stages(wave, frame)
        assert np.array_equal(stages.log_mel, spectrogram[frame])
        assert stages.samples.shape == (320,)
    assert np.array_equal(numbers.frame_stages(wave, 2).samples, wave[160:480])
    assert numbers.token_samples(5) == (160 * 17 - 160, 160 * 23 + 160)


def test_numbers_of_the_released_tower():
    assert numbers.layer_reach(RELEASED) == (11, 4)
    assert numbers.seconds_heard(RELEASED)[-1] == pytest.approx(7.2)
    assert numbers.lengths(45) == (480_000, 2999, 750)
    assert numbers.score_counts(750, RELEASED) == {"every pair": 562_500, "in blocks": 63 * 12 * 24, "kept": 8_934}
    assert local.query_scale(np.zeros(128, np.float32)) == pytest.approx(np.full(128, 128**-0.5), rel=1e-6)


def test_memory_grows_with_the_length_and_not_with_its_square(tower):
    def peak(tokens):
        spectrogram = normal(4 * tokens, 16)
        tracemalloc.start()
        audio.encode(spectrogram, tower, SMALL)
        bytes_used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return bytes_used

    peak(50)  # what is made once
    short, long = peak(200), peak(1600)
    assert 6 < long / short < 9  # eight times the length


def test_scipy_is_not_imported_until_a_sound_needs_it():
    code = "import sys; import minigemma.audio; assert not any(m.split('.')[0] == 'scipy' for m in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


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
