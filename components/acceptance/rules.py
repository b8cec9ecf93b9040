"""The rules that a candidate is held against, flat: one test each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from schemas.errors import InputError, unknown_name
from schemas.figures import LARGEST_LOSS
from schemas.gates import Gates, Metric, Missing

TEST = "test"
ROBUST = "unseen_corruptions"
"""Names of the tables that the floors of a recipe look at."""

COSTS = ("bytes", "parameters", "memory_bytes", "latency_p95_ms", "golden_difference")
"""What a ceiling takes from the evidence as measured; other ceilings are of predictions."""

RULES_VERSION = 2
"""Version of the tests behind the rules. A new one where equal evidence may be decided otherwise
than before, or is stored otherwise: then what was decided before is not decided again."""

GOLDEN_TOLERANCE = 1e-4
"""The most that a probability may differ between the process that evaluates and a fresh one."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The least share of right answers that is accepted, by its exact lower bound.

    Attributes:
        threshold: The least, above 0 and below 1; the bound itself may equal it.
        alpha: Level of the test.
        group: ``all`` examples together; ``class``: the recall of each; ``slice``: the accuracy of
            each slice other than the classes.
        only: Name of one class or slice; None: every one.
        table: Which predictions.
    """

    threshold: float
    alpha: float = 0.05
    group: Literal["all", "class", "slice"] = "all"
    only: str | None = None
    table: str = TEST

    def __post_init__(self) -> None:
        _check(0 < self.threshold < 1, "a floor", "above 0 and below 1", self.threshold)
        _check(0 < self.alpha < 0.5, "alpha", "above 0 and below 0.5", self.alpha)


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The most that is accepted of a cost or of a figure of the predictions.

    Attributes:
        metric: One of `COSTS`, or ``calibration_error``, ``loss``.
        threshold: The most; the bound itself may equal it.
        alpha: Level of the test.
    """

    metric: str
    threshold: float
    alpha: float = 0.05

    def __post_init__(self) -> None:
        valid = (*COSTS, "calibration_error", "loss")
        if self.metric not in valid:
            raise InputError(unknown_name("metric of a ceiling", self.metric, valid))
        _check(self.threshold > 0, "a ceiling", "above 0", self.threshold)
        # A ceiling that nothing can exceed would be silent.
        most = {"calibration_error": 1.0, "loss": LARGEST_LOSS}.get(self.metric, math.inf)
        where = f"below {most:.6g}" if math.isfinite(most) else "below infinity"
        _check(self.threshold < most, f"a ceiling of {self.metric}", where, self.threshold)
        _check(0 < self.alpha < 0.5, "alpha", "above 0 and below 0.5", self.alpha)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The candidate against the live model on the same examples.

    Attributes:
        margin: The improvement must be shown to exceed it: minus the tolerated loss, or the
            required gain. An improvement is more accuracy, less loss, less calibration error.
        metric: ``accuracy``, ``loss`` or ``calibration_error``.
        alpha: Level of the test.
        on_first_run: What holds where nothing was ever live, ``floors`` or ``refuse``.
        on_missing: What holds where the live model cannot be read or scored.
        on_incompatible: What holds where it takes other inputs or has other classes.
    """

    margin: float
    metric: Metric = "accuracy"
    alpha: float = 0.05
    on_first_run: Missing = "floors"
    on_missing: Missing = "refuse"
    on_incompatible: Missing = "refuse"

    def __post_init__(self) -> None:
        if self.metric not in (valid := ("accuracy", "loss", "calibration_error")):
            raise InputError(unknown_name("metric of a comparison", self.metric, valid))
        most = LARGEST_LOSS if self.metric == "loss" else 1.0
        where = f"between {-most:.6g} and {most:.6g}"
        _check(-most < self.margin < most, f"a margin of {self.metric}", where, self.margin)
        _check(0 < self.alpha < 0.5, "alpha", "above 0 and below 0.5", self.alpha)


Rule = Floor | Ceiling | Comparison
_KINDS = {"floor": Floor, "ceiling": Ceiling, "comparison": Comparison}


def answer_rules(gates: Gates) -> tuple[Rule, ...]:
    """Return those of `rules_of` that predictions decide: the accuracy gate."""
    return tuple(one for one in rules_of(gates) if not _of_costs(one))


def cost_rules(gates: Gates) -> tuple[Rule, ...]:
    """Return those of `rules_of` that costs decide, and one of golden requests: the size gate."""
    golden = Ceiling(metric="golden_difference", threshold=GOLDEN_TOLERANCE, alpha=gates.alpha)
    return (*(one for one in rules_of(gates) if _of_costs(one)), golden)


def _of_costs(rule: Rule) -> bool:
    return isinstance(rule, Ceiling) and rule.metric in COSTS


def rules_of(gates: Gates) -> tuple[Rule, ...]:
    """Return the rules that the settings of a recipe stand for, in a fixed order."""
    floors, alpha = gates.floors, gates.alpha
    rules: list[Rule] = []
    if floors.accuracy is not None:
        rules.append(Floor(threshold=floors.accuracy, alpha=alpha))
    groups: tuple[tuple[Literal["class", "slice"], Any], ...] = (
        ("class", floors.recall_per_class),
        ("slice", floors.accuracy_per_slice),
    )
    for group, given in groups:
        if isinstance(given, Mapping):
            rules += [
                Floor(threshold=one, alpha=alpha, group=group, only=name)
                for name, one in sorted(given.items())
            ]
        elif given is not None:
            rules.append(Floor(threshold=given, alpha=alpha, group=group))
    if floors.robust_accuracy is not None:
        rules.append(Floor(threshold=floors.robust_accuracy, alpha=alpha, table=ROBUST))
    for one in dataclasses.fields(gates.ceilings):
        value = getattr(gates.ceilings, one.name)
        if value is not None:
            rules.append(Ceiling(metric=one.name, threshold=value, alpha=alpha))
    live = gates.against_live
    if live is not None:
        gain = live.required_gain
        rules.append(
            Comparison(
                margin=gain if gain is not None else -(live.tolerated_loss or 0.0),
                metric=live.metric,
                alpha=alpha if live.alpha is None else live.alpha,
                on_first_run=live.on_first_run,
                on_missing=live.on_missing,
                on_incompatible=live.on_incompatible,
            )
        )
    return tuple(rules)


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """Return plain JSON values."""
    return {"kind": type(rule).__name__.lower(), **dataclasses.asdict(rule)}


def rule_from_json(data: Mapping[str, Any]) -> Rule:
    """Read what `rule_to_json` wrote.

    Raises:
        InputError: it is no rule.
    """
    settings = dict(data)
    kind = settings.pop("kind", None)
    if kind not in _KINDS:
        raise InputError(unknown_name("kind of rule", kind, _KINDS))
    rule: Rule = _KINDS[kind](**settings)
    return rule


def _check(holds: bool, what: str, where: str, value: float) -> None:
    if not holds:
        raise InputError(f"{what} must lie {where}, not {value!r}")
