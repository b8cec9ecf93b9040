"""Checks of the numbers that a recipe gives: shares, strengths, bounds of parameters."""

from __future__ import annotations

from typing import Any

from schemas.errors import InputError

_MOST_LEVELS = 65536


def check_share(value: Any, name: str) -> None:
    """Refuse a value of ``name`` that is no number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number in [0, 1], got {value!r}", path=(name,))


def check_strength(value: Any) -> None:
    """Refuse a strength that is no share, ordered pair of shares, or pair and number of levels."""
    ends = value if isinstance(value, tuple) else (value, value)
    if len(ends) not in (2, 3):
        message = (
            "strength must be a number or a pair [low, high] or [low, high, levels], "
            f"got {list(ends)}"
        )
        raise InputError(message, path=("strength",))
    for end in ends[:2]:
        check_share(end, "strength")
    if ends[0] > ends[1]:
        message = f"strength must be a pair [low, high] with low <= high, got {list(ends)}"
        raise InputError(message, path=("strength",))
    if len(ends) == 3 and (type(ends[2]) is not int or not 2 <= ends[2] <= _MOST_LEVELS):
        message = f"the levels of a strength must be an integer in [2, {_MOST_LEVELS}]"
        raise InputError(f"{message}, got {ends[2]!r}", path=("strength",))


def checked_number(value: Any, low: float, high: float) -> float:
    """Return ``value`` as a float, or refuse what is no number in ``[low, high]``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"must be a number in [{low:g}, {high:g}], got {value!r}")
    if not low <= value <= high:
        raise InputError(f"must be in [{low:g}, {high:g}], got {value!r}")
    return float(value)


def checked_pair(value: Any, limits: tuple[float, float]) -> tuple[float, float]:
    """Return ``value``, a number or a pair, as an ordered pair of floats within ``limits``."""
    if not isinstance(value, list | tuple):
        value = (value, value)
    if len(value) != 2:
        raise InputError(f"must be a number or a pair [low, high], got {value!r}")
    low, high = (checked_number(end, *limits) for end in value)
    if low > high:
        raise InputError(f"must be a pair [low, high] with low <= high, got {value!r}: swap them")
    return low, high
