"""The vision tower and its preprocessing against the installed transformers."""

import dataclasses
import io

import numpy as np
import pytest
import vision_case as case
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from small_models import SPECIAL, draw_ids

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
    """Two layers as wide as the released ones on a photograph (567 patches, padded to 630); the others repeat them."""
    import vision_reference

    config = dataclasses.replace(PRESETS[variant].vision, num_hidden_layers=2, position_embedding_size=32)
    arrays, image = case.random_tower(config, 4), vision.prepare(case.hopper(), 70)
    expected = vision_reference.run(*vision_reference.build(config, arrays), [image], 630)
    weights = Weights.of(arrays)
    soft = vision.encode(*image, weights.under("vision_tower."), config)
    projected = vision.project(soft, weights.under("embed_vision."), config.rms_norm_eps)
    assert relative_error(soft, expected[0]) < 1e-5
    assert relative_error(projected, expected[1]) < 1e-5


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from(BUDGETS))
@example(1, 5000, 280)
@example(2785, 34, 560)
@example(1, 120_000_000, 1120)
def test_sizes_are_the_reference_s(height, width, budget):
    from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

    assert vision.size_for_budget(height, width, budget) == get_aspect_ratio_preserving_size(
        height, width, patch_size=16, max_patches=9 * budget, pooling_kernel_size=3
    )


def pictures() -> dict[str, Image.Image]:
    made = {name: Image.fromarray(photo) for name, photo in case.photos().items()}
    rng = np.random.default_rng(0)
    made["hopper"] = Image.open(case.hopper())
    made["alpha"] = Image.fromarray(rng.integers(0, 256, (70, 90, 4), dtype=np.uint8))
    made["grey"] = made["hopper"].convert("L")
    made["palette"] = made["hopper"].quantize(64)
    made["thin"] = made["hopper"].resize((9, 900))
    made["exact"] = made["hopper"].resize((768, 768))  # left alone at 280
    return made


def processor():
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    return Gemma4ImageProcessorPil()


def test_preprocessing_is_equal_bit_for_bit():
    process = processor()
    for name, picture in pictures().items():
        for budget in BUDGETS:
            expected = process(picture, max_soft_tokens=budget, return_tensors="np")
            patches, positions = vision.prepare(picture, budget)
            n = len(patches)
            np.testing.assert_array_equal(expected["pixel_values"][0, :n], patches, err_msg=f"{name} {budget}")
            np.testing.assert_array_equal(expected["image_position_ids"][0, :n], positions)
            assert (expected["image_position_ids"][0, n:] == -1).all()
            assert expected["num_soft_tokens_per_image"][0] == n // 9


