r"""Two models on the same examples: is the candidate's accuracy better, or at most so much worse?

Only discordant examples tell: ``gains`` (the candidate alone is right) and ``losses`` (the live
model alone is). With ``difference`` = P(gain) - P(loss), all tests here have the null hypothesis
``difference <= margin``; a rejection promotes. A tolerated loss is a negative margin
(non-inferiority), a required gain a positive one (superiority).

* Margin 0: the exact test of McNemar (Psychometrika 12, 1947): given the number of discordant
  examples, gains are Binomial(1/2) under the null hypothesis.
* Other margins: the exact unconditional test (Hsueh, Liu and Chen, Biometrics 57, 2001) that
  orders samples by the score statistic of Tango (Statistics in Medicine 17, 1998). The p-value is
  the largest probability, over all rates of discordance, of a statistic as high as the observed
  one. As Berger and Boos (JASA 89, 1994) proposed, only rates within a confidence interval of
  confidence 1 - 1e-5 are searched, and 1e-5 is added. So the size is at most alpha at any number
  of examples, which the normal approximation does not promise for small ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from components.acceptance.proportions import POWER, practical
from schemas.errors import InputError

NUISANCE = 1e-5
"""Probability that the true rate of discordance lies outside the interval that is searched."""
_TAIL = 1e-9  # mass of the number of discordant examples that is not summed but added
_GRID = 16
_CLOSE = 1e-9
_PRECISION = 1e-5  # of a bound


@dataclass(frozen=True, kw_only=True)
class Discordance:
    """How two models' answers to the same examples differ.

    Attributes:
        gains: Examples that the candidate alone answers right.
        losses: Examples that the live model alone answers right.
        examples: All examples, those with equal verdicts included.
    """

    gains: int
    losses: int
    examples: int

    def __post_init__(self) -> None:
        if min(self.gains, self.losses) < 0 or self.gains + self.losses > self.examples:
            raise InputError(
                "gains and losses must be 0 or more and together no more than the examples, not "
                f"{self.gains} and {self.losses} of {self.examples}"
            )

    @classmethod
    def of(cls, candidate: ArrayLike, live: ArrayLike) -> Discordance:
        """Count over two arrays ``bool[N]``: whether each model's answer is right."""
        new, old = np.asarray(candidate, bool), np.asarray(live, bool)
        if new.shape != old.shape:
            raise InputError(
                f"both models must have answered the same examples, not {new.size} and {old.size}"
            )
        return cls(gains=int((new & ~old).sum()), losses=int((old & ~new).sum()), examples=new.size)

    @property
    def discordant(self) -> int:
        """Examples that exactly one of the two models answers right."""
        return self.gains + self.losses

    @property
    def difference(self) -> float:
        """Accuracy of the candidate minus that of the live model (0 without an example)."""
        return (self.gains - self.losses) / self.examples if self.examples else 0.0


def mcnemar(found: Discordance) -> float:
    """Return the one-sided exact p-value of McNemar's test: small where gains prevail."""
    return float(stats.binom.sf(found.gains - 1, found.discordant, 0.5))


def mcnemar_two_sided(found: Discordance) -> float:
    """Return the two-sided exact p-value of McNemar's test: twice the smaller tail, 1 at most."""
    fewer = min(found.gains, found.losses)
    return float(min(1.0, 2 * stats.binom.cdf(fewer, found.discordant, 0.5)))


def score(found: Discordance, margin: float) -> float:
    """Return Tango's score statistic of ``difference = margin``; high where it is larger.

    It is standard normal in large samples; at margin 0 its square is McNemar's chi-squared.
    """
    return float(
        _score(np.array(float(found.gains)), np.array(float(found.losses)), found.examples, margin)
    )


def score_interval(found: Discordance, alpha: float) -> tuple[float, float]:
    """Return Tango's two-sided interval of the difference, confidence ``1 - alpha`` (asymptotic).

    For comparison with other software; decisions rest on `p_value`.
    """
    z = float(stats.norm.isf(alpha / 2))
    low = _root(lambda margin: score(found, margin) - z, -1.0, found.difference)
    high = _root(lambda margin: score(found, margin) + z, found.difference, 1.0)
    return low, high


def p_value(found: Discordance, margin: float) -> float:
    """Return the exact p-value of the null hypothesis ``difference <= margin``.

    Args:
        found: The counts.
        margin: Between -1 and 1 (exclusive); minus the tolerated loss, or the required gain.

    Raises:
        InputError: the margin is out of range.
    """
    if not -1 < margin < 1:
        raise InputError(f"a margin must lie between -1 and 1, not {margin!r}")
    if found.examples == 0:
        return 1.0
    if margin == 0:
        return mcnemar(found)
    # What was measured keeps to the null itself, and models that hardly ever differ cannot be so
    # far apart: the search below would look among rates of discordance that no longer fit.
    if 0 < margin and found.difference <= margin:
        return 1.0
    return _unconditional(found, margin)


def difference_lower_bound(
    found: Discordance, alpha: float, margin: float = 0.0, *, p: float | None = None
) -> float:
    """Return the lower bound of the difference, confidence ``1 - alpha``, by inverting `p_value`.

    Exact p-values need not be monotone in the margin to the last digit. The search starts from the
    margin that decides, so that the bound exceeds it exactly where the test rejects it.

    Args:
        found: The counts.
        alpha: Level of the test.
        margin: The margin that decides.
        p: `p_value` at that margin, where it is known.
    """

    def rejects(at: float) -> bool:
        return p_value(found, at) <= alpha

    decided = (p_value(found, margin) if p is None else p) <= alpha
    low, high = (margin, found.difference) if decided else (-1.0, min(margin, found.difference))
    # The normal approximation is close by: look there first, in steps that grow.
    guess = min(max(score_interval(found, 2 * alpha)[0], low), high)
    step = 0.1 * (found.difference - guess) + _PRECISION
    while guess - step > low:
        if rejects(guess - step):
            low = guess - step
            break
        high, step = guess - step, 2 * step
    while low < guess and guess + step < high:
        if not rejects(guess + step):
            high = guess + step
            break
        low, step = guess + step, 2 * step
    return _turning_point(rejects, low, high)


