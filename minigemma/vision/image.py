"""Any picture as an upright RGB Pillow image: the edge where files, bytes and arrays of every kind are taken in.

Pillow decodes; this module decides. Turned by its EXIF tag, flattened onto white where transparent, 16 bits brought
down to 8, one frame of an animation (with a warning), and a clear InputError for what is broken or absurdly large.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

import numpy as np

from minigemma.errors import InputError

MAX_PIXELS = 120_000_000  # a 108-megapixel photo passes; a decompression bomb does not


def open_image(image: Any) -> Any:
    """A path, bytes, open file, Pillow image or array as a Pillow image of mode RGB.

    Arrays: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, bool, uint16 (full range 0..65535), integers within
    0..255, or floats within [0, 1]. Everything else, and whatever Pillow cannot decode, is an InputError.

    The result is what the reference's processor makes of a Pillow image, with the same bits: transparency is laid over
    white, palettes and CMYK are converted. Ours differs where the reference depends on how a picture came in: the EXIF
    tag is always obeyed (there only for files it opens itself), transparency never ignored (there it is, for those).
    And 16-bit and float pictures keep their greys (there Pillow's conversion cuts off what is above 255).
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        return _rgb(image)
    if isinstance(image, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(image, "read"):
        with _decode(image) as file:
            return _rgb(file)
    if hasattr(image, "__array__"):
        return _from_array(np.asarray(image))
    raise InputError(
        f"an image was expected, {type(image).__name__} was given: "
        "pass a path, bytes, a Pillow image or an array (H, W, 3)"
    )


def _decode(source: Any) -> Any:
    """Open (not yet decode) a file; whatever is wrong with it becomes an InputError."""
    from PIL import Image, UnidentifiedImageError

    name = "the bytes given"
    if isinstance(source, str | os.PathLike):
        name = str(source)
        if name.startswith(("http://", "https://")):
            raise InputError(f"{name} is an address: download it and pass the file or its bytes")
    elif not hasattr(source, "read"):
        source = io.BytesIO(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # _check_size decides
            return Image.open(source)
    except UnidentifiedImageError:
        raise InputError(f"{name}: not a picture in a format Pillow knows") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except Exception as error:  # a damaged header can raise almost anything
        raise InputError(f"{name}: cannot be read as a picture ({error})") from error


def _rgb(image: Any) -> Any:
    """Decode, turn upright, flatten: any Pillow image -> mode RGB, the same size or turned by 90 degrees."""
    from PIL import Image, ImageOps

    _check_size(*image.size)
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1  # MPO: a phone's photo and its depth map
    if frames > 1:
        warnings.warn(
            f"the picture has {frames} frames and only one is used; vision.prepare_video takes all of them",
            stacklevel=4,
        )
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits and more
            return _from_array(_integers(np.asarray(image)))
        if image.mode == "F":
            return _from_array(np.asarray(image))
        if "A" in image.getbands() or "a" in image.getbands() or image.info.get("transparency") is not None:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    except InputError:
        raise
    except Exception as error:  # truncated data, broken chunks, modes that cannot be converted
        raise InputError(f"the picture cannot be decoded: {error}") from error


def _integers(image: np.ndarray) -> np.ndarray:
    """Pillow's integer modes: I;16 holds 16 bits, I whatever was put into it."""
    if image.dtype.itemsize > 2 and image.max() <= 255:
        return image
    if image.min() < 0 or image.max() > 65_535:
        raise InputError(f"pixel values run from {image.min()} to {image.max()}; 8 or 16 bits were expected")
    return image.astype(np.uint16)


def _from_array(image: np.ndarray) -> Any:
    """(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of any sensible type -> Pillow RGB."""
    from PIL import Image

    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[-1] in (3, 4)):
        hint = ""
        if image.ndim == 3 and image.shape[0] in (1, 3, 4):
            hint = ": the channels come last, try image.transpose(1, 2, 0)"
        elif image.ndim == 4:
            hint = ": one picture at a time, there is no batch axis"
        raise InputError(f"an array (H, W), (H, W, 3) or (H, W, 4) was expected, {image.shape} was given{hint}")
    _check_size(image.shape[1], image.shape[0])
    expected = "pass uint8 (0 to 255), uint16 (0 to 65535) or floats from 0 to 1"
    if image.dtype.kind not in "buif":
        raise InputError(f"an array of {image.dtype} was given: {expected}")
    if image.dtype == np.uint8:
        pixels = image
    elif image.dtype == bool:
        pixels = image * np.uint8(255)
    elif image.dtype == np.uint16:
        pixels = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65,535 = 257 * 255
    elif image.dtype.kind in "ui" and image.min() >= 0 and image.max() <= 255:
        pixels = image.astype(np.uint8)
    elif image.dtype.kind == "f" and image.min() >= 0 and image.max() <= 1:  # False for NaN
        pixels = np.round(image * 255).astype(np.uint8)
    else:
        raise InputError(f"an array of {image.dtype} from {image.min():g} to {image.max():g} was given: {expected}")
    return _rgb(Image.fromarray(np.ascontiguousarray(pixels)))


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise InputError(f"the picture is empty: {width} x {height}")
    if width * height > MAX_PIXELS:
        raise InputError(f"the picture is {width} x {height}, more than {MAX_PIXELS:,} pixels: make it smaller first")
