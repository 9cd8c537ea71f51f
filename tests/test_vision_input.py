"""From any picture to patches: sizes, the reference's bits, and every odd kind of file."""

import contextlib
import hashlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import vision_case as case
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minigemma import vision
from minigemma.errors import InputError
from minigemma.vision.image import MAX_PIXELS, open_image
from minigemma.vision.resize import BUDGETS, size_for_budget, target_size

PHOTO = case.synthetic_photo(40, 60)


@pytest.mark.parametrize(
    ("patch", "most", "pool", "size", "expected"),
    [  # the nine sizes in the reference's own tests
        (16, 256, 1, (256, 256), (256, 256)),
        (16, 256, 1, (512, 512), (256, 256)),
        (10, 200, 1, (50, 10000), (10, 2000)),
        (10, 200, 1, (25, 10000), (10, 2000)),
        (16, 2304, 6, (2785, 34), (6144, 96)),
        (10, 200, 1, (25, 20000), (10, 2000)),
        (4, 64, 2, (50, 1000), (8, 128)),
        (5, 100, 3, (100, 100), (45, 45)),
        (5, 20, 3, (5, 100), (15, 30)),
    ],
)
def test_upstream_sizes(patch, most, pool, size, expected):
    assert target_size(*size, most, patch, pool) == expected


@pytest.mark.parametrize(
    ("size", "budget", "expected", "tokens"),
    [
        ((200, 300), 70, (288, 480), 60),
        ((200, 300), 140, (432, 672), 126),
        ((200, 300), 280, (624, 960), 260),
        ((200, 300), 560, (912, 1344), 532),
        ((200, 300), 1120, (1296, 1920), 1080),
        ((512, 512), 280, (768, 768), 256),
        ((480, 640), 280, (672, 912), 266),
        ((1080, 1920), 280, (576, 1056), 264),
        ((1, 1), 280, (768, 768), 256),
        ((1, 5000), 280, (48, 13440), 280),
        ((5000, 1), 70, (3360, 48), 70),
    ],
)
def test_sizes_for_budgets(size, budget, expected, tokens):
    height, width = size_for_budget(*size, budget)
    assert (height, width) == expected
    assert height * width // 48**2 == tokens


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from(BUDGETS))
def test_any_size_fits_its_budget(height, width, budget):
    rows, columns = (side // 48 for side in size_for_budget(height, width, budget))
    assert 1 <= rows * columns <= budget
    assert size_for_budget(width, height, budget) == (columns * 48, rows * 48)
    # no more than a cell is lost on a side, unless the picture is one cell thin
    scale = (budget * 48**2 / (height * width)) ** 0.5 / 48
    if min(rows, columns) > 1:
        assert rows <= scale * height + 1e-6 < rows + 1.001
        assert columns <= scale * width + 1e-6 < columns + 1.001


@pytest.mark.parametrize("budget", [0, 1, 100, 256, 2240, None, "280"])
def test_other_budgets_are_refused(budget):
    with pytest.raises(InputError, match="70, 140, 280, 560, 1120"):
        vision.prepare(PHOTO, budget)


def test_a_budget_without_room_is_refused():
    with pytest.raises(InputError, match="no cell"):
        target_size(100, 100, max_patches=4)


@pytest.mark.parametrize("name", ["synthetic", "astronaut", "coffee", "chelsea"])
def test_patches_have_the_reference_s_bits(name):
    _, golden = case.goldens()
    photo = case.synthetic_photo() if name == "synthetic" else case.photos().get(name)
    if photo is None:
        pytest.skip("needs scikit-image's pictures")
    for budget in BUDGETS:
        patches, positions = vision.prepare(photo, budget)
        assert patches.dtype == np.float32
        assert patches.min() >= 0
        assert patches.max() <= 1
        assert positions.shape == (len(patches), 2)
        assert hashlib.sha256(patches).hexdigest() == golden["patches"][f"{name} {budget}"], budget


def same(image, expected=PHOTO, atol=0):
    made = np.asarray(open_image(image))
    assert made.dtype == np.uint8
    np.testing.assert_allclose(made.astype(int), expected.astype(int), atol=atol)


def test_every_way_in(tmp_path):
    data = case.encoded(PHOTO)
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    for image in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), PHOTO):
        same(image)
    same(Image.fromarray(PHOTO))
    same(PHOTO[:, ::-1][:, ::-1])
    same(np.asfortranarray(PHOTO))
    patches, positions = vision.prepare(path)
    again = vision.prepare(PHOTO)
    np.testing.assert_array_equal(patches, again[0])
    np.testing.assert_array_equal(positions, again[1])


def test_arrays_of_every_kind():
    same(PHOTO.astype(int))
    same((PHOTO / 255).astype(np.float32))
    same(PHOTO / 255)
    same(PHOTO.astype(np.uint16) * 257)
    grey = PHOTO[..., 0]
    for array in (grey, grey[..., None], grey.astype(np.uint16) * 257):
        same(array, np.stack([grey] * 3, axis=-1))
    same(grey > 100, np.where(grey > 100, 255, 0)[..., None].repeat(3, -1))
    half = np.dstack([PHOTO, np.full(grey.shape, 128, np.uint8)])
    same(half, PHOTO * (128 / 255) + 255 * (127 / 255), atol=1)  # laid over white


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (PHOTO.astype(np.float32), "0 to 1"),
        (PHOTO.astype(int) * 2, "uint8"),
        (PHOTO.astype(int) - 100, "uint8"),
        (np.full((4, 4), np.nan), "nan"),
        (PHOTO.transpose(2, 0, 1), "channels come last"),
        (PHOTO[None], "no batch axis"),
        (PHOTO[..., :2], r"\(H, W, 3\)"),
        (PHOTO[0, 0], r"\(3,\)"),
        (np.zeros((0, 5, 3), np.uint8), "empty"),
        (np.zeros((4, 4), complex), "complex"),
        (np.array([["a"]]), "uint8"),
        (42, "int was given"),
        (None, "NoneType"),
    ],
)
def test_arrays_that_are_refused(array, hint):
    with pytest.raises(InputError, match=hint):
        vision.prepare(array)


