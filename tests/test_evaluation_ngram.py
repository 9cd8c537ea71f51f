"""The baselines: n-grams are distributions, and on a stream with a rule they find it."""

import numpy as np
import pytest

for needed in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(needed)
from training.ngram import Counts, nats  # noqa: E402

pytestmark = pytest.mark.reference


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_sum_to_one_after_known_and_unknown_contexts(order):
    stream = np.random.default_rng(0).integers(0, 5, 60)  # ids 5 and 6 never occur
    lower = np.full(7, 1 / 7)
    for context in ([0] * (order - 1), [6] * (order - 1)):
        windows = np.array([[*context, i] for i in range(7)])
        p = Counts(stream, order, 7).mixed(windows, lower)
        assert p.sum() == pytest.approx(1)
        assert (p > 0).all()


def test_a_rule_is_found_by_the_order_that_can_hold_it():
    stream = np.tile([0, 1, 0, 2], 100)  # what follows 0 depends on what came before it
    row = stream[:41]
    unigram, bigram, trigram = (nats(stream, [row], 3, order) for order in (1, 2, 3))
    assert unigram == pytest.approx(1.5 * np.log(2), abs=0.05)
    assert bigram == pytest.approx(0.5 * np.log(2), abs=0.05)
    assert trigram < 0.1
