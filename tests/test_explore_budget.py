"""A picture of the reader's own under every budget: what it becomes, what it costs, and what is no picture."""

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from explore_models import move_everything
from matplotlib.text import Text
from test_explore_upload import give, png

from minigemma import plots
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.explore import budget_calculator
from minigemma.explore.budget import cut
from minigemma.explore.upload import Picture
from minigemma.numbers import kv_cache_bytes
from minigemma.vision.numbers import budget_table, encoder_work, picture_cache

GREY = np.full((60, 90, 3), 120, np.uint8)


def test_every_control_moves():
    assert move_everything(budget_calculator({"grey": GREY})) >= 14


def test_the_token_stays_in_its_place_when_the_budget_changes():
    explorer = budget_calculator({"grey": GREY})
    token, budget = explorer.controls["token"], explorer.controls["budget"]
    across = {row.budget: row.width // 48 for row in budget_table(90, 60)}
    assert divmod(token.value, across[280])[1] == across[280] // 2  # in the middle at first
    budget.value = 70
    token.value = 8 + across[70]
    budget.value = 1120
    y, x = divmod(token.value, across[1120])
    assert (x * across[70] // across[1120], y * across[70] // across[1120]) == (8, 1)
    token.value = token.max
    budget.value = 280
    assert (token.value, token.max) == (259, 259)
    assert explorer.message.value == ""


def test_an_upload_is_measured_and_what_is_no_picture_said_in_place():
    explorer = budget_calculator()
    upload = explorer.children[0].children[-1]
    give(upload, "mine.png", png(480, 270))
    assert explorer.message.value == ""
    shown = explorer.draw(**explorer.values()).axes[0].get_title(loc="left")
    assert shown == "480 × 270 → 1,056 × 576 pixels: 2,376 patches, 264 soft tokens"
    give(upload, "letter.txt", b"Dear reader")
    assert "letter.txt" in explorer.message.value
    assert "not a picture" in explorer.message.value
    explorer.controls["budget"].value = 70
    assert "letter.txt" in explorer.message.value
    explorer.controls["picture"].index = 0
    assert explorer.message.value == ""


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (5000, 2)])
def test_odd_sizes_are_drawn(size):
    explorer = budget_calculator({"odd": np.zeros(size[::-1], np.uint8)})
    assert move_everything(explorer) > 10


def test_a_large_picture_is_worked_out_at_its_own_size():
    picture = Picture(np.zeros((4000, 6000), np.uint8))
    image, size = cut(picture, None)
    assert (image.size, size) == ((2400, 1600), (6000, 4000))
    image, size = cut(picture, 1.0)
    assert (image.size, size) == ((1600, 1600), (4000, 4000))
    explorer = budget_calculator({"large": picture.source})
    notes = [text.get_text() for text in explorer.draw(**explorer.values()).findobj(Text)]
    assert any("Shrunk from 6,000 × 4,000" in note for note in notes)


def test_costs():
    small, large = PRESETS["E2B"], PRESETS["31B"]
    # 16 layers: q, k, v, o of 768 x 768 and three of 768 x 3072; the patch embedding once
    assert encoder_work(9, small.vision).linear == 2 * 9 * (16 * (4 * 768**2 + 3 * 768 * 3072) + 768**2)
    assert encoder_work(18, large.vision).attention == 4 * encoder_work(9, large.vision).attention
    assert encoder_work(9, large.vision).attention == 27 * 16 * 2 * 9 * 9 * 72 * 2
    kept = picture_cache(1120, small)
    assert kept.at_first == sum(kv_cache_bytes(small.text, 1120).values())
    assert kept.for_good == 1120 * 3 * 2 * 512 * 2


def test_plots():
    assert [axes.get_title(loc="left") for axes in plots.budget_work().axes] == ["E2B, E4B", "26B-A4B, 31B"]
    with pytest.raises(InputError, match="no soft token 60"):
        plots.picture_cost(GREY, (90, 60), 70, 60)
    with pytest.raises(InputError, match="region"):
        plots.budget_detail(GREY, (0.5, 0, 0.4, 1))
    detail = plots.budget_detail(GREY, (0.1, 0.2, 0.6, 0.4))
    assert [axes.get_title(loc="left").split(":")[0] for axes in detail.axes][::4] == ["budget 70", "budget 1,120"]
    for figure in (detail, plots.budget_work(), plots.picture_cost(GREY, (90, 60), 70, 59)):
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()]
        assert min(sizes) >= 11
