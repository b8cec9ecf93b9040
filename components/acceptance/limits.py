"""Floors and ceilings: a figure of the candidate alone against a limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from components.acceptance import wording
from components.acceptance.betting import examples_for_mean, mean_upper_bound
from components.acceptance.calibration import calibration_error, error_upper_bound
from components.acceptance.decisions import Decision, Outcome
from components.acceptance.evidence import Evidence
from components.acceptance.predictions import CLASS, Predictions
from components.acceptance.proportions import (
    lower_bound,
    measurements_for_quantile,
    quantile_upper_bound,
    resized,
    trials_for_floor,
)
from components.acceptance.rules import COSTS, TEST, Ceiling, Floor
from schemas.errors import unknown_name
from schemas.figures import LARGEST_LOSS, LATENCY_SHARE, number, quantile


def hold_floor(rule: Floor, evidence: Evidence) -> Iterator[Decision]:
    """Yield the decision of a floor, one for every class or slice that it speaks of."""
    table = evidence.tables.get(rule.table)
    where = "" if rule.table == TEST else f" on {rule.table}"
    if table is None:
        yield _unmeasured(f"accuracy{where}", rule.threshold, rule.table, list(evidence.tables))
        return
    if rule.group == "all":
        yield _floor(f"accuracy{where}", rule, table)
        return
    measure = "recall" if rule.group == "class" else "accuracy"
    known = _names(rule, table)
    if not known or rule.only is not None and rule.only not in known:
        why = (
            "the examples were put into no slices"
            if rule.only is None
            else unknown_name(rule.group, rule.only, known)
        )
        name = f"{measure}[{rule.only or f'every {rule.group}'}]{where}"
        yield Decision(
            name=name, outcome="not_measured", threshold=rule.threshold, reason=f"{name}: {why}"
        )
        return
    for name in known if rule.only is None else [rule.only]:
        part = table.only(name) if rule.group == "slice" else table.of_class(name)
        yield _floor(f"{measure}[{name}]{where}", rule, part)


def hold_ceiling(rule: Ceiling, evidence: Evidence) -> Decision:
    """Return the decision of a ceiling."""
    if rule.metric in COSTS:
        return _cost_ceiling(rule, evidence.costs.get(rule.metric))
    name, table = rule.metric, evidence.tables.get(TEST)
    if table is None:
        return _unmeasured(name, rule.threshold, TEST, list(evidence.tables))
    if not (n := table.examples):
        return Decision(
            name=name,
            outcome="too_few",
            threshold=rule.threshold,
            reason=f"{name}: there is no example",
            numbers={"examples": 0, "examples_needed": 1},
        )
    value, bound = _figure(rule.metric, table, rule.alpha)
    outcome: Outcome
    numbers: dict[str, float] = {"examples": n, "alpha": rule.alpha}
    sure = wording.confidence(rule.alpha)
    measured = f"{name} {number(value, rule.threshold)} of {n:,} examples"
    most = number(bound, rule.threshold)
    limit = number(rule.threshold, value)
    if bound <= rule.threshold:
        outcome, reason = "passed", f"{measured}: at most {most} with {sure}, ceiling {limit}"
    elif value > rule.threshold:
        outcome, reason = "failed", f"{measured} is above the ceiling {limit}"
    else:
        if name == "loss":
            need = examples_for_mean(table.losses, rule.threshold, LARGEST_LOSS, rule.alpha)
        else:
            need = resized(n, bound - value, rule.threshold - value, rule.alpha)
        numbers["examples_needed"] = need or 0
        outcome = "too_few"
        reason = (
            f"{measured} keeps to the ceiling {limit}, but up to {most} is possible at {sure}: too "
            f"few examples; {wording.needed(need, rough=name == 'calibration_error')}"
        )
    return Decision(
        name=name,
        outcome=outcome,
        value=value,
        bound=bound,
        threshold=rule.threshold,
        reason=reason,
        numbers=numbers,
    )


def shares(table: Predictions) -> np.ndarray:
    """Return per example, ``float64[examples]``, the share of its answers that are right."""
    right = np.bincount(table.clusters, weights=table.correct)
    return right / np.maximum(np.bincount(table.clusters), 1)


def _floor(name: str, rule: Floor, table: Predictions) -> Decision:
    n = table.examples
    right = float(shares(table).sum())
    need = None
    numbers: dict[str, float] = {
        "examples": n,
        "answers": len(table.keys),
        "right": int(table.correct.sum()),
        "alpha": rule.alpha,
    }
    if n == 0:
        need = numbers["examples_needed"] = measurements_for_quantile(rule.threshold, rule.alpha)
        return Decision(
            name=name,
            outcome="too_few",
            bound=0.0,
            threshold=rule.threshold,
            reason=f"{name} has no example; it takes {need:,} at the very least",
            numbers=numbers,
        )
    value, bound = right / n, lower_bound(right, n, rule.alpha)
    outcome: Outcome
    sure = wording.confidence(rule.alpha)
    measured = f"{name} {number(value, rule.threshold)} of {n:,} examples"
    least, limit = number(bound, rule.threshold), number(rule.threshold, value)
    if bound >= rule.threshold:
        outcome, reason = "passed", f"{measured}: at least {least} with {sure}, floor {limit}"
    elif value < rule.threshold:
        outcome, reason = "failed", f"{measured} is below the floor {limit}"
    else:
        outcome, need = "too_few", trials_for_floor(value, rule.threshold, rule.alpha)
        numbers["examples_needed"] = need or 0
        reason = (
            f"{measured} meets the floor {limit}, but at {sure} only {least} is shown: too few "
            f"examples; {wording.needed(need)}"
        )
    return Decision(
        name=name,
        outcome=outcome,
        value=value,
        bound=bound,
        threshold=rule.threshold,
        reason=reason,
        numbers=numbers,
    )


def _names(rule: Floor, table: Predictions) -> list[str]:
    if rule.group == "class":
        return list(table.classes)
    return [name for name in table.slice_names() if not name.startswith(CLASS)]


def _cost_ceiling(rule: Ceiling, cost: float | Sequence[float] | None) -> Decision:
    name = rule.metric
    if cost is None or (isinstance(cost, Sequence) and not cost):
        return Decision(
            name=name,
            outcome="not_measured",
            threshold=rule.threshold,
            reason=f"{name} was not measured, so it cannot be held against its ceiling "
            f"{number(rule.threshold)}",
        )
    outcome: Outcome
    numbers: dict[str, float] = {}
    if isinstance(cost, Sequence):
        numbers = {"measurements": len(cost), "alpha": rule.alpha}
        value = quantile(cost, LATENCY_SHARE)
        bound = quantile_upper_bound(cost, LATENCY_SHARE, rule.alpha)
        beside = f" of {len(cost):,} measurements"
        known = f": at most {number(bound, rule.threshold)} with {wording.confidence(rule.alpha)},"
    else:
        value = bound = float(cost)
        beside, known = "", " keeps to its"
    limit = number(rule.threshold, value)
    measured = f"{name} {number(value, rule.threshold)}{beside}"
    if bound <= rule.threshold:
        outcome, reason = "passed", f"{measured}{known} ceiling {limit}"
    elif not value <= rule.threshold:
        outcome, reason = "failed", f"{measured} is above the ceiling {limit}"
    else:
        outcome = "too_few"
        reason = f"{measured} keeps to the ceiling {limit}, but "
        if math.isfinite(bound):
            most = number(bound, rule.threshold)
            reason += (
                f"up to {most} is possible at {wording.confidence(rule.alpha)}: raise the ceiling "
                f"above {most}, measure on a quieter machine, or make the model smaller"
            )
        else:
            least = measurements_for_quantile(LATENCY_SHARE, rule.alpha)
            numbers["measurements_needed"] = least
            reason += f"so few measurements give no bound: it takes at least {least}"
    return Decision(
        name=name,
        outcome=outcome,
        value=value,
        bound=bound if math.isfinite(bound) else None,
        threshold=rule.threshold,
        reason=reason,
        numbers=numbers,
    )


def _figure(metric: str, table: Predictions, alpha: float) -> tuple[float, float]:
    """Return a figure of the predictions and its upper bound."""
    if metric == "calibration_error":
        value = calibration_error(table.correct, table.probability)
        return value, error_upper_bound(table.correct, table.probability, alpha)
    return float(table.losses.mean()), mean_upper_bound(table.losses, LARGEST_LOSS, alpha)


def _unmeasured(name: str, threshold: float, table: str, tables: list[str]) -> Decision:
    return Decision(
        name=name,
        outcome="not_measured",
        threshold=threshold,
        reason=f"{name}: there are no predictions named {table!r} (there are: "
        f"{', '.join(sorted(tables)) or 'none'})",
    )
