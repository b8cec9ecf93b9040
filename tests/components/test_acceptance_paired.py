"""Tests of two models on the same examples: published values, invariants, size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.gates import critical_gains
from components.acceptance.paired import (
    NUISANCE,
    Discordance,
    difference_lower_bound,
    examples_for_margin,
    mcnemar,
    mcnemar_two_sided,
    p_value,
    score,
    score_interval,
)
from components.acceptance.proportions import lower_bound, upper_bound
from schemas.errors import InputError


def counts(gains, losses, examples):
    return Discordance(gains=gains, losses=losses, examples=examples)


@st.composite
def tables(draw, most=60):
    examples = draw(st.integers(1, most))
    gains = draw(st.integers(0, examples))
    return counts(gains, draw(st.integers(0, examples - gains)), examples)


margins = st.sampled_from([-0.2, -0.05, -0.01, 0.0, 0.01, 0.1])


@pytest.mark.parametrize(
    ("gains", "losses", "p"),
    [
        # Armitage and Berry (1994) p. 127, two media for tuberculosis cultures.
        (12, 2, 0.012939),
        # Cavo et al. (2012), in Fagerland, Lydersen and Laake, "Statistical Analysis of
        # Contingency Tables" (2017), chapter 8.
        (6, 16, 0.052479),
        # Bentur et al. (2009), ibid.: 9/128, by hand: 2 * (1 + 8) / 2**8.
        (1, 7, 0.070312),
    ],
)
def test_mcnemar_has_the_published_values(gains, losses, p):
    assert mcnemar_two_sided(counts(gains, losses, 200)) == pytest.approx(p, abs=1e-6)


def test_one_sided_mcnemar_by_hand():
    assert mcnemar(counts(5, 0, 9)) == 1 / 32
    assert mcnemar(counts(2, 1, 3)) == 4 / 8
    assert mcnemar(counts(0, 0, 9)) == mcnemar_two_sided(counts(0, 0, 9)) == 1


def test_score_of_tango_has_the_published_values():
    # Tango (1998), section 6: 44 contact lenses, 43 right by both, 1 by the standard alone.
    lenses = counts(0, 1, 44)
    assert score(lenses, -0.1) == pytest.approx(1.709, abs=5e-4)
    assert score_interval(lenses, 0.1)[0] == pytest.approx(-0.096, abs=5e-4)
    # Fagerland, Lydersen and Laake (2017), chapter 8, Cavo et al. (2012).
    assert score_interval(counts(6, 16, 161), 0.05) == pytest.approx((-0.1240, -0.0054), abs=5e-5)


@settings(max_examples=30, deadline=None)
@given(tables())
def test_score_at_margin_0_is_that_of_mcnemar(found):
    expected = (found.gains - found.losses) / max(found.discordant, 1) ** 0.5
    assert score(found, 0.0) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(tables(), margins)
def test_p_value_falls_with_gains_and_rises_with_losses(found, margin):
    p = p_value(found, margin)
    assert 0 <= p <= 1
    gains, losses, n = found.gains, found.losses, found.examples
    if gains:
        # One more loss in place of a gain, and in the same number of discordant examples.
        assert p_value(counts(gains - 1, losses + 1, n), margin) >= p - 1e-4


@settings(max_examples=30, deadline=None)
@given(tables(), margins)
def test_score_mirrors_when_the_models_change_places(found, margin):
    other = counts(found.losses, found.gains, found.examples)
    assert score(found, margin) == pytest.approx(-score(other, -margin), abs=1e-6)
    assert mcnemar_two_sided(found) == mcnemar_two_sided(other)


@settings(max_examples=30, deadline=None)
@given(tables(), margins)
def test_score_grows_with_gains_among_as_many_discordant_examples(found, margin):
    """The least gains that are as extreme are found by bisection, which rests on this."""
    scores = [
        score(counts(gains, found.discordant - gains, found.examples), margin)
        for gains in range(found.discordant + 1)
    ]
    assert (np.diff(scores) >= -1e-9).all()


def enumerated(found, margin):
    """The p-value without shortcuts, from every sample; the same rates of discordance searched."""
    n = found.examples
    samples = [(g, x) for g in range(n + 1) for x in range(n + 1 - g)]
    reached = score(found, margin)
    extreme = np.array([s for s in samples if score(counts(*s, n), margin) >= reached - 1e-9])
    table = np.column_stack([extreme, n - extreme.sum(axis=1)])
    low = max(lower_bound(found.discordant, n, NUISANCE / 2), abs(margin))
    chances = [
        stats.multinomial.pmf(table, n, [(rate + margin) / 2, (rate - margin) / 2, 1 - rate]).sum()
        for rate in np.linspace(low, upper_bound(found.discordant, n, NUISANCE / 2), 200)
    ]
    return max(chances) + NUISANCE


@pytest.mark.parametrize(
    ("found", "margin"),
    [
        (counts(0, 1, 12), -0.1),
        (counts(3, 1, 10), -0.2),
        (counts(5, 1, 14), 0.1),
        (counts(2, 2, 9), -0.3),
        (counts(0, 0, 15), -0.1),
    ],
)
def test_p_value_is_that_of_complete_enumeration(found, margin):
    assert p_value(found, margin) == pytest.approx(enumerated(found, margin), abs=5e-5)


def rejection(examples, margin, alpha, rate):
    """The probability that the test rejects on the boundary of its null hypothesis."""
    number = np.arange(
        int(stats.binom.ppf(1e-9, examples, rate)), int(stats.binom.isf(1e-9, examples, rate)) + 1
    )
    least = critical_gains(number, examples, margin, alpha)
    tails = stats.binom.sf(least - 1, number, (rate + margin) / (2 * rate))
    return float(stats.binom.pmf(number, examples, rate) @ tails)


@pytest.mark.parametrize(
    ("examples", "margin", "rate"),
    [
        (20, -0.1, 0.1),
        (20, -0.1, 0.15),
        (44, -0.1, 0.14),
        (44, -0.02, 0.03),
        (100, -0.02, 0.1),
        (100, 0.0, 0.08),
        (100, 0.02, 0.05),
        (1000, -0.01, 0.04),
    ],
)
def test_size_is_at_most_alpha_exactly(examples, margin, rate):
    assert rejection(examples, margin, 0.05, rate) <= 0.05


def test_the_normal_approximation_would_break_alpha_in_small_samples():
    """Why the exact test is there: 30 examples, a required gain of 0.1, which is the truth."""
    n, margin, rate = 30, 0.1, 0.164
    samples = np.array([(g, x) for g in range(n + 1) for x in range(n + 1 - g)])
    table = np.column_stack([samples, n - samples.sum(axis=1)])
    shares = [(rate + margin) / 2, (rate - margin) / 2, 1 - rate]
    chance = stats.multinomial.pmf(table, n, shares)
    high = [score(counts(*one, n), margin) >= stats.norm.isf(0.05) for one in samples]
    assert chance[high].sum() > 0.08
    likely = chance > 1e-9
    exact = np.array([p_value(counts(*one, n), margin) <= 0.05 for one in samples[likely]])
    assert chance[likely][exact].sum() <= 0.05


@settings(max_examples=10, deadline=None)
@given(tables(), margins, st.sampled_from([0.05, 0.2]))
def test_lower_bound_is_below_the_estimate_and_agrees_with_the_test(found, margin, alpha):
    p = p_value(found, margin)
    bound = difference_lower_bound(found, alpha, margin, p=p)
    assert -1 <= bound <= found.difference + 1e-9
    assert (bound >= margin) == (p <= alpha) or bound == pytest.approx(margin, abs=2e-5)


def test_lower_bound_holds_for_nothing_discordant():
    bound = difference_lower_bound(counts(0, 0, 100), 0.05, -0.05)
    assert bound == pytest.approx(0.05**0.01 - 1, abs=2e-4)  # (1 + bound)**100 = 0.05


@pytest.mark.parametrize(
    ("found", "margin"),
    [
        (counts(40, 30, 1000), 0.0),
        (counts(45, 45, 1000), -0.01),
        (counts(40, 10, 500), 0.02),
        # Few that tell.
        (counts(0, 1, 300), -0.01),
        (counts(1, 1, 200), -0.01),
        (counts(1, 1, 100), -0.05),
        (counts(1, 0, 100), 0.0),
        (counts(3, 1, 100), 0.0),
        (counts(5, 1, 100), 0.01),
    ],
)
def test_a_sample_of_the_size_named_passes_about_four_times_in_five(found, margin):
    size = examples_for_margin(found, margin, 0.05)
    rates = np.array([found.gains, found.losses]) / found.examples
    random = np.random.default_rng(4)
    drawn = random.multinomial(size, [*rates, 1 - rates.sum()], size=100)
    passed = np.mean([p_value(counts(*one[:2], size), margin) <= 0.05 for one in drawn])
    assert 0.68 <= passed <= 0.93


@pytest.mark.parametrize("examples", [1, 30, 1000])
@pytest.mark.parametrize(("margin", "size"), [(-0.005, 598), (-0.05, 59)])
def test_models_that_never_differ_need_what_the_exact_test_does(examples, margin, size):
    """0.995**597 is the last power above 0.05, however few examples showed no difference."""
    assert examples_for_margin(counts(0, 0, examples), margin, 0.05) == size
    assert p_value(counts(0, 0, size), margin) <= 0.05 < p_value(counts(0, 0, size - 1), margin)


def test_gains_alone_need_what_the_exact_test_does():
    size = examples_for_margin(counts(1, 0, 1), 0.1, 0.05)
    assert p_value(counts(size, 0, size), 0.1) <= 0.05 < p_value(counts(size - 1, 0, size - 1), 0.1)


def test_no_size_is_named_where_the_measured_difference_is_not_enough():
    assert examples_for_margin(counts(3, 3, 100), 0.0, 0.05) is None
    assert examples_for_margin(counts(0, 3, 100), -0.02, 0.05) is None


def test_counts_come_from_verdicts():
    found = Discordance.of([True, True, False, False], [True, False, True, False])
    assert found == counts(1, 1, 4)
    with pytest.raises(InputError, match="same examples, not 2 and 3"):
        Discordance.of([True, True], [True, True, True])
    with pytest.raises(InputError, match="no more than the examples, not 3 and 3 of 5"):
        counts(3, 3, 5)
    with pytest.raises(InputError, match="between -1 and 1, not 1"):
        p_value(counts(1, 1, 4), 1)


@pytest.mark.parametrize("margin", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(("gains", "losses"), [(0, 0), (6, 21), (9, 1)])
def test_models_that_hardly_differ_show_no_large_gain(margin, gains, losses):
    """Far more examples would have to differ than do: that is no evidence of the gain."""
    found = counts(gains, losses, 366)
    assert p_value(found, margin) == 1.0
    assert difference_lower_bound(found, 0.05, margin) < found.difference + 1e-6


@given(st.integers(0, 60), st.integers(0, 60), st.integers(120, 400), st.floats(0.001, 0.99))
@settings(deadline=None, max_examples=60)
def test_what_falls_short_of_a_margin_never_shows_it(gains, losses, examples, margin):
    found = counts(gains, losses, examples)
    for limit in (margin, -margin):
        if found.difference <= limit:
            assert p_value(found, limit) > 0.3


@pytest.mark.parametrize("margin", [-0.2, -0.01, 0.0, 0.05, 0.5])
def test_no_truth_within_the_null_is_rejected_more_often_than_alpha(margin):
    """By enumeration of every sample, over rates of discordance and all smaller differences."""
    examples, alpha = 12, 0.05
    rejected = np.array(
        [
            (gains, losses, examples - gains - losses)
            for gains in range(examples + 1)
            for losses in range(examples + 1 - gains)
            if p_value(counts(gains, losses, examples), margin) <= alpha
        ]
    ).reshape(-1, 3)
    for rate in np.linspace(0.02, 1, 25):
        for difference in (margin, *np.linspace(-rate, min(margin, rate), 5)):
            if abs(difference) > rate:
                continue
            shares = np.clip([(rate + difference) / 2, (rate - difference) / 2, 1 - rate], 0, 1)
            assert stats.multinomial.pmf(rejected, examples, shares).sum() <= alpha + 1e-9
