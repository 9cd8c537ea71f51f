"""A patch followed through heads and layers: samples, uploads, thin pictures, and what is no picture."""

import datetime
import io
import time

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import SHAPES, letter_model, move_everything
from PIL import Image

from minigemma.errors import InputError
from minigemma.explore import patch_viewer

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def give(explorer, name, content):
    """Upload a file."""
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    upload = explorer.children[0].children[-1]
    upload.value = ({**file, "last_modified": datetime.datetime.now(datetime.UTC)},)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_control_moves(shape):
    assert move_everything(patch_viewer(letter_model(shape, towers=True), noise=PIXELS)) >= 8


def test_what_is_drawn_is_the_row_asked_for():
    explorer = patch_viewer(letter_model("e2b", towers=True), noise=PIXELS)
    noise = explorer.controls["picture"].value
    axes = explorer.draw(noise, 3, 2, 0, 1).axes
    assert axes[0].get_title(loc="left") == "patch (3, 2)"
    assert axes[1].get_title(loc="left") == "attention, layer 0, head 1"
    one = np.asarray(axes[1].images[1].get_array())
    mean = np.asarray(explorer.draw(noise, 3, 2, 0, -1).axes[1].images[1].get_array())
    np.testing.assert_allclose([one.mean(), mean.mean()], 1, rtol=1e-4)  # shares of one, times N
    assert not np.allclose(one, mean)


def test_an_upload_is_chosen_and_the_sliders_end_at_its_sides():
    explorer = patch_viewer(letter_model("31b", towers=True))
    before = explorer.picture.value
    give(explorer, "mine.png", png(PIXELS[:, :60]))
    x, y = explorer.controls["x"], explorer.controls["y"]
    assert explorer.controls["picture"].label == "mine.png"
    assert explorer.picture.value != before
    assert (x.max, y.max) == (23, 23)  # a square at a budget of 70
    assert (x.value, y.value) == (12, 12)


def test_what_is_no_picture_is_said_in_place_and_can_be_left_again():
    explorer = patch_viewer(letter_model("e2b", towers=True), noise=PIXELS)
    whole = png(PIXELS)
    for content, says in ((b"%PDF-1.4 no picture", "not a picture"), (whole[:200], "decoded"), (b"", "empty")):
        give(explorer, "odd.png", content)
        assert says in explorer.message.value
        assert "odd.png" in explorer.message.value
        explorer.controls["picture"].index = 0
        assert explorer.message.value == ""


def test_a_picture_longer_than_the_position_table_is_said_in_place():
    explorer = patch_viewer(letter_model("e2b", towers=True))
    give(explorer, "long.png", png(np.tile(PIXELS[:4], (1, 6, 1))))
    assert "210 patches long" in explorer.message.value


def test_a_move_is_quick():
    explorer = patch_viewer(letter_model("e2b", towers=True))
    started = time.process_time()
    explorer.controls["x"].value += 1
    assert time.process_time() - started < 1  # about 0.15 s on an idle machine


def test_a_model_without_eyes_says_so():
    with pytest.raises(InputError, match="no eyes"):
        patch_viewer(letter_model("e2b"))
