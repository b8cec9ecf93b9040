"""The bound of a mean by betting: by hand, invariants, coverage of skewed losses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.acceptance.betting import (
    MOST_STAKED,
    ORDERS,
    SEED,
    examples_for_mean,
    mean_upper_bound,
    orders,
)
from schemas.figures import LARGEST_LOSS

ALPHA = 0.05


def test_one_value_by_hand():
    """At alpha 1/2 a value of 0 makes 1 + 0.8 m / (1 - m) of the capital, and m makes 2 of it."""
    assert mean_upper_bound(np.zeros(1), 1.0, 0.5) == pytest.approx(1 / (1 + MOST_STAKED))


def test_two_values_by_hand():
    """Both values are 1, the largest is 10: (1 + 0.8 (m - 1) / (10 - m))^2 = 2."""
    odds = (math.sqrt(2) - 1) / MOST_STAKED
    expected = (1 + 10 * odds) / (1 + odds)
    assert mean_upper_bound(np.ones(2), 10.0, 0.5) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "alpha"), [(40, 0.3), (200, 0.05)])
def test_the_bound_is_that_of_plain_loops(n, alpha):
    values = np.random.default_rng(n).choice([0.0, 0.2, 3.0], p=[0.5, 0.3, 0.2], size=n)
    largest = 3.0
    words = np.random.PCG64(SEED).random_raw(ORDERS * n).tolist()

    def capital(mean):
        total = 0.0
        for number in range(ORDERS):
            keys = words[number * n : (number + 1) * n]
            made, seen, squares = 1.0, [], largest**2 / 4
            for at in sorted(range(n), key=keys.__getitem__):
                variance = squares / (len(seen) + 1)
                stake = math.sqrt(2 * math.log(1 / alpha) / (n * variance))
                made *= 1 + min(stake, MOST_STAKED / (largest - mean)) * (mean - values[at])
                seen.append(values[at])
                squares += (values[at] - sum(seen) / len(seen)) ** 2
            total += made / ORDERS
        return total

    bound = mean_upper_bound(values, largest, alpha)
    assert capital(bound) == pytest.approx(1 / alpha, rel=1e-6)


def test_equal_values_are_bounded_by_what_few_of_the_largest_would_add():
    """No exact bound can be below 1 - 20^(-1/n): as rare a mistake is absent in 1 of 20 samples."""
    for n in (50, 1000, 10_000):
        bound = mean_upper_bound(np.full(n, 0.25), LARGEST_LOSS, ALPHA)
        least = 0.25 + (LARGEST_LOSS - 0.25) * (1 - ALPHA ** (1 / n))
        assert least < bound < 0.25 + 1.3 * (least - 0.25)


def test_orders_are_fixed_numbers():
    """Raw words of PCG64: a later NumPy gives the same bounds."""
    assert orders(5)[:2].tolist() == [[4, 3, 2, 0, 1], [2, 3, 0, 1, 4]]


def test_only_the_largest_value_gives_the_largest():
    assert mean_upper_bound(np.full(300, 2.0), 2.0, ALPHA) == 2


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(-3, 1), min_size=1, max_size=30),
    st.sampled_from([0.001, 0.05, 0.2]),
    st.floats(0.1, 10),
)
def test_a_bound_contains_the_mean_and_keeps_to_its_units(values, alpha, scale):
    values = np.array(values)
    bound = mean_upper_bound(values, 1.0, alpha)
    assert values.mean() <= bound <= 1
    assert mean_upper_bound(values * scale, scale, alpha) == pytest.approx(bound * scale, abs=1e-8)


def test_a_bound_is_higher_where_more_confidence_or_a_larger_value_is_allowed_for():
    values = np.random.default_rng(1).exponential(0.5, 1000)
    bound = mean_upper_bound(values, LARGEST_LOSS, ALPHA)
    assert mean_upper_bound(values, LARGEST_LOSS, 0.01) > bound
    assert mean_upper_bound(values, 2 * LARGEST_LOSS, ALPHA) > bound


def rare(random, n, share):
    """Sure mistakes of a random size, and next to no loss elsewhere; returned with its mean."""
    wrong = random.random(n) < share
    losses = np.where(wrong, np.minimum(random.exponential(5, n), LARGEST_LOSS), 1e-4)
    return losses, share * 5 * (1 - np.exp(-LARGEST_LOSS / 5)) + (1 - share) * 1e-4


def certain(random, n, share):
    """All or nothing: the largest loss, or none."""
    return LARGEST_LOSS * (random.random(n) < share), share * LARGEST_LOSS


@pytest.mark.parametrize("draw", [rare, certain])
@pytest.mark.parametrize(("n", "share"), [(50, 0.01), (200, 0.005), (200, 0.02), (1000, 0.005)])
def test_the_bound_of_skewed_losses_is_too_low_no_more_often_than_alpha(draw, n, share):
    random = np.random.default_rng(n)
    missed = 0
    for _ in range(80):
        losses, truth = draw(random, n, share)
        missed += mean_upper_bound(losses, LARGEST_LOSS, ALPHA) < truth
    assert missed / 80 <= ALPHA


@pytest.mark.parametrize(
    ("n", "share", "alpha"), [(10, 0.3, 0.05), (30, 0.1, 0.2), (100, 0.02, 0.05)]
)
def test_coverage_is_exact_over_all_numbers_of_mistakes(n, share, alpha):
    """Of values 0 and 1 each sample of k ones is as likely as another: many of each are tried."""
    from scipy import stats

    random = np.random.default_rng(5)
    missed = 0.0
    for k in range(n + 1):
        if (chance := float(stats.binom.pmf(k, n, share))) < 1e-4:
            continue
        values = (np.arange(n) < k).astype(float)
        bounds = [mean_upper_bound(random.permutation(values), 1.0, alpha) for _ in range(20)]
        missed += chance * float(np.mean(np.array(bounds) < share))
    assert missed <= alpha


def test_differences_may_be_of_both_signs():
    """How far values reach down does not matter, so a paired difference needs no other bound."""
    random = np.random.default_rng(3)
    missed = 0
    for _ in range(80):
        new, old = (certain(random, 300, 0.02)[0] for _ in range(2))
        missed += mean_upper_bound(new - old, LARGEST_LOSS, ALPHA) < 0
    assert missed / 80 <= ALPHA


def test_the_bound_adapts_to_the_spread():
    """Of many values it is 1.5 times as far away as a normal approximation: sqrt(2 ln 20)."""
    values = np.random.default_rng(4).exponential(1.0, 10_000)
    width = mean_upper_bound(values, LARGEST_LOSS, ALPHA) - values.mean()
    assert 1.3 < width / (1.645 * values.std() / 100) < 1.8


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_as_many_examples_as_are_named_show_it_4_times_in_5(share):
    random = np.random.default_rng(8)
    mistakes = random.random(5000) < share
    values = np.where(mistakes, LARGEST_LOSS, random.exponential(0.3, 5000))
    limit = values.mean() + 0.1
    need = examples_for_mean(values, limit, LARGEST_LOSS, ALPHA)
    drawn = (random.choice(values, need) for _ in range(100))
    shown = [mean_upper_bound(one, LARGEST_LOSS, ALPHA) <= limit for one in drawn]
    assert 0.7 <= np.mean(shown) <= 0.9


def test_no_number_is_named_where_none_is_enough():
    values = np.array([0.0, 1.0])
    assert examples_for_mean(values, 0.5, 2.0, ALPHA) is None
    assert examples_for_mean(values, 0.4, 2.0, ALPHA) is None
    assert examples_for_mean(values, 0.500001, 2.0, ALPHA) is None, "out of reach"
