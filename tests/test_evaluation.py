"""The arithmetic of the evaluation, on models and numbers whose answers are known."""

import dataclasses

import numpy as np
import pytest
from explore_models import letter_model
from scipy.special import log_softmax
from small_models import draw_ids

from minigemma.evaluation.experts import evenness, mutual_information, without
from minigemma.evaluation.language import token_losses
from minigemma.evaluation.recall import knock_outs, within
from minigemma.evaluation.report import Table
from minigemma.evaluation.scoring import Answer, blind, right, shared_length, table, word_errors
from minigemma.evaluation.sounds import from_codes, to_codes, with_noise
from minigemma.prompt import Prompt
from minigemma.trace import Trace


class Numbers:
    """Ids written out are the text."""

    def encode(self, text):
        return [int(word) for word in text.split()]


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_right_means_what_greedy_decoding_says_and_then_it_stops(shape):
    model = letter_model(shape)
    model.tokenizer = Numbers()
    begin, ends = draw_ids(20, seed=1).tolist(), [draw_ids(6, seed=s).tolist() for s in (2, 3)]
    prompts = [Prompt([*begin, *end], [], []) for end in ends]
    said = [list(model.generate(prompt.token_ids, 4, stop=())) for prompt in prompts]
    answers = [" ".join(map(str, ids[:3])) for ids in said]

    def found(stop, answers):
        model.config = dataclasses.replace(model.config, eos_token_ids=tuple(stop))
        return right(model, prompts, answers)

    stop = [ids[3] for ids in said]
    assert found(stop, answers) == [True, True]
    assert found([stop[0]], answers) == [True, stop[0] == stop[1]]  # the second does not stop there
    wrong = f"{said[0][0]} {(said[0][1] + 1) % 80} {said[0][2]}"
    assert found(stop, [wrong, answers[1]]) == [False, True]
    assert found(stop, [answers[0].rsplit(" ", 1)[0], answers[1]])[0] == (said[0][2] in stop)  # it would go on


def test_an_edit_reaches_the_shared_beginning_and_the_rest():
    model = letter_model("e2b")
    model.tokenizer = Numbers()
    prompts = [Prompt([*draw_ids(12, seed=1), *draw_ids(3, seed=s)], [], []) for s in (2, 3)]
    lengths = []

    def edit(pattern):
        lengths.append(pattern.shape[1:])
        return pattern

    right(model, prompts, ["5", "5 6"], edit={"layers.0.attention.pattern": edit})
    assert lengths == [(12, 12), (4, 16), (5, 17)]


def test_shared_length():
    assert shared_length([[1, 2, 3], [1, 2, 4], [1, 2]]) == 2
    assert shared_length([[1, 2, 3], [1, 2]]) == 2
    assert shared_length([[1], [2]]) == 0
    assert shared_length([[1, 2]]) == 2


@pytest.mark.parametrize(
    ("said", "expected", "errors"),
    [
        ("turn left", "turn left", 0),
        ("turn", "turn left", 1),
        ("", "turn left", 2),
        ("turn to the left", "turn left", 2),
        ("turn right", "turn left", 1),
        ("two one", "one two", 2),
    ],
)
def test_word_errors(said, expected, errors):
    assert word_errors(said, expected) == errors


def test_table_and_what_is_right_without_looking():
    answers = [
        Answer("colour", "colour", "red", True),
        Answer("colour", "colour", "red", False),
        Answer("colour", "colour", "blue", True),
        Answer("exists", "exists", "yes", True),
    ]
    assert blind(answers) == {
        ("colour", "red"): (0.5, True),
        ("colour", "blue"): (0.5, False),
        ("exists", "yes"): (1.0, True),
    }
    made = table("Scenes", answers, "a note")
    assert made.numbers()["colour"] == {"right": 2 / 3, "asked": 3, "chance": 0.5, "most frequent": 2 / 3}
    assert made.numbers()["all"] == {"right": 0.75, "asked": 4, "chance": 0.625, "most frequent": 0.75}
    assert "all" not in table("Scenes", answers[:3]).rows
    lines = str(made).splitlines()
    assert lines[0] == "Scenes"
    assert lines[-1] == "  (a note)"
    assert "66.7%" in lines[2]
    assert len({len(line) for line in lines[1:-1]}) == 1  # the columns stand below each other
    assert "-" in str(Table("", {"x": "{:.1f}"}, {"a": [None]}))


