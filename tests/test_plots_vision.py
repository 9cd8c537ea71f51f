"""Every picture of the vision part draws, has labelled axes and type of at least 11 pt, and leaves pyplot alone."""

import matplotlib as mpl
import numpy as np
import pytest
import vision_case as case
from matplotlib.figure import Figure
from matplotlib.text import Text

from minigemma import plots, vision
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.vision.numbers import budget_table

PHOTO = case.synthetic_photo()
PATCHES, POSITIONS = vision.prepare(PHOTO, 70)
N, n = len(POSITIONS), len(POSITIONS) // 9
RNG = np.random.default_rng(0)
PATTERN = RNG.dirichlet(np.ones(N), (4, N)).astype(np.float32)  # (H, N, N)
CONFIG = PRESETS["31B"].vision
PROMPT = np.array([0] * 3 + [1] * 9 + [0] * 4 + [1] * 6 + [0] * 3)

PICTURES = {
    "patch_grid": lambda: plots.patch_grid(PHOTO, 140),
    "budgets": lambda: plots.budgets(PHOTO),
    "budgets of two": lambda: plots.budgets(PHOTO, (70, 280)),
    "calculator": lambda: plots.budget_calculator(1920, 1080, 280),
    "calculator, thin": lambda: plots.budget_calculator(5000, 1, 1120),
    "patch_numbers": lambda: plots.patch_numbers(),
    "position_tables": lambda: plots.position_tables(RNG.standard_normal((2, 40, 30)).astype(np.float32)),
    "rope2d_angles": lambda: plots.rope2d_angles(CONFIG, 30, 20),
    "rope2d_similarity": lambda: plots.rope2d_similarity(CONFIG, 30, 20, (4, 5)),
    "patch_attention": lambda: plots.patch_attention(PHOTO, POSITIONS, PATTERN, (4, 5)),
    "patch_attention, one row": lambda: plots.patch_attention(PHOTO, POSITIONS, PATTERN[0, 7], 7, heads=()),
    "patch_similarity": lambda: plots.patch_similarity(PATCHES, POSITIONS, 10, PHOTO),
    "patch_view": lambda: plots.patch_view(PHOTO, POSITIONS, PATTERN[0, 7], (4, 5), CONFIG, "head 0", "A note."),
    "patch_padding": lambda: plots.patch_padding(),
    "soft_token_grid": lambda: plots.soft_token_grid(PHOTO, POSITIONS, token=3),
    "soft_token_grid, values": lambda: plots.soft_token_grid(PHOTO, POSITIONS, np.arange(n), label="norm"),
    "soft_token_attention": lambda: plots.soft_token_attention(PHOTO, POSITIONS, RNG.random((3, n)), ["a", "$b", "\n"]),
    "soft_token_readers": lambda: plots.soft_token_readers(PHOTO, POSITIONS, RNG.random((3, n)), 5, ["a", "$b", "\n"]),
    "soft_token_readers, many": lambda: plots.soft_token_readers(PHOTO, POSITIONS, RNG.random((40, n)), 5),
    "image_mask": lambda: plots.image_mask(PROMPT, 8, [str(i) for i in PROMPT]),
    "image_mask, long": lambda: plots.image_mask(np.repeat(PROMPT, 8), 64),
}


@pytest.mark.parametrize("name", PICTURES)
def test_draws(name):
    figure = PICTURES[name]()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    for axes in figure.axes:
        if axes.axison and axes.get_label() != "<colorbar>":
            assert axes.get_xlabel(), name
            assert axes.get_ylabel(), name
        if axes.get_label() == "<colorbar>":
            assert axes.get_ylabel(), name
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()]
    assert min(sizes) >= 11
    assert "matplotlib.pyplot" not in mpl.__dict__ or not mpl.pyplot.get_fignums()


def test_mask_colours_are_the_mask():
    """Orange cells are those that only the rule of the large models lets see: same image, later, window or not."""
    axes = plots.image_mask(PROMPT, 8).axes
    orange = np.array(mpl.colors.to_rgb("#E69F00"))
    cells = [np.isclose(a.images[0].get_array(), orange).all(axis=-1) for a in axes]
    query, key = np.mgrid[: len(PROMPT), : len(PROMPT)]
    block = np.cumsum(np.diff(PROMPT, prepend=0) == 1) * PROMPT
    expected = (block[query] == block[key]) & (block[query] > 0) & (key > query)
    np.testing.assert_array_equal(cells[1], expected)
    assert not any(c.any() for c in (cells[0], cells[2], cells[3]))


