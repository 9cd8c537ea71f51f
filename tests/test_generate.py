"""Drawing the next token, again and again: laws of the distribution, and generation beside the loop without a cache."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import draw_ids, draw_weights, small_config

import minigemma as mg
from minigemma.checkpoint import Weights
from minigemma.config import Sampling
from minigemma.generate import Sampler, next_token_probabilities
from minigemma.model import Gemma4
from minigemma.ops import softmax
from minigemma.parameters import tensor_shapes

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=20).map(np.float32)


@given(LOGITS, st.floats(0.05, 5), st.none() | st.integers(1, 25), st.none() | st.floats(0.01, 1))
def test_probabilities_of_the_next_token(logits, temperature, top_k, top_p):
    found = next_token_probabilities(logits, temperature, top_k, top_p)
    assert found.sum() == pytest.approx(1)
    assert found[logits.argmax()] == found.max() > 0
    plain = softmax(logits.astype(np.float64) / temperature)
    kept = found > 0
    np.testing.assert_allclose(
        found[kept], plain[kept] / plain[kept].sum(), rtol=1e-9
    )  # the rest keeps its proportions
    if not kept.all():
        assert plain[kept].min() >= plain[~kept].max()  # what goes is what is least likely


@given(LOGITS, st.integers(1, 25))
def test_top_k_keeps_k_and_what_is_tied_with_the_last(logits, top_k):
    kept = next_token_probabilities(logits, top_k=top_k) > 0
    expected = logits >= np.sort(logits)[::-1][min(top_k, len(logits)) - 1]
    assert (kept == expected).all() or (softmax(logits.astype(np.float64))[expected] == 0).any()


@given(LOGITS, st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_that_reach_p(logits, top_p):
    plain = softmax(logits.astype(np.float64))
    kept = plain[next_token_probabilities(logits, top_p=top_p) > 0]
    assert kept.sum() >= top_p - 1e-9
    assert kept.sum() - kept.min() <= top_p + 1e-9


def test_the_sampler_is_greedy_at_zero_and_takes_the_first_of_equals():
    assert Sampler()(np.float32([1, 3, 3, 2])) == 1


def test_draws_follow_the_distribution_and_the_seed():
    logits, size = np.log(np.float32([0.5, 0.3, 0.15, 0.05])), 4000
    draw = lambda seed: [sampler(logits) for sampler in [Sampler(1.0, seed=seed)] for _ in range(size)]  # noqa: E731
    first = draw(1)
    assert first == draw(1) != draw(2)
    np.testing.assert_allclose(np.bincount(first) / size, [0.5, 0.3, 0.15, 0.05], atol=0.03)


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_suppressed_ids_are_never_taken(temperature):
    logits = np.float32([0, 5, 4, -1])
    sampler = Sampler(temperature, seed=0, suppress=(1, 2, 99))  # ids out of the vocabulary do no harm
    assert {sampler(logits) for _ in range(50)} <= {0, 3}
    assert logits[1] == 5  # the caller's array is as it was


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": -1},
        {"max_new_tokens": 2.5},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "hot"},
        {"top_k": 0},
        {"top_k": 1.5},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_p": "x"},
    ],
)
def test_options_without_meaning_are_named_at_once(options):
    with pytest.raises(mg.InputError, match=f"{next(iter(options))} is "):
        model("e2b").generate([1, 2], **options)


# with a model


@cache
def model(shape: str, **overrides) -> Gemma4:
    config = small_config(shape, **overrides)
    return Gemma4(config, Weights.of(draw_weights(tensor_shapes(config), 1)).under("model."))


def naive(gemma: Gemma4, ids, count: int, sample: Sampler) -> list[int]:
    """Everything is read anew for every token."""
    ids = list(ids)
    for _ in range(count):
        ids.append(sample(gemma.forward(ids)[-1]))
    return ids[-count:]


@pytest.mark.parametrize("shape", ["e2b", "e4b", "26b", "31b"])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.2, "top_k": 20, "top_p": 0.9, "seed": 4}])
def test_the_cache_changes_nothing_also_past_the_window(shape, sampling):
    """The longest window is 8: the first tokens are forgotten by local layers several times over."""
    gemma, ids = model(shape), draw_ids(11, 2).tolist()
    assert list(gemma.generate(ids, 24, stop=(), **sampling)) == naive(gemma, ids, 24, Sampler(**sampling))


def test_generation_streams():
    tokens = model("e2b").generate([5, 6, 7], 10, stop=())
    assert [next(tokens), next(tokens)] == list(model("e2b").generate([5, 6, 7], 2, stop=()))
    tokens.close()


def test_it_ends_at_a_stop_id_at_the_limit_and_at_the_end_of_the_context():
    gemma = model("e2b")
    free = list(gemma.generate([5, 6, 7], 12, stop=()))
    stop = free[4]
    assert list(gemma.generate([5, 6, 7], 12, stop=[stop])) == free[: free.index(stop) + 1]
    assert list(gemma.generate([5, 6, 7], 0)) == []
    short = model("e2b", max_position_embeddings=10)
    assert list(short.generate([5, 6, 7], 50, stop=())) == free[:8]  # the last one is told, though it cannot be read
    with pytest.raises(mg.InputError, match="do not fit into this model's context of 10"):
        short.generate(range(11), 1)


def test_it_continues_where_a_cache_stands():
    gemma, cache_ = model("26b"), model("26b").new_cache()
    first = list(gemma.generate([5, 6, 7], 5, stop=(), cache=cache_))
    assert cache_.length == 7  # the last token was told, not read
    rest = list(gemma.generate(first[-1:], 5, stop=(), cache=cache_))
    assert first + rest == list(gemma.generate([5, 6, 7], 10, stop=()))


def test_the_checkpoint_decides_where_to_stop_how_to_draw_and_what_to_leave_out():
    plain = model("e4b")
    free = list(plain.generate([5, 6, 7], 8, stop=()))

    def with_config(**changes) -> Gemma4:
        return Gemma4(dataclasses.replace(plain.config, **changes), plain.weights)

    assert list(with_config(eos_token_ids=(free[2],)).generate([5, 6, 7], 8)) == free[: free.index(free[2]) + 1]
    drawn = {"temperature": 0.7, "top_k": 9, "top_p": 0.8}
    own = with_config(sampling=Sampling(**drawn))
    expected = list(plain.generate([5, 6, 7], 8, stop=(), seed=3, **drawn))
    assert list(own.generate([5, 6, 7], 8, stop=(), seed=3, temperature=None)) == expected
    assert list(own.generate([5, 6, 7], 8, stop=())) == free  # greedy unless asked
    assert list(own.generate([5, 6, 7], 8, stop=(), seed=3, temperature=None, top_k=1)) == free
    quiet = with_config(sampling=Sampling(suppress_token_ids=(free[0],)))
    assert free[0] not in list(quiet.generate([5, 6, 7], 8, stop=()))
