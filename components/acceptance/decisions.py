"""What one rule decided, with all it looked at."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal[
    "passed",
    "left_to_floors",
    "itself",
    "failed",
    "too_few",
    "not_measured",
    "no_live_model",
    "incompatible",
    "no_rule",
]
PASSING = ("passed", "left_to_floors", "itself")
_CLOSE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict of one rule.

    Attributes:
        name: Of what, e.g. ``accuracy``, ``recall[cat]``, ``accuracy against live``.
        outcome: ``passed``; ``left_to_floors`` (nothing to compare with, and the rule says that
            the floors decide); ``itself`` (the live model is the candidate); ``failed`` (the
            measured value itself breaks the rule); ``too_few`` (it keeps to the rule, but so few
            examples do not show it); ``not_measured``, ``no_live_model``, ``incompatible``,
            ``no_rule``: nothing to decide on.
        value: What was measured, or None.
        bound: Its confidence bound on the side that counts, or None where there is none.
        threshold: What the bound is held against, or None.
        reason: One line for people.
        numbers: Everything else that the verdict rests on, such as McNemar's table.
    """

    name: str
    outcome: Outcome
    reason: str
    value: float | None = None
    bound: float | None = None
    threshold: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether this rule lets the candidate go live."""
        return self.outcome in PASSING

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the verdict included."""
        return {**dataclasses.asdict(self), "passed": self.passed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Read what `to_json` wrote; the verdict is computed again, not believed."""
        names = [one.name for one in dataclasses.fields(cls)]
        return cls(**{name: data[name] for name in names})


def accepted(decisions: Iterable[Decision]) -> bool:
    """Return whether a candidate may go live: there are decisions, and all of them pass."""
    found = list(decisions)
    return bool(found) and all(one.passed for one in found)


def agree(one: Decision, other: Decision) -> bool:
    """Return whether two decisions are the same but for the last digits of their numbers."""
    if (one.name, one.outcome, one.threshold) != (other.name, other.outcome, other.threshold):
        return False
    pairs = [(one.value, other.value), (one.bound, other.bound)]
    if set(one.numbers) != set(other.numbers):
        return False
    pairs += [(value, other.numbers[name]) for name, value in one.numbers.items()]
    return all(
        left == right
        if left is None or right is None
        else math.isclose(left, right, rel_tol=_CLOSE, abs_tol=_CLOSE)
        for left, right in pairs
    )
