"""The vision tower and its preprocessing against the installed transformers."""

import dataclasses

import numpy as np
import pytest
import vision_case as case
from PIL import Image

from minigemma import vision
from minigemma.checkpoint import Weights
from minigemma.config import PRESETS
from minigemma.ops import relative_error
from minigemma.vision.resize import BUDGETS
from minigemma.vision.video import sample_frames, timestamps

pytest.importorskip("transformers")
pytestmark = pytest.mark.reference


def parity(config, seed, grids, padded_length) -> tuple[float, float]:
    """Relative error of soft tokens and of their projection, all images in one padded batch of the reference."""
    import vision_reference

    arrays, images = case.random_tower(config, seed), case.random_images(seed, grids)
    soft, projected = vision_reference.run(*vision_reference.build(config, arrays), images, padded_length)
    weights = Weights.of(arrays)
    ours = np.concatenate([vision.encode(*image, weights.under("vision_tower."), config) for image in images])
    ours_projected = vision.project(ours, weights.under("embed_vision."), config.rms_norm_eps)
    return relative_error(ours, soft), relative_error(ours_projected, projected)


@pytest.mark.parametrize("config", [case.SMALL, case.LARGE], ids=["small", "large"])
@pytest.mark.parametrize("grids", [((9, 6), (3, 12)), ((15, 3), (3, 3), (6, 9))], ids=["two", "three"])
def test_small_towers(config, grids):
    assert max(parity(config, 3, grids, 81)) < 1e-5


@pytest.mark.parametrize("variant", ["E2B", "31B"])
def test_towers_at_true_width(variant):
    """One layer as wide as the released one, on a 15 x 9 image padded to 144; the other layers repeat it."""
    config = dataclasses.replace(PRESETS[variant].vision, num_hidden_layers=1, position_embedding_size=32)
    assert max(parity(config, 4, ((15, 9),), 144)) < 1e-5


def pictures() -> dict[str, Image.Image]:
    matplotlib_cbook = pytest.importorskip("matplotlib.cbook")
    made = {name: Image.fromarray(photo) for name, photo in case.photos().items()}
    hopper = matplotlib_cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)  # US Navy, public domain
    rng = np.random.default_rng(0)
    made["hopper"] = Image.open(hopper)
    made["alpha"] = Image.fromarray(rng.integers(0, 256, (70, 90, 4), dtype=np.uint8))
    made["grey"] = made["hopper"].convert("L")
    made["palette"] = made["hopper"].quantize(64)
    made["thin"] = made["hopper"].resize((9, 900))
    made["exact"] = made["hopper"].resize((768, 768))  # left alone at 280
    return made


def test_preprocessing_is_equal_bit_for_bit():
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    processor = Gemma4ImageProcessorPil()
    for name, picture in pictures().items():
        for budget in BUDGETS:
            expected = processor(picture, max_soft_tokens=budget, return_tensors="np")
            patches, positions = vision.prepare(picture, budget)
            n = len(patches)
            np.testing.assert_array_equal(expected["pixel_values"][0, :n], patches, err_msg=f"{name} {budget}")
            np.testing.assert_array_equal(expected["image_position_ids"][0, :n], positions)
            assert (expected["image_position_ids"][0, n:] == -1).all()
            assert expected["num_soft_tokens_per_image"][0] == n // 9


def test_files_are_turned_as_the_reference_turns_them(tmp_path):
    from transformers.image_utils import load_image

    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(case.encoded(case.synthetic_photo(), "JPEG", exif=exif))
    np.testing.assert_array_equal(np.asarray(vision.open_image(path)), np.asarray(load_image(str(path))))


def test_frames_and_stamps_are_the_reference_s():
    from transformers.video_utils import VideoMetadata, default_sample_indices_fn

    for total, fps in ((32, 24.0), (100, 29.97), (5000, 30), (33, 0.5)):
        metadata = VideoMetadata(total_num_frames=total, fps=fps)
        metadata.frames_indices = default_sample_indices_fn(metadata, num_frames=32)
        np.testing.assert_array_equal(sample_frames(total), metadata.frames_indices)
        stamps = tuple(f"{int(t // 60):02d}:{int(t % 60):02d}" for t in metadata.timestamps)
        assert timestamps(sample_frames(total), fps) == stamps


def test_video_frames_are_almost_the_reference_s():
    """The reference resizes video with torch: a pixel is at most 2 of 255 grey levels from Pillow's."""
    torch = pytest.importorskip("torch")
    photo = case.photos().get("coffee", case.synthetic_photo())
    height, width = vision.size_for_budget(*photo.shape[:2], 70)
    tensor = torch.from_numpy(photo).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(tensor, size=(height, width), mode="bicubic", antialias=True)
    difference = np.abs(theirs[0].permute(1, 2, 0).numpy().astype(int) - vision.resize(photo, 70))
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.2


def test_placeholders_are_the_reference_s():
    """Expanded by the reference's own methods, which need nothing but the markers."""
    from types import SimpleNamespace

    from transformers.models.gemma4.processing_gemma4 import Gemma4Processor
    from transformers.video_utils import VideoMetadata

    markers = SimpleNamespace(
        boi_token="<|image>", eoi_token="<image|>", image_token="<|image|>", video_token="<|video|>"
    )
    video = vision.prepare_video([case.synthetic_photo(30, 50)] * 40, fps=7)
    metadata = VideoMetadata(total_num_frames=40, fps=7, frames_indices=list(video.indices))
    inputs = {"num_soft_tokens_per_video": [video.soft_tokens[0]], "video_metadata": [metadata]}
    assert Gemma4Processor.replace_video_token(markers, inputs, 0) == video.text
    image = {"num_soft_tokens_per_image": [5]}
    assert Gemma4Processor.replace_image_token(markers, image, 0) == vision.image_text(5)
