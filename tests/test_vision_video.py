"""Video frames and the placeholders of pictures in a prompt."""

import numpy as np
import pytest
import vision_case as case

from minigemma import vision
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.vision.placeholders import soft_token_count
from minigemma.vision.video import sample_frames, timestamps


def test_frames_are_sampled_evenly():
    np.testing.assert_array_equal(sample_frames(100), [i * 100 // 32 for i in range(32)])
    np.testing.assert_array_equal(sample_frames(5), range(5))
    np.testing.assert_array_equal(sample_frames(64, None), range(64))


def test_stamps():
    assert timestamps(np.array([0, 59, 60, 119, 3599, 6000]), 1) == (
        "00:00",
        "00:59",
        "01:00",
        "01:59",
        "59:59",
        "100:00",
    )
    assert timestamps(np.arange(4) * 12, 24.0) == ("00:00", "00:00", "00:01", "00:01")


def test_a_video_is_its_frames():
    frames = np.stack([np.roll(case.synthetic_photo(30, 50), i, axis=1) for i in range(40)])
    video = vision.prepare_video(frames, fps=8)
    assert len(video.frames) == len(video.stamps) == 32
    np.testing.assert_array_equal(video.indices, np.arange(32) * 40 // 32)
    for made, i in zip(video.frames, video.indices, strict=True):
        np.testing.assert_array_equal(made[0], vision.prepare(frames[i], 70)[0])
    assert set(video.soft_tokens) == {60}
    assert video.stamps[0] == "00:00"
    assert video.stamps[-1] == "00:04"  # frame 38 at 8 a second
    assert video.text.count("<|video|>") == 32 * 60
    assert video.text.startswith("00:00 <|image><|video|>")
    assert video.text.endswith("<|video|><image|>")
    assert "<image|> 00:04 <|image>" in video.text
    short = vision.prepare_video(list(frames[:3]), fps=1, max_frames=None)
    assert short.stamps == ("00:00", "00:01", "00:02")


def test_videos_that_are_refused():
    frames = [case.synthetic_photo(30, 50)] * 2
    wrong_fps = [{"fps": fps} for fps in (0, -1, float("nan"), float("inf"), None, "24")]
    for wrong in ({"frames": []}, {"frames": iter(frames)}, *wrong_fps, {"max_frames": 0}, {"soft_tokens": 71}):
        with pytest.raises(InputError):
            vision.prepare_video(**{"frames": frames, "fps": 2, **wrong})


def test_placeholders():
    config = PRESETS["E2B"]
    _, positions = vision.prepare(case.synthetic_photo(), 140)
    n = soft_token_count(positions)
    assert vision.image_text(n) == "<|image>" + "<|image|>" * n + "<image|>"
    ids = [2, *vision.image_ids(n, config), 7, config.video_token_id, config.audio_token_id]
    assert ids[1] == 255_999
    assert ids[n + 2] == 258_882
    np.testing.assert_array_equal(vision.token_types(ids, config), [0, 0, *[1] * n, 0, 0, 2, 3])
