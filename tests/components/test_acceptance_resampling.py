"""Calibration error and bootstrap bounds: by hand, invariants, size by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.acceptance.calibration import calibration_error, replicated_errors
from components.acceptance.resampling import resamples, upper_bound


def test_calibration_error_by_hand():
    # Bins of a half. Upper: 0.6, 0.9, 0.9, two of three right; lower: 0.4 and 0.5, both right.
    correct, confidence = [1, 1, 0, 1, 1], [0.6, 0.9, 0.9, 0.4, 0.5]
    expected = (abs(2 - 2.4) + abs(2 - 0.9)) / 5
    assert calibration_error(correct, confidence, bins=2) == pytest.approx(expected)


def test_calibration_error_of_the_extremes():
    assert calibration_error([1, 1], [1.0, 1.0]) == 0
    assert calibration_error([0, 0], [1.0, 1.0]) == 1
    assert calibration_error([1], [0.0]) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40), st.data())
def test_calibration_error_is_free_of_order_and_within_0_and_1(rows, data):
    correct, confidence = zip(*rows, strict=True)
    error = calibration_error(correct, confidence)
    assert 0 <= error <= 1
    again = data.draw(st.permutations(rows))
    assert calibration_error(*zip(*again, strict=True)) == pytest.approx(error)


def test_resamples_are_fixed_numbers():
    """Raw words of PCG64: a later NumPy gives the same bounds."""
    first = np.concatenate(list(resamples(7, replicates=3)))
    assert first.tolist() == [
        [1, 0, 3, 1, 0, 2, 0],
        [2, 1, 0, 1, 1, 0, 2],
        [1, 0, 1, 2, 1, 1, 1],
    ]
    assert sum(len(block) for block in resamples(200_000, replicates=3)) == 3
    drawn = np.concatenate(list(resamples(50, replicates=2000)))
    assert (drawn.sum(axis=1) == 50).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(50), abs=0.12)
    assert drawn.var() == pytest.approx(1 - 1 / 50, abs=0.02)


def test_bounds_contain_the_estimate():
    assert upper_bound(0.3, np.arange(100) / 100, 0.05) == pytest.approx(0.95)
    assert upper_bound(0.3, np.array([0.1, 0.1, 0.1]), 0.05) >= 0.3


@pytest.mark.parametrize("slope", [1.0, 0.8])
def test_the_bound_of_a_calibration_error_is_too_low_no_more_often_than_alpha(slope):
    random = np.random.default_rng(6)
    levels = (np.arange(15) + 0.5) / 15
    truth = float(np.mean(np.abs(levels - slope * levels)))
    missed = 0
    for _ in range(150):
        confidence = random.choice(levels, size=500)
        correct = random.random(500) < slope * confidence
        error = calibration_error(correct, confidence)
        replicated = replicated_errors(correct, confidence, replicates=199)
        missed += upper_bound(error, replicated, 0.1) < truth
    assert missed / 150 <= 0.1