def test_token_losses():
    rng = np.random.default_rng(0)
    logits, ids = rng.standard_normal((7, 11)).astype(np.float32) * 20, rng.integers(0, 11, 7)
    expected = [-log_softmax(logits[t].astype(float))[ids[t + 1]] for t in range(6)]
    np.testing.assert_allclose(token_losses(logits, ids), expected, rtol=1e-5)


def test_mutual_information_between_domains_and_experts():
    domain = np.repeat(np.arange(4), 3)
    own = np.zeros((12, 8))
    own[np.arange(12), domain * 2] = 10
    assert mutual_information(own, domain) == pytest.approx(2)
    assert mutual_information(np.ones((12, 8)), domain) == pytest.approx(0)
    own[:3] *= 100  # a domain with more tokens weighs no more
    assert mutual_information(own, domain) == pytest.approx(2)
    half = np.zeros((2, 3))
    half[0, [0, 1]] = half[1, [1, 2]] = 1  # by hand: H(domain) - H(domain | expert) = 1 - 1/2
    assert mutual_information(half, np.array([0, 1])) == pytest.approx(0.5)


def test_evenness():
    assert evenness(np.full(16, 7)) == pytest.approx(1)
    assert evenness(np.array([9, 0, 0, 0])) == pytest.approx(0)
    assert evenness(np.array([1, 1, 0, 0])) == pytest.approx(0.5)


def test_removed_experts_are_never_chosen_and_their_weight_goes_to_the_others():
    model, ids = letter_model("26b"), draw_ids(20, seed=5)
    layers = len(model.schedule)
    removed = np.stack([[i % 12, (i + 5) % 12] for i in range(layers)])
    trace = Trace("*", edit=without(removed))
    model.forward(ids, trace=trace)
    for layer in range(layers):
        assert not np.isin(trace[f"layers.{layer}.moe.expert_index"], removed[layer]).any()
        np.testing.assert_allclose(trace[f"layers.{layer}.moe.router_probabilities"].sum(axis=-1), 1, rtol=1e-5)


def test_a_global_pattern_cut_to_the_window_is_a_local_one():
    model, ids = letter_model("31b"), draw_ids(15, seed=2)
    window, cut = model.config.text.sliding_window, knock_outs(model)["global cut"]
    trace = Trace("layers.*.attention.pattern", edit=cut)
    model.forward(ids, trace=trace)
    for pattern in trace.values():
        near = np.subtract.outer(np.arange(15), np.arange(15)) < window
        assert not pattern[:, ~near].any()
        np.testing.assert_allclose(pattern.sum(axis=-1), 1, rtol=1e-5)
    later = within(np.tri(2, 9, 7)[None] / 9, window=3)  # rows of a continuation: queries 7 and 8 of 9
    np.testing.assert_allclose(later[0], [[0] * 5 + [1 / 3] * 3 + [0], [0] * 6 + [1 / 3] * 3], atol=1e-7)


def test_as_many_local_layers_as_global_ones_are_knocked_out():
    for shape in ("e2b", "e4b", "26b", "31b"):
        model = letter_model(shape)
        edits = knock_outs(model)
        assert edits["intact"] is None
        assert len(edits["global off"]) == len(edits["local off"]) == sum(not s.is_local for s in model.schedule)
        assert not set(edits["global off"]) & set(edits["local off"])


def test_clips_come_back_30_decibels_above_their_error():
    time = np.arange(9000) / 16_000
    sound = 0.5 * np.sin(2 * np.pi * (200 + 900 * time) * time) * np.hanning(9000)
    back = from_codes(to_codes(sound))
    assert len(back) == 36 * 256
    error = back[:9000] - sound
    assert 10 * np.log10((sound**2).mean() / (error**2).mean()) > 28
    assert (back[9000:] ** 2).mean() < 1e-3


def test_noise_is_repeatable_and_as_loud_as_it_says():
    sound = np.sin(np.arange(16_000) * 0.2).astype(np.float32)
    for seed in range(5):
        noisy = with_noise(sound, np.random.default_rng(seed))
        np.testing.assert_array_equal(noisy, with_noise(sound, np.random.default_rng(seed)))
        assert noisy.dtype == np.float32
        assert len(sound) <= len(noisy) < len(sound) + 6400
        assert 0.2 < np.abs(noisy).max() <= 1
