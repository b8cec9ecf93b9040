"""The candidate against the live model on the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.acceptance import wording
from components.acceptance.betting import examples_for_mean, mean_upper_bound
from components.acceptance.calibration import calibration_error, difference_upper_bound
from components.acceptance.decisions import Decision, Outcome
from components.acceptance.evidence import Evidence
from components.acceptance.paired import (
    Discordance,
    difference_lower_bound,
    examples_for_margin,
    mcnemar,
    mcnemar_two_sided,
    p_value,
)
from components.acceptance.predictions import Predictions
from components.acceptance.proportions import resized
from components.acceptance.rules import TEST, Comparison
from schemas.figures import LARGEST_LOSS, number

_NAMED = 5  # classes in a message
_UNIT = {"accuracy": "accuracy", "loss": "loss", "calibration_error": "calibration error"}


def compare(rule: Comparison, evidence: Evidence, *, floors: bool) -> Decision:
    """Return the decision of a comparison.

    Args:
        rule: The rule.
        evidence: Both models' predictions, or why there are none of the live one.
        floors: Whether there are floors that a decision can be left to.
    """
    name = f"{rule.metric} against live"
    live = evidence.live
    if live.state == "itself":
        reason = f"{name}: the live model is this very model"
        return Decision(name=name, outcome="itself", threshold=rule.margin, reason=reason)
    if live.state != "present":
        return _without(name, rule, live.state, live.why or "no reason was given", floors)
    new, old = evidence.tables.get(TEST), live.tables.get(TEST)
    if new is None:
        reason = f"{name}: there are no predictions named {TEST!r}"
        return Decision(name=name, outcome="not_measured", threshold=rule.margin, reason=reason)
    # A refresh asks both models the same, and finds out before whether the live one can answer.
    # Evidence is stored, though, and must not be believed where it was put together otherwise.
    if old is None:
        return _without(name, rule, "missing", f"it has no predictions named {TEST!r}", floors)
    if difference := incompatibility(new, old):
        return _without(name, rule, "incompatible", difference, floors)
    if not new.examples:
        return Decision(
            name=name,
            outcome="too_few",
            threshold=rule.margin,
            reason=f"{name}: there is no example",
            numbers={"examples": 0, "alpha": rule.alpha, "examples_needed": 1},
        )
    return (_exact if rule.metric == "accuracy" else _bounded)(name, rule, new, old)


def class_difference(ours: Sequence[str], theirs: Sequence[str]) -> str | None:
    """Return in which classes a live model differs from the dataset's, or None."""
    if tuple(ours) == tuple(theirs):
        return None
    other = sorted(set(ours) ^ set(theirs))
    named = ", ".join([*other[:_NAMED], *(["…"] if len(other) > _NAMED else [])])
    return f"its classes differ: {named or 'another order'}"


def incompatibility(new: Predictions, old: Predictions) -> str | None:
    """Return in which way two tables are not answers to the same questions, or None."""
    if difference := class_difference(new.classes, old.classes):
        return difference
    if new.keys != old.keys or new.variants != old.variants:
        ours = set(zip(new.keys, new.variants, strict=True))
        theirs = set(zip(old.keys, old.variants, strict=True))
        return (
            f"it was scored on other examples: {len(theirs - ours):,} that the candidate was not, "
            f"{len(ours - theirs):,} the other way round"
        )
    if not np.array_equal(new.labels, old.labels):
        count = int((new.labels != old.labels).sum())
        return f"it was scored with other labels of {count:,} examples"
    return None


@dataclass(frozen=True, kw_only=True)
class _Lack:
    """What holds where there is nothing to compare with, by the key of the recipe that decides."""

    key: Literal["on_first_run", "on_missing", "on_incompatible"]
    outcome: Outcome
    said: str
    fix: str


_LACKS = {
    "first_run": _Lack(
        key="on_first_run",
        outcome="no_live_model",
        said="nothing is live yet",
        fix="on_first_run: refuse is set; set floors for the first push, and on_first_run: floors",
    ),
    "missing": _Lack(
        key="on_missing",
        outcome="no_live_model",
        said="the live model cannot be scored ({why})",
        fix="push it anew, or leave it to the floors by on_missing: floors",
    ),
    "incompatible": _Lack(
        key="on_incompatible",
        outcome="incompatible",
        said="the live model cannot be compared ({why})",
        fix="push it anew, or leave it to the floors by on_incompatible: floors",
    ),
}


