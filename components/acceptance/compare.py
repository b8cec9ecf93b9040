"""The candidate against the live model on the same examples."""

from __future__ import annotations

import math

import numpy as np

from components.acceptance import wording
from components.acceptance.calibration import calibration_error, replicated_errors
from components.acceptance.decisions import Decision, Outcome
from components.acceptance.evidence import Evidence
from components.acceptance.limits import mean_losses, shares
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
from components.acceptance.resampling import LEAST, mean_upper_bound, upper_bound
from components.acceptance.rules import TEST, Comparison

_FIRST = "nothing is live yet"
_UNIT = {"accuracy": "accuracy", "loss": "loss", "calibration_error": "calibration error"}


def compare(rule: Comparison, evidence: Evidence, *, floors: bool) -> Decision:
    """Return the decision of a comparison.

    Args:
        rule: The rule.
        evidence: Both models' predictions, or why there are none of the live one.
        floors: Whether there are floors that a decision can be left to.
    """
    where = "" if rule.table == TEST else f" on {rule.table}"
    name = f"{rule.metric} against live{where}"
    live = evidence.live
    if live.state == "itself":
        reason = f"{name}: the live model is this very model"
        return Decision(name=name, outcome="itself", threshold=rule.margin, reason=reason)
    if live.state == "first_run":
        return _without(
            name, rule, rule.on_first_run, "no_live_model", "nothing is live yet", floors
        )
    if live.state == "missing":
        why = f"the live model cannot be scored ({live.why or 'no reason was given'})"
        return _without(name, rule, rule.on_missing, "no_live_model", why, floors)
    if live.state == "incompatible":
        why = f"the live model cannot be compared ({live.why or 'no reason was given'})"
        return _without(name, rule, rule.on_incompatible, "incompatible", why, floors)
    new, old = evidence.tables.get(rule.table), live.tables.get(rule.table)
    if new is None:
        reason = f"{name}: there are no predictions named {rule.table!r}"
        return Decision(name=name, outcome="not_measured", threshold=rule.margin, reason=reason)
    if old is None:
        why = f"the live model has no predictions named {rule.table!r}"
        return _without(name, rule, rule.on_missing, "no_live_model", why, floors)
    if difference := incompatibility(new, old):
        why = f"the live model cannot be compared ({difference})"
        return _without(name, rule, rule.on_incompatible, "incompatible", why, floors)
    if rule.metric == "accuracy" and new.examples == len(new.keys):
        return _exact(name, rule, new, old)
    return _resampled(name, rule, new, old)


def incompatibility(new: Predictions, old: Predictions) -> str | None:
    """Return in which way two tables are not answers to the same questions, or None."""
    if new.classes != old.classes:
        other = sorted(set(new.classes) ^ set(old.classes))
        more = ", …" if len(other) > 5 else ""
        return f"its classes differ: {', '.join(other[:5]) or 'another order'}{more}"
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


def _without(
    name: str, rule: Comparison, how: str, outcome: Outcome, why: str, floors: bool
) -> Decision:
    if how == "floors" and floors:
        reason = f"{name}: {why}; the floors alone decide, as the recipe says"
        return Decision(name=name, outcome="left_to_floors", threshold=rule.margin, reason=reason)
    if how == "floors":
        reason = f"{name}: {why}, and there is no floor to leave the decision to; set one"
    elif outcome == "no_live_model" and why == _FIRST:
        reason = f"{name}: {why}, and on_first_run: refuse; set floors for the first push"
    else:
        key = "on_incompatible" if outcome == "incompatible" else "on_missing"
        reason = f"{name}: {why}; push it anew, or leave it to the floors by {key}: floors"
    return Decision(name=name, outcome=outcome, threshold=rule.margin, reason=reason)


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


def _resampled(name: str, rule: Comparison, new: Predictions, old: Predictions) -> Decision:
    """Bootstrap over examples; an improvement is the live figure minus the candidate's."""
    n = new.examples
    numbers: dict[str, float] = {"examples": n, "answers": len(new.keys), "alpha": rule.alpha}
    if n < LEAST:
        return Decision(
            name=name,
            outcome="too_few",
            threshold=rule.margin,
            reason=f"{name}: {n:,} examples give no bound: it takes at least {LEAST}",
            numbers={**numbers, "examples_needed": LEAST},
        )
    if rule.metric == "calibration_error":
        figures = [calibration_error(one.correct, one.probability) for one in (new, old)]
        replicated = [
            replicated_errors(one.correct, one.probability, one.clusters) for one in (new, old)
        ]
        worse = figures[0] - figures[1]
        value, bound = -worse, -upper_bound(worse, replicated[0] - replicated[1], rule.alpha)
    else:
        if rule.metric == "accuracy":
            figures = [float((1 - shares(one)).mean()) for one in (new, old)]
            differences = shares(old) - shares(new)
        else:
            figures = [float(mean_losses(one).mean()) for one in (new, old)]
            differences = mean_losses(new) - mean_losses(old)
        value, bound = -float(differences.mean()), -mean_upper_bound(differences, rule.alpha)
    numbers |= {"candidate": figures[0], "live": figures[1]}
    if rule.metric == "accuracy":
        numbers |= {"candidate": 1 - figures[0], "live": 1 - figures[1]}
    need = resized(n, value - bound, value - rule.margin, rule.alpha)
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
    least = wording.number(bound, rule.margin, signed=True)
    known = f"only {least} is shown" if math.isfinite(bound) else "nothing is shown"
    size = wording.number(abs(value), abs(rule.margin))
    direction = f"{'worse' if value < 0 else 'better'} by {size} than the live model's"
    measured = f"{_UNIT[rule.metric]} {direction}{beside}"
    limit = f"tolerated loss {wording.number(abs(rule.margin), abs(value))}"
    reached, missed = f"keeps to the {limit}", f"is beyond the {limit}"
    if rule.margin == 0:
        reached, missed = "is a gain", "is no gain"
    elif rule.margin > 0:
        limit = f"required gain {wording.number(rule.margin, value)}"
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
            f"{measured} {reached}, but at {sure} {known}: too few examples; {wording.needed(need)}"
        )
    return Decision(
        name=name,
        outcome=outcome,
        value=value,
        bound=bound if math.isfinite(bound) else None,
        threshold=rule.margin,
        reason=reason,
        numbers=numbers,
    )
