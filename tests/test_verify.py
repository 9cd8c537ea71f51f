"""The report of ``minigemma verify``, without the reference."""

import numpy as np
import pytest

from minigemma.errors import MinigemmaError
from minigemma.verify import Report, compare


def test_a_line_says_what_differs_and_by_how_much():
    line = compare("layers.2.attention.pattern", np.array([1.0, 2.0]), np.array([1.0, 2.0 + 2e-7]))
    assert line.ok
    assert str(line).split() == [
        "[OK]",
        "layers.2.attention.pattern",
        "max",
        "2.0e-07",
        "mean",
        "1.0e-07",
        "rel",
        "8.9e-08",
    ]
    assert str(compare("logits", np.ones(3), np.ones(3) * 1.01)).startswith("[DIFF] logits")


def test_nothing_slips_through():
    assert not compare("logits", None, np.ones(3)).ok
    assert not compare("logits", np.ones((1, 3)), np.ones(3)).ok
    assert not compare("logits", np.full(3, np.nan), np.ones(3)).ok
    assert not Report().ok


def test_chosen_experts_are_compared_as_sets():
    ours, theirs = np.array([[3, 1], [0, 2]]), np.array([[1, 3], [0, 2]])
    assert compare("layers.0.moe.expert_index", ours, theirs).ok
    assert not compare("layers.0.moe.expert_index", ours + 1, theirs).ok


def test_the_summary_names_the_first_difference():
    same, other = np.ones(3), np.zeros(3)
    report = Report(
        [compare("embedding", same, same), compare("layers.0.output", other, same), compare("logits", other, same)]
    )
    assert report.first_difference.name == "layers.0.output"
    assert str(report) == "2 of 3 tensors differ; the first: layers.0.output"
    assert "all 1 tensors agree" in str(Report([compare("embedding", same, same)]))


def test_a_missing_reference_is_explained(monkeypatch):
    import sys

    from minigemma import verify

    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "minigemma.streamed_reference", raising=False)
    with pytest.raises(MinigemmaError, match=r"pip install 'minigemma\[reference\]'"):
        verify.verify("anywhere")
