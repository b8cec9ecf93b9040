"""The symmetric beta distribution, drawn from a table: the same values on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.limits import checked_number
from pipelines.augment.params import Strength

SHARES = 256
"""Drawn shares are multiples of ``1 / SHARES``."""

_DIGITS = 40
_TERMS = 160


@dataclass(frozen=True)
class Beta:
    """A share from Beta(alpha, alpha), times the strength; identity 0; option form ``alpha``.

    Small values of ``alpha`` give shares close to 0 or 1, 1 the uniform distribution and large
    ones shares around a half. Shares are rounded to multiples of 1/256.
    """

    alpha: float
    limits: tuple[float, float] = (0.05, 16.0)
    integer = False

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.float64]:
        """Return ``float64[N]``."""
        limits = share_limits(self.alpha)
        drawn = np.searchsorted(limits, draws.uniform(1)[:, 0], side="right")
        shares: NDArray[np.float64] = np.rint(drawn * strength) / SHARES
        return shares

    def override(self, value: Any) -> Beta:
        """Return the distribution of another ``alpha``."""
        return replace(self, alpha=checked_number(value, *self.limits))

    def describe(self) -> float:
        """Return ``alpha``."""
        return float(self.alpha)

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        return strength / 2, strength / math.sqrt(4 * (2 * self.alpha + 1))


@lru_cache(maxsize=64)
def share_limits(alpha: float) -> NDArray[np.float64]:
    """Return ``float64[SHARES]``: the chance that a share is rounded to ``i / SHARES`` or less.

    The integral of ``x^(alpha-1) (1-x)^(alpha-1)`` up to x <= 1/2 is summed as a power series in
    ``decimal``, whose digits are the same everywhere; the upper half is its mirror image.
    """
    with localcontext(Context(prec=_DIGITS)):
        exponent = Decimal(alpha)
        factors, factor = [], Decimal(1)
        for n in range(_TERMS):
            factors.append(factor / (exponent + n))
            factor *= (1 - exponent + n) / (n + 1)

        def integral(x: Decimal) -> Decimal:
            total = Decimal(0)
            for each in reversed(factors):
                total = total * x + each
            return total * x**exponent

        whole = 2 * integral(Decimal("0.5"))
        lower = [float(integral((i + Decimal("0.5")) / SHARES) / whole) for i in range(SHARES // 2)]
    limits = np.array(lower + [1.0 - share for share in reversed(lower)])
    limits.flags.writeable = False
    return limits
