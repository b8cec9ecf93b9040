"""Figures as people read them, the quantile of a latency, and the largest loss there is."""

from __future__ import annotations

import math
from collections.abc import Sequence

LATENCY_SHARE = 0.95
"""A latency stands for the time that this share of the requests keep to."""
LEAST_PROBABILITY = 1e-7
"""A smaller probability of the label counts as this one in the loss, as in Keras."""
LARGEST_LOSS = -math.log(LEAST_PROBABILITY)
"""No answer can have a larger loss, in nats."""
_MOST_DIGITS = 17  # tell any two floats apart


def number(value: float, beside: float | None = None, *, signed: bool = False) -> str:
    """Return a figure with four decimals, with more where it takes them to tell two apart.

    Whole numbers are written whole: integers, and from 10 on also floats, where the other is whole
    as well.

    Args:
        value: What is written.
        beside: What it is read beside, or None.
        signed: Whether a plus is written too.
    """
    if math.isinf(value):
        return "unlimited"
    if _whole(value) and (isinstance(value, int) or abs(value) >= 10) and _whole(beside):
        return f"{value:+,.0f}" if signed else f"{value:,.0f}"
    digits = 4
    if beside is not None and math.isfinite(beside) and value != beside:
        while f"{value:.{digits}f}" == f"{beside:.{digits}f}" and digits < _MOST_DIGITS:
            digits += 1
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values, at least one, that this share of them keep to."""
    return float(sorted(values)[max(math.ceil(share * len(values)), 1) - 1])


def _whole(value: float | None) -> bool:
    return value is None or float(value).is_integer()