def encoded_kinds() -> dict[str, bytes]:
    """Files of every kind, from one picture and one with an alpha channel."""
    photo = case.synthetic_photo(40, 60)
    alpha = np.random.default_rng(0).integers(0, 256, photo.shape[:2], dtype=np.uint8)
    rgb, rgba = Image.fromarray(photo), Image.fromarray(np.dstack([photo, alpha]))
    grey, palette = rgb.convert("L"), rgb.quantize(32)
    some = tuple(int(v) for v in photo[3, 4])
    return {
        **{f"{kind} rgb": case.encoded(rgb, kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")},
        **{f"{kind} rgba": case.encoded(rgba, kind) for kind in ("PNG", "WEBP", "TIFF", "TGA")},
        **{f"{kind} cmyk": case.encoded(rgb.convert("CMYK"), kind) for kind in ("JPEG", "TIFF")},
        **{f"{kind} grey": case.encoded(grey, kind) for kind in ("PNG", "JPEG")},
        "PNG grey and alpha": case.encoded(rgba.convert("LA")),
        "PNG black and white": case.encoded(rgb.convert("1")),
        "PNG palette": case.encoded(palette),
        "PNG palette, one clear": case.encoded(palette, transparency=3),
        "PNG palette, many clear": case.encoded(palette, transparency=bytes(range(0, 256, 8))),
        "PNG one colour clear": case.encoded(rgb, transparency=some),
        "PNG one grey clear": case.encoded(grey, transparency=100),
    }


@pytest.mark.parametrize("kind", encoded_kinds())
def test_every_kind_of_file_has_the_reference_s_bits(kind):
    """What its processor makes of the file opened with Pillow: transparency over white, palettes, CMYK."""
    data = encoded_kinds()[kind]
    expected = processor()(Image.open(io.BytesIO(data)), max_soft_tokens=70, return_tensors="np")
    patches, _ = vision.prepare(data, 70)
    np.testing.assert_array_equal(expected["pixel_values"][0, : len(patches)], patches)


def test_where_ours_differs_from_the_reference(tmp_path):
    """What the reference does where ours does something else (``open_image`` says so): a change will be noticed."""
    from transformers.image_utils import load_image

    def theirs(image):
        return processor()(image, max_soft_tokens=70, return_tensors="np")["pixel_values"][0, :540]

    photo = case.synthetic_photo(40, 60)
    # EXIF: turned when the reference opens the file itself, not in a picture that is given open
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(case.encoded(photo, "JPEG", exif=exif))
    np.testing.assert_array_equal(np.asarray(vision.open_image(path)), np.asarray(load_image(str(path))))
    assert vision.open_image(path).size == (40, 60)
    assert Image.open(path).size == (60, 40)
    np.testing.assert_array_equal(theirs(Image.open(path)), theirs(Image.fromarray(np.asarray(Image.open(path)))))
    # transparency: forgotten when the reference opens the file itself (colours no one was to see come back)
    path = tmp_path / "clear.png"
    path.write_bytes(case.encoded(np.dstack([photo, np.zeros_like(photo[..., 0])])))
    np.testing.assert_array_equal(np.asarray(load_image(str(path))), photo)
    assert (theirs(Image.open(path)) == 1).all()
    assert (vision.prepare(path, 70)[0] == 1).all()
    # 16 bits and floats: Pillow's conversion, which the reference relies on, cuts everything above 255 (below 0) off
    deep = Image.fromarray(photo[..., 0].astype(np.uint16) * 257)
    assert np.median(theirs(deep)) == 1
    np.testing.assert_array_equal(vision.prepare(deep, 70)[0], theirs(Image.fromarray(photo[..., 0])))
    bright = Image.fromarray(photo[..., 0] / np.float32(255))
    assert theirs(bright).max() <= 1 / 255
    np.testing.assert_array_equal(vision.prepare(bright, 70)[0], theirs(Image.fromarray(photo[..., 0])))


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


def photo_prompt(counts, placeholder) -> list[int]:
    ids, text = [], iter(draw_ids(40, 5).reshape(-1, 4).tolist())
    for count in counts:
        ids += [*next(text), SPECIAL["boi_token_id"], *[SPECIAL[placeholder]] * count, SPECIAL["eoi_token_id"]]
    return ids + next(text)


@pytest.mark.parametrize("shape", ["e2b", "26b", "31b"])
def test_photographs_to_logits(shape, close):
    """Two photographs of two shapes, each side from the pixels on with its own processor; the reference pads both."""
    torch = pytest.importorskip("torch")
    from reference import random_model, reference_inputs, twin

    photos = [Image.open(case.hopper()), Image.fromarray(case.synthetic_photo(60, 90))]
    images = [vision.prepare(photo, 70) for photo in photos]
    counts = [vision.soft_token_count(positions) for _, positions in images]
    assert counts == [63, 60]  # both longer than every window
    ids, model = photo_prompt(counts, "image_token_id"), random_model(shape, seed=7, towers=True)
    made = processor()(photos, max_soft_tokens=70, return_tensors="np")
    assert made["pixel_values"].shape == (2, 630, 768)
    inputs = reference_inputs(model, ids)
    inputs["pixel_values"] = torch.from_numpy(made["pixel_values"].astype(np.float32))
    inputs["image_position_ids"] = torch.from_numpy(made["image_position_ids"])
    expected = model(**inputs, use_cache=False).logits[0].numpy()
    close(twin(model).forward(ids, images), expected, 1e-4, "logits")


@pytest.mark.parametrize("shape", ["e2b", "31b"])
def test_video_to_logits(shape, close):
    """A video's frames through the reference's own video inputs."""
    torch = pytest.importorskip("torch")
    from reference import _padded, random_model, reference_inputs, twin

    frames = [np.roll(case.synthetic_photo(90, 60), 20 * i, axis=0) for i in range(3)]
    video = vision.prepare_video(frames, fps=0.1)
    assert (video.stamps, video.soft_tokens) == (("00:00", "00:10", "00:20"), (60, 60, 60))
    ids, model = photo_prompt(video.soft_tokens, "video_token_id"), random_model(shape, seed=8, towers=True)
    inputs = reference_inputs(model, ids)
    assert (inputs["mm_token_type_ids"] == 2).sum() == 3 * 60
    inputs["pixel_values_videos"] = torch.stack([_padded(patches, 630, 0.0) for patches, _ in video.frames])
    inputs["video_position_ids"] = torch.stack([_padded(positions, 630, -1) for _, positions in video.frames])
    inputs["num_frames_per_video"] = torch.tensor([3])
    expected = model(**inputs, use_cache=False).logits[0].numpy()
    close(twin(model).forward(ids, video.frames), expected, 1e-4, "logits")
