"""Shared settings of the tests: repeatable property tests without a clock; how close to the reference we are."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("exercise_tests")
sys.path.insert(0, str(Path(__file__).parent))  # small_models, reference and other helpers, from any directory

settings.register_profile("minigemma", deadline=None, derandomize=True, max_examples=25, print_blob=True)
settings.load_profile("minigemma")

_worst: dict[str, tuple[float, str]] = {}


@pytest.fixture
def close(request):
    """``close(ours, reference, tolerance, name)``: relative error at most the tolerance; keeps each test's worst."""
    from minigemma.ops import relative_error

    def check(ours, reference, tolerance, name):
        assert ours.shape == reference.shape, f"{name}: shape {ours.shape}, reference {reference.shape}"
        error = relative_error(ours, reference)
        if error >= _worst.get(request.node.nodeid, (-1.0, ""))[0]:
            _worst[request.node.nodeid] = (error, name)
        assert error <= tolerance, f"{name}: relative error {error:.2e}, at most {tolerance:.0e} allowed"

    return check


def pytest_terminal_summary(terminalreporter, config):
    """With -v: the worst relative error of each test that compares with the reference."""
    if _worst and config.get_verbosity() >= 0:
        terminalreporter.section("worst relative error to the reference")
        for test, (error, name) in _worst.items():
            terminalreporter.write_line(f"{error:.1e}  {test.split('::')[-1]}  ({name})")