def _without(name: str, rule: Comparison, state: str, why: str, floors: bool) -> Decision:
    lack = _LACKS[state]
    said = f"{name}: {lack.said.format(why=why)}"
    outcome, fix = lack.outcome, lack.fix
    if getattr(rule, lack.key) == "floors" and floors:
        outcome, fix = "left_to_floors", "the floors alone decide, as the recipe says"
    elif getattr(rule, lack.key) == "floors":
        fix = "there is no floor to leave the decision to; set one"
    return Decision(name=name, outcome=outcome, threshold=rule.margin, reason=f"{said}; {fix}")


def _exact(name: str, rule: Comparison, new: Predictions, old: Predictions) -> Decision:
    found = Discordance.of(new.correct, old.correct)
    p = p_value(found, rule.margin)
    bound = difference_lower_bound(found, rule.alpha, rule.margin, p=p)
    both = int((new.correct & old.correct).sum())
    numbers: dict[str, float] = {
        "examples": found.examples,
        "both_right": both,
        "candidate_alone_right": found.gains,
        "live_alone_right": found.losses,
        "both_wrong": found.examples - both - found.discordant,
        "p_value": p,
        "mcnemar_one_sided": mcnemar(found),
        "mcnemar_two_sided": mcnemar_two_sided(found),
        "alpha": rule.alpha,
    }
    beside = (
        f" of {found.examples:,} examples ({found.gains:,} won, {found.losses:,} lost, p={p:.2g})"
    )
    need = examples_for_margin(found, rule.margin, rule.alpha)
    return _verdict(name, rule, found.difference, bound, p <= rule.alpha, beside, need, numbers)


def _bounded(name: str, rule: Comparison, new: Predictions, old: Predictions) -> Decision:
    """Compare by a bound of the mean loss, or of the calibration error.

    An improvement is the live figure minus the candidate's.
    """
    n = new.examples
    numbers: dict[str, float] = {"examples": n, "alpha": rule.alpha}
    if rule.metric == "loss":
        candidate, live = float(new.losses.mean()), float(old.losses.mean())
        worse = new.losses - old.losses
        value, bound = -float(worse.mean()), -mean_upper_bound(worse, LARGEST_LOSS, rule.alpha)
        need = examples_for_mean(worse, -rule.margin, LARGEST_LOSS, rule.alpha)
    else:
        candidate, live = (calibration_error(one.correct, one.probability) for one in (new, old))
        value = live - candidate
        bound = -difference_upper_bound(
            new.correct, new.probability, old.correct, old.probability, rule.alpha
        )
        need = resized(n, value - bound, value - rule.margin, rule.alpha)
    numbers |= {"candidate": candidate, "live": live}
    beside = f" of {n:,} examples"
    return _verdict(name, rule, value, bound, bound > rule.margin, beside, need, numbers)


def _verdict(
    name: str,
    rule: Comparison,
    value: float,
    bound: float,
    shown: bool,
    beside: str,
    need: int | None,
    numbers: dict[str, float],
) -> Decision:
    sure = wording.confidence(rule.alpha)
    least = number(bound, rule.margin, signed=True)
    size = number(abs(value), abs(rule.margin))
    direction = f"{'worse' if value < 0 else 'better'} by {size} than the live model's"
    measured = f"{_UNIT[rule.metric]} {direction}{beside}"
    limit = f"tolerated loss {number(abs(rule.margin), abs(value))}"
    reached, missed = f"keeps to the {limit}", f"is beyond the {limit}"
    if rule.margin == 0:
        reached, missed = "is a gain", "is no gain"
    elif rule.margin > 0:
        limit = f"required gain {number(rule.margin, value)}"
        reached, missed = f"reaches the {limit}", f"falls short of the {limit}"
    if shown:
        outcome: Outcome = "passed"
        reason = f"{measured}: at least {least} with {sure}, which {reached}"
    elif value < rule.margin or (value == rule.margin and rule.margin >= 0):
        outcome = "failed"
        reason = f"{measured} {missed}"
    else:
        outcome = "too_few"
        numbers["examples_needed"] = need or 0
        reason = (
            f"{measured} {reached}, but at {sure} only {least} is shown: too few examples; "
            f"{wording.needed(need, rough=rule.metric == 'calibration_error')}"
        )
    return Decision(
        name=name,
        outcome=outcome,
        value=value,
        bound=bound,
        threshold=rule.margin,
        reason=reason,
        numbers=numbers,
    )
