"""The one line that a decision gives as its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping

POWER_NOTE = "4 times in 5"
_PAIRS = ("both_right", "candidate_alone_right", "live_alone_right", "both_wrong")


def no_rule(rules: int) -> str:
    """Return the refusal where nothing asks how well the candidate answers."""
    what = "ceilings alone are set" if rules else "no threshold is set"
    return (
        f"{what}, so nothing says how well a model must answer; set floors: {{accuracy: …}} or "
        "against_live"
    )


def confidence(alpha: float) -> str:
    """Return e.g. ``95 % confidence``."""
    return f"{100 * (1 - alpha):g} % confidence"


def needed(examples: int | None, *, rough: bool = False) -> str:
    """Return how many examples would show what was measured, if it is true.

    Args:
        examples: The number, or None where none is practical.
        rough: Whether it is no more than a guide, so that nothing is said of how often.
    """
    if examples is None:
        return "no practical number of examples would show it, so close to the limit is it"
    if rough:
        return f"as a rough guide, {rounded(examples):,} examples would show it"
    return f"about {rounded(examples):,} examples would show it {POWER_NOTE}"


def mcnemar_table(numbers: Mapping[str, float]) -> str:
    """Return McNemar's table and p-values from a decision's numbers; empty where it has none."""
    if not set(_PAIRS) <= set(numbers):
        return ""
    cells = ", ".join(f"{name.replace('_', ' ')} {numbers[name]:,.0f}" for name in _PAIRS)
    sided = (numbers["mcnemar_one_sided"], numbers["mcnemar_two_sided"])
    return f"{cells}; McNemar p={sided[0]:.2g} one-sided, {sided[1]:.2g} two-sided"


def rounded(value: int) -> int:
    """Return the number rounded up to two significant digits."""
    if value < 100:
        return value
    unit = int(10 ** (len(str(value)) - 2))
    return math.ceil(value / unit) * unit
