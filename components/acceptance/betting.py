r"""An exact upper bound of the mean of values that have a largest one: losses, their differences.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (Journal of the
Royal Statistical Society B 86, 2024): whoever doubts that the mean is ``m`` or more bets on the
examples one by one. A stake ``u`` per unit turns the capital, 1 at first, into the
``1 + u (m - value)``-fold. Each stake follows from the values before it, and the largest value
cannot take everything. If the mean is ``m`` or more, no such bet gains on average, so the capital
reaches 1 / alpha with probability alpha at most (Markov's inequality). It grows with ``m``; the
bound is the smallest ``m`` at which it gets there. That holds for any number of examples and any
distribution: also where a few sure mistakes make up the mean and a sample may hold none.

The stakes are the paper's predictable plug-in for a fixed number of examples (section 3.2): they
follow from the variance so far, so the bound adapts to the true one. The examples come in `ORDERS`
fixed random orders, and the mean of the capitals counts, which is as valid as each of them; so it
matters little which mistake comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from components.acceptance.proportions import POWER, smallest_number

ORDERS = 8
SEED = 5
MOST_STAKED = 0.8
"""The share of the capital that the largest value can take: the paper's ``c``, where it proposes
1/2 or 3/4. A larger one is better where there are no sure mistakes, and worse where there are."""
_HALVINGS = 40

Floats = NDArray[np.float64]


def mean_upper_bound(values: Floats, largest: float, alpha: float) -> float:
    """Return the upper bound of the mean that holds with confidence ``1 - alpha``, exactly.

    Args:
        values: ``float64[N]``, one per independent example, at least one, none above ``largest``.
        largest: What no value can exceed. How small values can be does not matter.
        alpha: Most probability of a bound below the truth.

    Returns:
        The bound, from the mean of the values to ``largest``. It depends on the values and their
        order alone.
    """
    ordered = values[orders(len(values))]
    means = np.cumsum(ordered, axis=1) / np.arange(1, len(values) + 1)
    stakes = plug_in_stakes((ordered - means) ** 2, largest, alpha)

    def capitals(mean: float) -> Floats:
        limited = limited_stakes(stakes, mean, largest)
        return np.asarray(np.log1p(limited * (mean - ordered)).sum(axis=1))

    return smallest_won(capitals, float(values.mean()), largest, alpha)


def examples_for_mean(
    values: Floats, limit: float, largest: float, alpha: float, power: float = POWER
) -> int | None:
    """Return about how many examples would show that the mean is at most a limit.

    The values are taken to be the whole truth: the stakes follow from their variance, and the
    logarithm of the capital, a sum, is taken to be normal.

    Args:
        values: As in `mean_upper_bound`.
        limit: What the bound has to reach.
        largest: As in `mean_upper_bound`.
        alpha: As in `mean_upper_bound`.
        power: How often so many examples would show it.

    Returns:
        The number, or None where no practical one would.
    """
    mean, variance = float(values.mean()), float(values.var())
    aim, unlucky = -math.log(alpha), float(stats.norm.isf(1 - power))

    def enough(number: int) -> bool:
        # The variance starts from a guess that weighs as much as one example.
        guessed = variance + _guess(largest) / number
        stake = min(math.sqrt(2 * aim / (number * guessed)), MOST_STAKED / (largest - limit))
        growth = np.log1p(stake * (limit - values))
        reached = number * growth.mean() - unlucky * math.sqrt(number) * growth.std()
        return bool(reached >= aim)

    return smallest_number(enough) if mean < limit < largest else None


def orders(examples: int) -> NDArray[np.int64]:
    """Return the orders that examples are bet on in, ``int64[ORDERS, N]``.

    Random numbers are raw words of PCG64, which NumPy promises never to change.
    """
    words = np.random.PCG64(SEED).random_raw(ORDERS * examples).reshape(ORDERS, examples)
    return np.argsort(words, axis=1, kind="stable")


def plug_in_stakes(squares: Floats, largest: float, alpha: float) -> Floats:
    """Return a stake for every value, from those before it alone; `limited_stakes` limits them.

    Args:
        squares: ``float64[orders, N]``: what each value adds to the variance, times N.
        largest: What no value can exceed.
        alpha: As in `mean_upper_bound`.
    """
    number = squares.shape[1]
    before = np.cumsum(squares, axis=1) - squares
    variances = (_guess(largest) + np.maximum(before, 0.0)) / np.arange(1, number + 1)
    return np.asarray(np.sqrt(-2 * math.log(alpha) / (number * variances)))


def limited_stakes(stakes: Floats, mean: float, largest: float) -> Floats:
    """Return stakes of which the largest value takes `MOST_STAKED` at most."""
    return np.minimum(stakes, MOST_STAKED / (largest - mean))


def smallest_won(
    capitals: Callable[[float], Floats], low: float, largest: float, alpha: float
) -> float:
    """Return the smallest mean, between two, against which bets make 1 / alpha of 1.

    Args:
        capitals: Returns the logarithms of what became of 1, one per order, by bets against a mean.
        low: Where to look from.
        largest: Where to look to; the answer if no mean below it is won against.
        alpha: As in `mean_upper_bound`.
    """
    aim, high = -math.log(alpha), largest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        won = middle >= largest or special.logsumexp(capitals(middle)) - math.log(ORDERS) >= aim
        low, high = (low, middle) if won else (middle, high)
    return high


def _guess(largest: float) -> float:
    """Return the variance to start from: the largest of values between 0 and ``largest``."""
    return largest**2 / 4
