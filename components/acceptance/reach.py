"""Which rules no model can pass: found before hours of training, by the tests that decide later.

Every rule is held against answers that nothing exceeds: each right and certain, and of a live model
each wrong and certain. What these do not pass, for want of examples, no answers do: all the tests
only fall with a mistake, with doubt, and with what the live model gets right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.acceptance import wording
from components.acceptance.betting import examples_for_mean
from components.acceptance.decisions import Decision
from components.acceptance.evidence import Evidence, LiveEvidence
from components.acceptance.judge import hold
from components.acceptance.predictions import Predictions
from components.acceptance.rules import ROBUST, TEST, Ceiling, Comparison, Floor, Rule
from schemas.errors import InputError
from schemas.figures import number

_NAMED = 5
_UNIT = 10_000  # limits are proposed with four decimals


def check_reachable(
    rules: Iterable[Rule],
    *,
    classes: Mapping[str, int],
    slices: Sequence[Sequence[str]],
    corrupted: int,
    compared: bool,
) -> None:
    """Refuse rules that not even a model without a mistake would pass with these examples.

    Args:
        rules: Those that answers decide (`components.acceptance.answer_rules`).
        classes: Test examples per class, in the order of the classes.
        slices: The slices of each test example, in any order.
        corrupted: Test examples that are shown in forms that training has not seen.
        compared: Whether there is a live model to compare with; if not, comparisons are left out.

    Raises:
        InputError: A rule is out of reach; the message names it, its value, the number of
            examples, and what would do.
    """
    evidence = _flawless(classes, slices, corrupted)
    missed = [
        (rule, one)
        for rule in rules
        if compared or not isinstance(rule, Comparison)
        for one in hold(rule, evidence, floors=False)
        if not one.passed
    ]
    if not missed:
        return
    rule, first = missed[0]
    others = [one.name for _, one in missed[1:]]
    named = ", ".join([*others[:_NAMED], *(["…"] if len(others) > _NAMED else [])])
    also = f"; out of reach as well: {named}" if others else ""
    raise InputError(f"refresh.gates.{'.'.join(key_of(rule))}: {_said(rule, first)}{also}",
                     path=("refresh", "gates", *key_of(rule)))  # fmt: skip


def key_of(rule: Rule) -> tuple[str, str]:
    """Return the key below ``gates`` that a rule stands for."""
    if isinstance(rule, Ceiling):
        return "ceilings", rule.metric
    if isinstance(rule, Comparison):
        return "against_live", "tolerated_loss" if rule.margin < 0 else "required_gain"
    if rule.table == ROBUST:
        return "floors", "robust_accuracy"
    by_group = {"all": "accuracy", "class": "recall_per_class", "slice": "accuracy_per_slice"}
    return "floors", by_group[rule.group]


def _flawless(
    classes: Mapping[str, int], slices: Sequence[Sequence[str]], corrupted: int
) -> Evidence:
    """Return the best evidence that there can be of so many examples."""
    labels = np.repeat(np.arange(len(classes)), list(classes.values()))
    sure, names = np.eye(len(classes), dtype=np.float32), tuple(classes)
    keys = [f"{place:09d}" for place in range(max(len(labels), corrupted))]

    def table(answers: NDArray[np.int64], truth: NDArray[np.int64], **more: Any) -> Predictions:
        return Predictions.of(sure[answers], truth, keys[: len(truth)], classes=names, **more)

    tables = {TEST: table(labels, labels, slices=slices)}
    if corrupted:
        first = np.zeros(corrupted, np.int64)
        tables[ROBUST] = table(first, first)
    wrong = table((labels + 1) % len(classes), labels)
    return Evidence(tables=tables, live=LiveEvidence(state="present", tables={TEST: wrong}))


def _said(rule: Rule, found: Decision) -> str:
    """Return in words why not even answers without a mistake pass, and what would do."""
    if found.bound is None or found.threshold is None:
        return f"no model can pass: {found.reason}"
    limit = number(abs(found.threshold), abs(found.bound))
    best, easier = number(found.bound, found.threshold), ""
    if isinstance(rule, Floor):
        shown = f"{found.name} is shown to be at least {best}"
        if (least := math.floor(found.bound * _UNIT) / _UNIT) > 0:
            easier = f", or a floor of {least:g} at most"
    elif isinstance(rule, Ceiling):
        shown = f"{found.name} is shown to be at most {best}"
        easier = f", or a ceiling of {math.ceil(found.bound * _UNIT) / _UNIT:g} at least"
    else:
        gain = number(found.bound, found.threshold, signed=True)
        shown = f"and the live model always wrong, {found.name} is shown to gain {gain}"
    need = _needed(rule, found)
    takes = f"it takes about {wording.rounded(need):,} of them" if need else "it takes more of them"
    where = " (refresh.robustness.examples)" if getattr(rule, "table", TEST) == ROBUST else ""
    return (
        f"no model can show {limit} with {int(found.numbers['examples']):,} test examples: without "
        f"a mistake, {shown} with {wording.confidence(rule.alpha)}; {takes}{where}{easier}"
    )


def _needed(rule: Rule, found: Decision) -> int | None:
    """Return how many examples would do, if all are answered without a mistake."""
    if isinstance(rule, Ceiling) and rule.metric == "calibration_error":
        return examples_for_mean(np.zeros(1), rule.threshold, 1.0, rule.alpha)
    return int(found.numbers.get("examples_needed", 0)) or None
