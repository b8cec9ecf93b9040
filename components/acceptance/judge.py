"""Hold a candidate's evidence against the rules: one `Decision` per test, nothing else read.

A candidate goes live where every test passes. If it truly breaks one of the rules, that one test
lets it pass with probability alpha at most, so the gate as a whole errs no more often than that,
without any correction for their number (an intersection-union test: Berger, Technometrics 24,
1982).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.acceptance import wording
from components.acceptance.compare import compare
from components.acceptance.decisions import Decision
from components.acceptance.evidence import Evidence
from components.acceptance.limits import hold_ceiling, hold_floor
from components.acceptance.rules import Ceiling, Comparison, Floor, Rule


def decide(rules: Sequence[Rule], evidence: Evidence) -> tuple[Decision, ...]:
    """Return one decision per test, in the order of the rules; `accepted` sums them up.

    A rule about every class or slice gives a decision for each. Where there are predictions, rules
    that no model could fail by answering wrongly (none at all, ceilings of costs alone) give one
    more, a refusal.

    Args:
        rules: What must hold.
        evidence: Predictions, costs, and the live model's side.
    """
    return tuple(_decisions(rules, evidence))


def _decisions(rules: Sequence[Rule], evidence: Evidence) -> Iterator[Decision]:
    about_answers = any(isinstance(rule, Floor | Comparison) for rule in rules)
    if not about_answers and (evidence.tables or not rules):
        yield Decision(name="accuracy", outcome="no_rule", reason=wording.no_rule(len(rules)))
    floors = any(isinstance(rule, Floor) for rule in rules)
    for rule in rules:
        yield from hold(rule, evidence, floors=floors)


def hold(rule: Rule, evidence: Evidence, *, floors: bool) -> Iterator[Decision]:
    """Yield what one rule decides.

    Args:
        rule: The rule.
        evidence: As in `decide`.
        floors: Whether there are floors that a comparison can be left to.
    """
    if isinstance(rule, Floor):
        yield from hold_floor(rule, evidence)
    elif isinstance(rule, Ceiling):
        yield hold_ceiling(rule, evidence)
    else:
        yield compare(rule, evidence, floors=floors)
