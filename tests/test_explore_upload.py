"""A reader's own picture: chosen, uploaded, huge, broken."""

import datetime
import io

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from matplotlib.figure import Figure
from PIL import Image

from minigemma.explore import Explorer, picture_upload
from minigemma.explore.upload import LONGEST, SHIPPED


def png(width=30, height=20, **options):
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(file, "PNG", **options)
    return file.getvalue()


def give(upload, name, content):
    """Upload a file, as a browser does."""
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    upload.value = ({**file, "last_modified": datetime.datetime.now(datetime.UTC)},)


def draw(picture):
    return Figure(figsize=(picture.size[0] / 100, picture.size[1] / 100))


@pytest.fixture
def explorer():
    control, upload = picture_upload()
    return Explorer(draw, {"picture": control}, beside=[upload])


def parts(explorer):
    return explorer.controls["picture"], explorer.children[0].children[-1]


def test_the_samples_are_there(explorer):
    control, _ = parts(explorer)
    for _, picture in control.options:
        assert picture.image.mode == "RGB"
        assert picture.size == picture.image.size
        assert picture.note == ""
    assert len(control.options) == len(SHIPPED)


def test_an_upload_is_chosen_and_a_second_of_the_same_name_takes_its_place(explorer):
    control, upload = parts(explorer)
    before = explorer.picture.value
    give(upload, "mine.png", png(60, 200))
    assert (control.label, control.value.size) == ("mine.png", (60, 200))
    assert explorer.picture.value != before
    give(upload, "mine.png", png(70, 200))
    assert control.value.size == (70, 200)
    assert len(control.options) == len(SHIPPED) + 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"no picture at all", "not a picture"), (png(300, 300)[:100], "cannot be")],
)
def test_what_is_no_picture_is_said_in_place_and_can_be_left_again(explorer, content, says):
    control, upload = parts(explorer)
    give(upload, "odd.png", content)
    assert "odd.png" in explorer.message.value
    assert says in explorer.message.value
    control.index = 0
    assert explorer.message.value == ""


def test_a_large_picture_is_shrunk_once_and_keeps_its_size():
    control, _ = picture_upload({"large": np.zeros((3000, 6000), np.uint8)})
    picture = control.value
    assert (control.label, picture.size, picture.image.size) == ("large", (6000, 3000), (LONGEST, LONGEST // 2))
    assert "6,000 × 3,000" in picture.note
    assert picture.image is picture.image
