"""Exact bounds of proportions and quantiles, against published values and by enumeration."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.acceptance.proportions import (
    least_successes,
    lower_bound,
    measurements_for_quantile,
    quantile_upper_bound,
    trials_for_floor,
    upper_bound,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 5.
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
        # Conover's example in R's binom.test: Mendel's peas.
        (682, 925, 0.7077, 0.7654),
    ],
)
def test_bounds_are_the_published_ends_of_two_sided_intervals(successes, trials, low, high):
    assert lower_bound(successes, trials, 0.025) == pytest.approx(low, abs=5e-5)
    assert upper_bound(successes, trials, 0.025) == pytest.approx(high, abs=5e-5)


def test_all_right_is_bounded_by_hand():
    # The bound p solves p**n = alpha.
    assert lower_bound(20, 20, 0.05) == pytest.approx(0.05 ** (1 / 20))
    assert lower_bound(0, 0, 0.05) == 0 == lower_bound(0, 7, 0.05)
    assert upper_bound(7, 7, 0.05) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.01, 0.05, 0.2]))
def test_bounds_hold_the_estimate_grow_with_successes_and_mirror(trials, data, alpha):
    successes = data.draw(st.integers(0, trials))
    low = lower_bound(successes, trials, alpha)
    assert 0 <= low <= successes / trials <= upper_bound(successes, trials, alpha) <= 1
    assert upper_bound(successes, trials, alpha) == 1 - lower_bound(
        trials - successes, trials, alpha
    )
    if successes < trials:
        assert lower_bound(successes + 1, trials, alpha) > low
    assert lower_bound(successes, trials + 1, alpha) <= low


@pytest.mark.parametrize("trials", [5, 30, 200])
@pytest.mark.parametrize("truth", [0.1, 0.5, 0.9, 0.98])
def test_the_bound_exceeds_the_truth_no_more_often_than_alpha(trials, truth):
    counts = np.arange(trials + 1)
    above = [lower_bound(count, trials, 0.05) > truth for count in counts]
    assert stats.binom.pmf(counts, trials, truth)[above].sum() <= 0.05


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_a_sum_of_shares_is_bounded_no_less_carefully(alpha):
    """Examples shown in several forms give shares of right answers, not 0 or 1."""
    random = np.random.default_rng(3)
    rates = random.beta(6, 2, size=(1500, 40))
    shares = random.binomial(5, rates) / 5
    missed = np.mean([lower_bound(one.sum(), 40, alpha) > 0.75 for one in shares])
    assert missed <= alpha


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.sampled_from([0.3, 0.7, 0.95]), st.sampled_from([0.01, 0.1]))
def test_least_successes_are_those_whose_bound_reaches_the_floor(trials, floor, alpha):
    least = least_successes(trials, floor, alpha)
    if least <= trials:
        assert lower_bound(least, trials, alpha) >= floor
    if least > 0:
        assert lower_bound(least - 1, trials, alpha) < floor


def test_sample_size_by_hand_where_nothing_is_wrong():
    # 0.9**29 = 0.0471 is the first power of 0.9 below 0.05.
    assert trials_for_floor(1.0, 0.9, 0.05) == 29


@pytest.mark.parametrize(("share", "floor"), [(0.92, 0.9), (0.97, 0.9), (0.6, 0.5)])
def test_a_sample_of_the_size_named_passes_four_times_in_five(share, floor):
    size = trials_for_floor(share, floor, 0.05)
    least = least_successes(size, floor, 0.05)
    assert 0.8 <= stats.binom.sf(least - 1, size, share) < 0.88


def test_no_size_is_named_for_a_share_at_or_below_the_floor():
    assert trials_for_floor(0.9, 0.9, 0.05) is None
    assert trials_for_floor(0.8, 0.9, 0.05) is None


def test_bound_of_a_quantile_is_the_order_statistic():
    assert measurements_for_quantile(0.95, 0.05) == 59  # Wilks' famous number
    assert quantile_upper_bound(np.arange(59), 0.95, 0.05) == 58
    assert quantile_upper_bound(np.arange(58), 0.95, 0.05) == math.inf
    # 0.9384 of 93 values: P(Bin(93, 0.95) >= 93) = 0.0085, >= 92: 0.0500, so the second largest.
    assert quantile_upper_bound(np.arange(93), 0.95, 0.05) == 91


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.95]), st.sampled_from([0.01, 0.05]))
def test_bound_of_a_quantile_is_too_low_no_more_often_than_alpha(count, quantile, alpha):
    bound = quantile_upper_bound(np.arange(1, count + 1), quantile, alpha)
    if math.isfinite(bound):
        assert stats.binom.sf(bound - 1, count, quantile) <= alpha
