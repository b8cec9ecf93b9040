"""Calibration error and its bound: by hand, invariants, size by simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.acceptance.betting import MOST_STAKED, orders
from components.acceptance.calibration import (
    calibration_error,
    difference_upper_bound,
    error_upper_bound,
)


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


def test_one_answer_by_hand():
    """Right and certain: no gap. At alpha 1/2 it makes 1 + 0.8 m / (1 - m) of 1, so m = 1 / 1.8."""
    assert error_upper_bound([1], [1.0], 0.5) == pytest.approx(1 / (1 + MOST_STAKED))
    # Of a difference the largest is 2: 1 + 0.8 m / (2 - m).
    bound = difference_upper_bound([1], [1.0], [1], [1.0], 0.5)
    assert bound == pytest.approx(2 / (1 + MOST_STAKED))


@pytest.mark.parametrize("paired", [False, True])
def test_the_bound_is_that_of_plain_loops_over_all_signs(paired):
    n, bins, alpha = 60, 2, 0.2
    random = np.random.default_rng(4)
    sure = random.random((2, n))
    right = random.random((2, n)) < [[0.6], [0.9]] * sure
    largest = 2.0 if paired else 1.0

    def bets(order):
        """Yield bin and gap of an example, the other's signed gap, and the stake on it."""
        sums, squares = np.zeros((2, bins)), largest**2 / 4
        for count, at in enumerate(order):
            gaps = right[:, at] - sure[:, at]
            places = [int(np.ceil(one * bins)) - 1 for one in sure[:, at]]
            signs = [np.sign(sums[model, place]) for model, place in enumerate(places)]
            other = signs[1] * gaps[1] if paired else 0.0
            stake = math.sqrt(2 * math.log(1 / alpha) / (n * squares / (count + 1)))
            yield places[0], gaps[0], other, stake
            squares += gaps[0] ** 2 + other**2 - signs[0] * gaps[0] * other
            sums[[0, 1], places] += gaps

    rows = [list(bets(order)) for order in orders(n).tolist()]

    def capital(mean, signs):
        limit = MOST_STAKED / (largest - mean)
        return [
            math.prod(
                1 + min(stake, limit) * (mean - signs[place] * gap + other)
                for place, gap, other, stake in row
            )
            for row in rows
        ]

    if paired:
        bound = difference_upper_bound(right[0], sure[0], right[1], sure[1], alpha, bins=bins)
    else:
        bound = error_upper_bound(right[0], sure[0], alpha, bins=bins)
    least = np.min([capital(bound, one) for one in itertools.product([1, -1], repeat=bins)], axis=0)
    assert least.mean() == pytest.approx(1 / alpha, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30),
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=30, max_size=30),
)
def test_bounds_contain_what_was_measured(rows, others):
    one, other = (np.array(table).T for table in (rows, others[: len(rows)]))
    error = calibration_error(*one)
    assert error - 1e-12 <= error_upper_bound(*one, 0.05) <= 1
    difference = error - calibration_error(*other)
    assert difference - 1e-12 <= difference_upper_bound(*one, *other, 0.05) <= 2


@pytest.mark.parametrize(("n", "share"), [(200, 0.005), (200, 0.02), (1000, 0.01)])
def test_sure_mistakes_that_a_sample_may_not_hold_are_allowed_for(n, share):
    """Certain of every answer, and wrong in a share that is the true error."""
    random = np.random.default_rng(n)
    missed = np.zeros(2)
    for _ in range(80):
        correct, sure = random.random(n) >= share, np.ones(n)
        missed[0] += error_upper_bound(correct, sure, 0.05) < share
        missed[1] += difference_upper_bound(correct, sure, sure, sure, 0.05) < share
    assert (missed / 80 <= 0.05).all()


@pytest.mark.parametrize("slope", [1.0, 0.8])
def test_the_bound_of_a_calibration_error_is_too_low_no_more_often_than_alpha(slope):
    random = np.random.default_rng(6)
    levels = (np.arange(15) + 0.5) / 15
    truth = float(np.mean(np.abs(levels - slope * levels)))
    missed = 0
    for _ in range(150):
        confidence = random.choice(levels, size=500)
        correct = random.random(500) < slope * confidence
        missed += error_upper_bound(correct, confidence, 0.1) < truth
    assert missed / 150 <= 0.1


def test_two_equally_calibrated_models_are_told_apart_no_more_often_than_alpha():
    random = np.random.default_rng(9)
    missed = 0
    for _ in range(100):
        confidence = random.random((2, 400))
        right = random.random((2, 400)) < 0.8 * confidence
        bound = difference_upper_bound(right[0], confidence[0], right[1], confidence[1], 0.1)
        missed += bound < 0
    assert missed / 100 <= 0.1


def test_a_better_calibrated_model_is_told_from_a_worse_one():
    random = np.random.default_rng(10)
    confidence = random.random(4000)
    right = random.random(4000) < confidence
    bound = difference_upper_bound(right, confidence, right, np.minimum(1.3 * confidence, 1), 0.05)
    assert bound < -0.02