def examples_for_margin(
    found: Discordance, margin: float, alpha: float, power: float = POWER
) -> int | None:
    """Return about how many examples would show that the difference exceeds the margin.

    The observed rates of gains and losses are taken to be true; the power is that of the score
    test in large samples (Nam, Biometrics 53, 1997). It takes at least as many examples as the
    exact tests need to reject at all: models that never differ are so far apart with probability
    ``(1 + margin) ** n`` at most, and gains alone are as likely as ``((1 + margin) / 2) ** n``.

    Returns:
        The number, or None where the measured difference does not exceed the margin.
    """
    gap = found.difference - margin
    if gap <= 0 or not found.examples:
        return None
    gains, losses = found.gains / found.examples, found.losses / found.examples
    rate = gains + losses
    spread = math.sqrt(max(rate - found.difference**2, 0.0))
    # The variance under the null hypothesis is the statistic's own, at these rates.
    many = 1e6
    held = (gains * many - losses * many - many * margin) / float(
        _score(np.array(gains * many), np.array(losses * many), many, margin)
    )
    null = held / math.sqrt(many)
    za, zb = stats.norm.isf(alpha), stats.norm.isf(1 - power)
    number = float(((za * null + zb * spread) / gap) ** 2)
    if margin == 0:
        return practical(max(number, math.log(alpha) / math.log(0.5) / rate))
    likely = 1 + margin if margin < 0 and not found.discordant else (1 + margin) / 2
    return practical(max(number, math.log(alpha - NUISANCE) / math.log(likely)))


def _score(
    gains: NDArray[np.float64], losses: NDArray[np.float64], examples: float, margin: float
) -> NDArray[np.float64]:
    """Return Tango's statistic, his equations 24 to 26 with the margin's sign turned."""
    linear = (2 * examples - gains + losses) * margin - (gains + losses)
    constant = -losses * margin * (1 - margin)
    root = np.sqrt(np.maximum(linear**2 - 8 * examples * constant, 0.0))
    loss_rate = (root - linear) / (4 * examples)
    variance = np.maximum(examples * (2 * loss_rate + margin * (1 - margin)), 0.0)
    above = gains - losses - examples * margin
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = above / np.sqrt(variance)
    return np.where(np.abs(above) < _CLOSE, 0.0, statistic)


def _unconditional(found: Discordance, margin: float) -> float:
    n = found.examples
    tail = NUISANCE / 2
    low = max(stats.beta.ppf(tail, found.discordant, n - found.discordant + 1), 0.0)
    high = stats.beta.isf(tail, found.discordant + 1, n - found.discordant)
    low = abs(margin) if math.isnan(low) else max(float(low), abs(margin))
    high = 1.0 if math.isnan(high) else min(float(high), 1.0)
    if high < low:  # a discordance as rare as this one leaves no room for such a difference
        return NUISANCE
    counts = np.arange(
        int(stats.binom.ppf(_TAIL / 2, n, low)), int(stats.binom.isf(_TAIL / 2, n, high)) + 1
    )
    least = least_gains(counts, n, margin, score(found, margin))

    ways = special.gammaln(n + 1) - special.gammaln(counts + 1) - special.gammaln(n - counts + 1)

    def chance(rate: float) -> float:
        """Return the probability of such a statistic at a rate of discordance."""
        share = min(max((rate + margin) / (2 * rate), 0.0), 1.0)
        mass = np.exp(ways + special.xlogy(counts, rate) + special.xlogy(n - counts, 1 - rate))
        some = mass > _TAIL / len(counts)
        m, k = counts[some], least[some]
        tail = special.betainc(np.maximum(k, 1), np.maximum(m - k + 1, 1), share)
        return float(mass[some] @ np.where(k == 0, 1.0, np.where(k <= m, tail, 0.0)))

    rates = np.linspace(low, high, _GRID)
    chances = [chance(rate) for rate in rates]
    best = int(np.argmax(chances))
    near = np.linspace(rates[max(best - 1, 0)], rates[min(best + 1, _GRID - 1)], _GRID // 2 + 1)
    highest = max(chances[best], *(chance(rate) for rate in near))
    return min(1.0, highest + NUISANCE + 2 * _TAIL)


def least_gains(
    counts: NDArray[np.int64], examples: int, margin: float, statistic: float
) -> NDArray[np.int64]:
    """Return, per number of discordant examples, the fewest gains of at least that statistic."""
    low, high = np.full(len(counts), -1), counts + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        gains = middle.astype(np.float64)
        reaches = _score(gains, counts - gains, examples, margin) >= statistic - _CLOSE
        wide = high - low > 1
        high = np.where(wide & reaches, middle, high)
        low = np.where(wide & ~reaches, middle, low)
    return high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of a falling function, or the end that it does not cross before."""
    low, high = max(low, -1 + _CLOSE), min(high, 1 - _CLOSE)
    if low >= high or function(low) <= 0:
        return low
    return high if function(high) >= 0 else float(optimize.brentq(function, low, high))


def _turning_point(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where, between a point that holds and one that does not, it ceases to."""
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
