"""Which picture an explorer is about: one of the shipped samples, or a file of the reader's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ipywidgets as widgets

from minigemma.errors import InputError
from minigemma.explore.base import choice
from minigemma.studio import SAMPLES
from minigemma.vision.image import open_image

SHIPPED = {"a scene": "scene.png", "digits": "digits.png", "shapes": "both.png"}
LONGEST = 2400  # pixels kept along the longer side: more than any budget uses for a picture of a usual shape


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture by its source (a path, the bytes of a file, a Pillow image, an array). It is read when it is asked for.

    Every property raises InputError, with the name in front, if the source is no picture.
    """

    source: Any
    name: str = "the picture"

    @cached_property
    def _seen(self) -> tuple[Any, tuple[int, int], str]:
        if isinstance(self.source, bytes) and not self.source:
            raise InputError(f"{self.name}: the file is empty")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                image = open_image(self.source)
            except InputError as error:
                raise InputError(f"{self.name}: {str(error).removeprefix('the bytes given: ')}") from None
        size, notes = image.size, [str(warning.message) for warning in said]
        if max(size) > LONGEST:  # so that no move of a control waits for a hundred megapixels
            image.thumbnail((LONGEST, LONGEST), reducing_gap=2.0)
            notes.append(f"shrunk from {size[0]:,} × {size[1]:,} pixels to {image.width:,} × {image.height:,} first")
        return image, size, " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)

    @property
    def image(self) -> Any:
        """A Pillow image, RGB and upright, at most ``LONGEST`` pixels along its longer side."""
        return self._seen[0]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of what was given, before any shrinking."""
        return self._seen[1]

    @property
    def note(self) -> str:
        """ "" or what a reader should know: shrunk first, one frame of several."""
        return self._seen[2]


def picture_upload(more: Mapping[str, Any] | None = None) -> tuple[widgets.Dropdown, widgets.FileUpload]:
    """A choice of pictures, whose values are ``Picture``s, and an upload button to put beside it, which adds one.

    more: further pictures by name, offered first: a path, bytes, a Pillow image or an array. What is uploaded is chosen
    at once; whether it is a picture shows when it is read, so ``Explorer`` says the error in its place.
    """
    given = dict(more or {}) | {label: SAMPLES / file for label, file in SHIPPED.items()}
    control = choice("picture", {label: Picture(source, label) for label, source in given.items()})
    upload = widgets.FileUpload(accept="image/*", multiple=False, description="your picture")

    def uploaded(change: dict) -> None:
        for file in change["new"]:
            name = file["name"]
            new = Picture(bytes(file["content"]), name)
            control.options = [*(entry for entry in control.options if entry[0] != name), (name, new)]
            control.value = new

    upload.observe(uploaded, "value")
    return control, upload
