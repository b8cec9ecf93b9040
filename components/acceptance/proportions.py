"""Exact one-sided bounds of a proportion and of a quantile, and the sample sizes they ask for.

Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26 (1934): the bound is the proportion under which a count as extreme as the
one observed has probability alpha. It holds at any sample size, whatever the true proportion is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

POWER = 0.8
"""How often a sample of the size that a refusal names would pass, if the measured value is true."""
MOST = 1_000_000_000
"""Beyond so many examples no number is named."""


def lower_bound(successes: float, trials: int, alpha: float) -> float:
    """Return the lower bound that holds with confidence ``1 - alpha`` (0 without a trial).

    Args:
        successes: 0 to ``trials``. A sum of shares, one per independent example, may be no
            integer; as no distribution on [0, 1] of the same mean spreads wider than 0 and 1 do,
            the bound then errs to the low side.
        trials: Independent examples.
        alpha: Most probability of a bound above the truth, between 0 and 1.
    """
    if trials == 0 or successes <= 0:
        return 0.0
    return float(stats.beta.ppf(alpha, successes, trials - successes + 1))


def upper_bound(successes: float, trials: int, alpha: float) -> float:
    """Return the upper bound that holds with confidence ``1 - alpha``; see `lower_bound`."""
    return 1.0 - lower_bound(trials - successes, trials, alpha)


def least_successes(trials: int, floor: float, alpha: float) -> int:
    """Return the fewest successes whose lower bound reaches ``floor``; above ``trials``: none do.

    The bound reaches the floor exactly when a proportion of ``floor`` gives as many successes with
    probability ``alpha`` at most.
    """
    return int(stats.binom.isf(alpha, trials, floor)) + 1


def trials_for_floor(share: float, floor: float, alpha: float, power: float = POWER) -> int | None:
    """Return how many examples show, with that power, that a proportion of ``share`` is enough.

    Args:
        share: The proportion that is taken to be true.
        floor: What the lower bound has to reach.
        alpha: As in `lower_bound`.
        power: Probability that a sample of that size passes.

    Returns:
        The number, or None where no sample can show it.
    """
    if share <= floor:
        return None

    def enough(trials: int) -> bool:
        least = least_successes(trials, floor, alpha)
        return bool(stats.binom.sf(least - 1, trials, share) >= power)

    return smallest_number(enough)


def smallest_number(enough: Callable[[int], bool]) -> int | None:
    """Return the smallest number that is enough, up to the saw teeth of exact tests, or None.

    ``enough`` is a function of a number that stays true once it is.
    """
    high = 1
    while not enough(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def practical(examples: float) -> int | None:
    """Return a computed number of examples rounded up, None where it is out of reach."""
    return math.ceil(examples) if examples <= MOST else None


def resized(examples: int, width: float, gap: float, alpha: float) -> int | None:
    """Return a rough guide to how many examples would show what was measured.

    For a calibration error, of which there is no formula: the distance of a bound is taken to
    shrink with the square root of the examples, and the measured value to be true, though few
    examples measure it with much chance, and too high.

    Args:
        examples: How many there were.
        width: Distance of the bound from the measured value.
        gap: Distance of the measured value from the limit; 0 or less: None.
        alpha: Level of the test, below 0.5.
    """
    if gap <= 0:
        return None
    ratio = 1 + float(stats.norm.isf(1 - POWER) / stats.norm.isf(alpha))
    return practical(examples * (width * ratio / gap) ** 2)


def quantile_upper_bound(values: ArrayLike, quantile: float, alpha: float) -> float:
    """Return an upper bound of a quantile of the distribution that ``values`` were drawn from.

    The bound is an order statistic (Conover, "Practical Nonparametric Statistics", section 3.2):
    the smallest value that lies below the quantile with probability ``alpha`` at most. It is
    infinite where so few values hold none; `measurements_for_quantile` are enough.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    # P(the r-th smallest of n is below the quantile) = P(Bin(n, quantile) >= r).
    rank = int(stats.binom.isf(alpha, len(ordered), quantile)) + 1
    return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf


def measurements_for_quantile(quantile: float, alpha: float) -> int:
    """Return how many values it takes for the largest to bound the quantile: 59 for 0.95, 0.05."""
    return math.ceil(math.log(alpha) / math.log(quantile))
