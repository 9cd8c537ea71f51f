"""Habits of heads on patterns whose habit is known, and the pictures of them; Gemma 3 beside Gemma 4 in numbers."""

from dataclasses import replace

import numpy as np
import pytest

from minigemma import heads, plots
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.gemma3.changes import changes, format_changes
from minigemma.gemma3.presets import PRESETS as GEMMA3
from minigemma.interleaving import schedule
from minigemma.parameters import parameter_count

IDS = [2, 5, 6, 7, 5, 6, 7, 5]
T = len(IDS)


def one_hot(keys):
    """(1, T, T): query t looks at keys[t] only."""
    return np.eye(T, dtype=np.float32)[keys][None]


PURE = {
    "sink": one_hot([0] * T),
    "itself": one_hot(range(T)),
    "previous token": one_hot([0, *range(T - 1)]),
    "same token": one_hot([0, 0, 0, 0, 1, 2, 3, 4]),
    "induction": one_hot([0, 0, 0, 0, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("habit", PURE)
def test_a_head_of_one_habit(habit):
    found = heads.habits([PURE[habit]], IDS)
    assert found[habit] == 1.0
    assert all(share <= 0.5 for name, share in found.items() if name != habit)
    assert heads.ranked(np.concatenate([found[name] for name in found], axis=1))[0] == (0, list(PURE).index(habit))


def test_every_earlier_place_counts():
    """Token 7 (5) has two earlier places, 1 and 4; half on each is still a head of this habit."""
    pattern = PURE["same token"].copy()
    pattern[0, 7] = 0
    pattern[0, 7, [1, 4]] = 0.5
    assert heads.habits([pattern], IDS)["same token"] == 1.0


def test_a_text_without_repetition_has_no_induction():
    found = heads.habits([np.full((2, 3, 3), 1 / 3)], [2, 5, 6])
    assert np.isnan(found["induction"]).all()
    assert np.isnan(found["same token"]).all()
    assert found["sink"].shape == (1, 2)


def test_mean_distance():
    assert heads.mean_distance([PURE["previous token"]]) == 1.0
    assert heads.mean_distance([PURE["itself"]]) == 0.0


def test_looking_away():
    """The one head gives up its keys and keeps the rest; the other is as before; rows still sum to one."""
    keys = heads.habit_masks(IDS)["induction"]
    pattern = np.tri(T, dtype=np.float32)[None].repeat(2, axis=0)
    pattern /= pattern.sum(axis=-1, keepdims=True)
    edits = heads.look_away([(3, 1)], keys)
    assert list(edits) == ["layers.3.attention.pattern"]
    edited = edits["layers.3.attention.pattern"](pattern)
    np.testing.assert_array_equal(edited[0], pattern[0])
    assert not edited[1][keys].any()
    np.testing.assert_allclose(edited.sum(axis=-1), 1, rtol=1e-6)
    assert edited[1, 4, 0] == pytest.approx(1 / 4)  # of five keys one is gone


def test_ranked():
    assert heads.ranked(np.array([[0.1, np.nan], [0.5, 0.3]])) == [(1, 0), (1, 1), (0, 0), (0, 1)]


def test_wrong_shapes_are_named():
    with pytest.raises(InputError, match=r"\(heads, 8, 8\)"):
        heads.habits([np.ones((2, 5, 5))], IDS)
    with pytest.raises(InputError, match="at least two"):
        heads.habit_masks([1])


def test_pictures():
    text = GEMMA3["270M"].text
    ten = schedule(replace(text, num_hidden_layers=10, layer_types=text.layer_types[:10]))
    figure = plots.head_habits({"sink": np.eye(10, 4), "induction": np.full((10, 4), np.nan)}, ten)
    figure.canvas.draw()
    assert "1.00" in {text.get_text() for axes in figure.axes for text in axes.texts}
    plots.value_sizes({"a": np.ones((3, 4)), "b": np.full((2, 5), 2.0)}).canvas.draw()
    turned = np.array([True, False])
    plots.key_against_value({"a": (np.ones((3, 2)), np.ones((3, 2)), turned)}).canvas.draw()
    for call in (
        lambda: plots.head_habits({"a": np.ones((2, 3)), "b": np.ones((3, 2))}),
        lambda: plots.value_sizes({"a": np.ones((3, 1))}),
        lambda: plots.key_against_value({"a": (np.ones((3, 2)), np.ones((3, 3)), turned)}),
    ):
        with pytest.raises(InputError, match=r"expected|must be"):
            call()


def test_parameter_counts_of_the_released_gemma3():
    counts = {name: sum(parameter_count(config).values()) for name, config in GEMMA3.items()}
    assert counts["270M"] == 268_098_176
    assert counts["1B"] == 999_885_952
    assert counts["27B"] == 27_009_346_304


def test_changes_from_27b_to_26b():
    rows = {name: (old, new) for name, old, new in changes(GEMMA3["27B"], PRESETS["26B-A4B"])}
    assert rows["the last layer is"] == ("local", "global")
    assert rows["queries are multiplied by"] == ("1/√168", "1")
    assert rows["heads in a global layer"] == ("32 : 16 of 128", "16 : 2 of 512")
    assert rows["pairs that turn, global"] == ("64 of 64", "64 of 256")
    assert rows["KV cache of 131,072 tokens"] == ("11.2 GB", "2.9 GB")
    assert rows["a further token adds"] == ("81.9 kB", "20.5 kB")  # 10 x 2 x 16 x 128 x 2; 5 x 2 x 2 x 512 x 2 bytes
    assert rows["of which for one token"] == ("27.01 B", "3.82 B")
    lines = format_changes([(name, *both) for name, both in rows.items()], "old", "new").splitlines()
    assert len(lines) == len(rows) + 1
    assert sum("→" in line for line in lines) == sum(old != new for old, new in rows.values())