def test_exif_turns_the_picture():
    for tag, turned in ((1, PHOTO), (3, PHOTO[::-1, ::-1]), (6, np.rot90(PHOTO, -1)), (8, np.rot90(PHOTO))):
        exif = Image.Exif()
        exif[0x0112] = tag
        same(case.encoded(PHOTO, "PNG", exif=exif), turned)


def test_transparency_is_laid_over_white():
    alpha = np.where(np.arange(60) < 30, 255, 0).astype(np.uint8) * np.ones((40, 1), np.uint8)
    expected = np.where(alpha[..., None] > 0, PHOTO, 255)
    same(case.encoded(np.dstack([PHOTO, alpha])), expected)
    grey = Image.merge("LA", [Image.fromarray(PHOTO[..., 0]), Image.fromarray(alpha)])
    same(grey, np.where(alpha > 0, PHOTO[..., 0], 255)[..., None].repeat(3, -1))
    palette = Image.fromarray(PHOTO).quantize(16)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=int(np.asarray(palette)[0, 0]))
    made = np.asarray(open_image(buffer.getvalue()))
    assert (made[0, 0] == 255).all()


def test_modes():
    photo = Image.fromarray(PHOTO)
    same(photo.convert("L"), np.asarray(photo.convert("L").convert("RGB")))
    same(photo.convert("CMYK"), PHOTO, atol=1)
    same(photo.convert("YCbCr"), PHOTO, atol=3)
    same(photo.convert("1"), np.asarray(photo.convert("1").convert("RGB")))
    same(photo.quantize(32), np.asarray(photo.quantize(32).convert("RGB")))
    buffer = io.BytesIO()
    photo.convert("CMYK").save(buffer, "JPEG", quality=95)
    same(buffer.getvalue(), PHOTO, atol=255)
    grey = PHOTO[..., 0].astype(np.uint16) * 257
    same(case.encoded(grey), PHOTO[..., :1].repeat(3, -1))  # a 16-bit PNG
    same(Image.fromarray(PHOTO[..., 0].astype(np.int32)), PHOTO[..., :1].repeat(3, -1))
    same(Image.fromarray((PHOTO[..., 0] / 255).astype(np.float32)), PHOTO[..., :1].repeat(3, -1))
    with pytest.raises(InputError, match="8 or 16 bits"):
        open_image(Image.fromarray(np.full((2, 2), 100_000, np.int32)))


def test_animation_gives_one_frame_and_says_so():
    frames = [Image.fromarray(np.roll(PHOTO, 10 * i, axis=1)) for i in range(3)]
    for kind, tolerance in (("PNG", 0), ("GIF", 120), ("TIFF", 0)):  # a GIF has 256 colours
        data = case.encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.warns(UserWarning, match="3 frames"):
            same(data, atol=tolerance)


def test_a_still_picture_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vision.prepare(case.encoded(PHOTO))


@pytest.mark.parametrize(("height", "width", "grid"), [(1, 1, (48, 48)), (1, 5000, (840, 3)), (5000, 1, (3, 840))])
def test_extreme_shapes(height, width, grid):
    patches, positions = vision.prepare(np.full((height, width, 3), 255, np.uint8))
    assert tuple(positions.max(axis=0) + 1) == grid
    assert (patches == 1).all()


def bomb(width: int, height: int) -> bytes:
    """A PNG of almost no bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(11_000, 11_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_they_are_decoded(size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"pixels|cannot be read|exceeds"):
            vision.prepare(bomb(*size))


def test_huge_arrays_are_refused():
    with pytest.raises(InputError, match="120,000,000"):
        vision.prepare(np.broadcast_to(np.uint8(0), (1, MAX_PIXELS + 1)))


def test_broken_files(tmp_path):
    png, jpeg = case.encoded(PHOTO), case.encoded(PHOTO, "JPEG")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    for broken in (b"", b"not a picture", png[:200], png[:40], jpeg[: len(jpeg) // 2], empty, bomb(100, 100)):
        with pytest.raises(InputError):
            vision.prepare(broken)
    with pytest.raises(InputError, match="no such file"):
        vision.prepare(tmp_path / "missing.png")
    with pytest.raises(InputError, match="cannot be read"):
        vision.prepare(tmp_path)
    with pytest.raises(InputError, match="download"):
        vision.prepare("https://example.org/cat.png")


@given(st.data())
def test_damaged_files_never_crash(data):
    """Bytes changed at random: a picture or an InputError, nothing else."""
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]))
    damaged = bytearray(case.encoded(PHOTO[:16, :16], kind))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(InputError):
            assert open_image(bytes(damaged)).mode == "RGB"


def test_files_are_closed_and_pictures_given_stay_open(tmp_path):
    path = tmp_path / "moving.png"
    photo = Image.fromarray(PHOTO)
    photo.save(path, save_all=True, append_images=[photo.rotate(180)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        warnings.simplefilter("ignore", UserWarning)
        vision.prepare(path)
        given = Image.open(path)
        vision.prepare(given)
        given.seek(1)  # still open, and the frame it stands at is the one that is taken
        same(given, PHOTO[::-1, ::-1])
        given.close()