def test_attention_lands_on_its_patch():
    pattern = np.zeros((1, N), np.float32)
    pattern[0, 23] = 1
    axes = plots.patch_attention(PHOTO, POSITIONS, pattern, 0).axes[1]
    x, y = POSITIONS[23]
    values = np.asarray(axes.images[1].get_array())
    assert np.unravel_index(values.argmax(), values.shape) == (y, x)


def test_a_view_shows_the_row_given_and_the_rotation():
    row = np.zeros(N, np.float32)
    row[23] = 1
    axes = plots.patch_view(PHOTO, POSITIONS, row, 5, CONFIG).axes
    looked, alike = (np.asarray(axes[i].images[1].get_array()) for i in (1, 2))
    assert np.unravel_index(looked.argmax(), looked.shape) == tuple(POSITIONS[23])[::-1]
    assert np.unravel_index(alike.argmax(), alike.shape) == tuple(POSITIONS[5])[::-1]
    np.testing.assert_allclose(alike.max(), 1)


def test_padding_is_no_key_for_anybody():
    lists, mask = (np.asarray(axes.images[0].get_array()) for axes in plots.patch_padding(((2, 2), (3, 1)), 1).axes)
    assert lists.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert mask.tolist() == [[1, 1, 1, 0]] * 4


def test_soft_tokens_land_on_their_cells():
    weights = np.zeros(n)
    weights[14] = 1
    axes = plots.soft_token_attention(PHOTO, POSITIONS, weights).axes[0]
    values = np.asarray(axes.images[1].get_array())
    across = (POSITIONS[:, 0].max() + 1) // 3
    y, x = np.argwhere(values > 0).min(axis=0)
    assert (x, y) == (14 % across * 3, 14 // across * 3)
    assert (values > 0).sum() == 9


def test_calculator_shows_the_table():
    left, table, shapes = plots.budget_calculator(300, 200, 560).axes
    assert left.get_title(loc="left") == "300 × 200 → 1344 × 912 pixels\n4,788 patches, 532 soft tokens"
    cells = {at: cell.get_text().get_text() for at, cell in table.tables[0].get_celld().items()}
    for line, row in enumerate(budget_table(300, 200), 1):
        shown = [f"{row.budget:,}", f"{row.width:,} × {row.height:,}", f"{row.patches:,}", f"{row.soft_tokens:,}"]
        assert [cells[line, column] for column in range(4)] == shown
    marked = shapes.lines[-1].get_xydata()
    np.testing.assert_allclose(marked, [[1.5, 532]])


def test_readers_are_those_who_look_most():
    weights = RNG.random((40, n))
    weights[7] = 0
    axes = plots.soft_token_readers(PHOTO, POSITIONS, weights, 5, list("abcdefgh" * 5), most=39).axes[1]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], np.delete(weights[:, 5], 7))
    assert [label.get_text() for label in axes.get_yticklabels()] == list("abcdefg" + "abcdefgh" * 4)


def test_what_does_not_fit_is_named():
    for call in (
        lambda: plots.patch_attention(PHOTO, POSITIONS, PATTERN[:, :, :-1], 0),
        lambda: plots.patch_attention(PHOTO, POSITIONS, PATTERN, (400, 5)),
        lambda: plots.patch_similarity(PATCHES, POSITIONS, N, PHOTO),
        lambda: plots.patch_view(PHOTO, POSITIONS, PATTERN[0], 7, CONFIG),
        lambda: plots.patch_padding(shown=3),
        lambda: plots.patch_similarity(PATCHES[1:], POSITIONS, 0, PHOTO),
        lambda: plots.soft_token_grid(PHOTO, POSITIONS, np.arange(n + 1)),
        lambda: plots.soft_token_attention(PHOTO, POSITIONS, np.ones(n - 1)),
        lambda: plots.soft_token_attention(PHOTO, POSITIONS, np.ones((2, n)), ["one"]),
        lambda: plots.soft_token_grid(PHOTO, POSITIONS, token=n),
        lambda: plots.soft_token_readers(PHOTO, POSITIONS, np.ones((2, n)), -1),
        lambda: plots.image_mask(PROMPT, 8, ["too", "few"]),
        lambda: plots.rope2d_angles(CONFIG, 30, 20, pairs=[18]),
        lambda: plots.position_tables(np.ones((3, 4))),
        lambda: plots.budget_calculator(100, 100, 99),
    ):
        with pytest.raises(InputError):
            call()
