"""Decisions of every rule on fixed evidence, under the version of the rules' tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.acceptance import (
    Ceiling,
    Comparison,
    Decision,
    Evidence,
    Floor,
    LiveEvidence,
    Predictions,
    Rule,
    decide,
    rules_of,
)
from components.acceptance.rules import ROBUST, RULES_VERSION
from schemas.gates import Gates
from schemas.validation import validated
from tests import golden

EXAMPLES = 600
GATES: dict[str, Any] = {
    "floors": {
        "accuracy": 0.85,
        "recall_per_class": 0.8,
        "accuracy_per_slice": {"brightness=low": 0.8},
        "robust_accuracy": 0.5,
    },
    "ceilings": {
        "bytes": 1000,
        "parameters": 10,
        "memory_bytes": 1000,
        "latency_p95_ms": 2.5,
        "calibration_error": 0.2,
        "loss": 0.9,
    },
}
COMPARISONS: tuple[dict[str, Any], ...] = (
    {"required_gain": 0},
    {"tolerated_loss": 0.02},
    {"metric": "loss", "tolerated_loss": 0.5},
    {"metric": "calibration_error", "tolerated_loss": 0.2},
)
MARGINS = {
    "accuracy": (-0.05, -0.02, 0.0, 0.01, 0.04, 0.1),
    "loss": (-0.1, 0.0, 0.05, 0.4),
    "calibration_error": (-0.1, 0.0, 0.01, 0.3),
}
LACKS = {"first_run": "on_first_run", "missing": "on_missing", "incompatible": "on_incompatible"}
SOME = 60
"""Examples of what is decided on few."""


def compute() -> dict[str, Any]:
    """Return the decisions of every case."""
    cases: dict[str, Sequence[Decision]] = {**_whole(), **_against(), **_lacking(), **_alone()}
    return {
        "rules_version": RULES_VERSION,
        "cases": {name: [_row(one) for one in made] for name, made in cases.items()},
    }


def renew() -> list[Path]:
    """Write the golden file; cases may be added to a version.

    Raises:
        SystemExit: decisions changed, and `RULES_VERSION` did not.
    """
    old, new = golden.load("decisions"), compute()
    changed = old and any(new["cases"].get(name) != one for name, one in old["cases"].items())
    if changed and old["rules_version"] == RULES_VERSION:
        raise SystemExit(
            "equal evidence is decided otherwise than before: raise RULES_VERSION in "
            "components/acceptance/rules.py first, so that `verify` does not take earlier "
            "versions for damaged"
        )
    return [golden.write("decisions", new)]


def answers(seed: int, accuracy: float, *, count: int = 0, **columns: Any) -> Predictions:
    """Return answers to the same examples, `EXAMPLES` by default; some of the wrong are sure."""
    count = count or EXAMPLES
    labels = columns.pop("labels", np.arange(count) % 2)
    random = np.random.PCG64(seed).random_raw(2 * count).reshape(2, -1) / 2**64
    given = np.where(random[0] < accuracy, labels, 1 - labels)
    sure = 0.55 + 0.449 * random[1]
    probabilities = np.where(np.eye(2, dtype=bool)[given], sure[:, None], 1 - sure[:, None])
    keys = [f"test-{place:05d}" for place in range(count)]
    slices = [("brightness=low",) if place % 3 else ("brightness=high",) for place in range(count)]
    columns = {"keys": keys, "classes": ("cat", "dog"), "slices": slices, **columns}
    return Predictions.of(probabilities, labels, columns.pop("keys"), **columns)


def _whole() -> dict[str, Sequence[Decision]]:
    """Return what a recipe with everything decides."""
    evidence = Evidence(
        tables={"test": answers(1, 0.9), ROBUST: answers(2, 0.7)},
        costs={
            "bytes": 900,
            "parameters": 9,
            "memory_bytes": 1001,
            "latency_p95_ms": tuple(1 + place % 100 / 50 for place in range(200)),
            "golden_difference": 0.0,
        },
        live=_live(answers(3, 0.88)),
    )
    return {
        f"all, {compared}": decide(
            rules_of(validated(Gates, {**GATES, "against_live": compared})), evidence
        )
        for compared in COMPARISONS
    }


def _against() -> dict[str, Sequence[Decision]]:
    """Return comparisons of every kind of pair at every margin."""
    pairs = {
        "better": (answers(1, 0.97), answers(3, 0.85)),
        "worse": (answers(1, 0.85), answers(3, 0.97)),
        "little better": (answers(1, 0.9), answers(1, 0.89)),
        "equal": (answers(1, 0.9), answers(1, 0.9)),
        "equal, few": (answers(1, 0.9, count=SOME), answers(1, 0.9, count=SOME)),
        "at the margin": (_wrong(30), _wrong(0)),
        "one": (answers(1, 1.0, count=1), answers(1, 0.0, count=1)),
        "none": (_none(), _none()),
    }
    return {
        f"{metric} {margin:+} of {name}": decide(
            [Comparison(margin=margin, metric=metric)],
            Evidence(tables={"test": new}, live=_live(old)),
        )
        for name, (new, old) in pairs.items()
        for metric, margins in MARGINS.items()
        for margin in margins
    }


def _lacking() -> dict[str, Sequence[Decision]]:
    """Return what holds where there is nothing to compare with."""
    new = answers(1, 0.9, count=SOME)
    states = {one: LiveEvidence(state=one) for one in (*LACKS, "itself")}  # type: ignore[arg-type]
    lives = {
        **{name: (one, LACKS.get(name, "on_missing")) for name, one in states.items()},
        "missing, why": (LiveEvidence(state="missing", why="no file"), "on_missing"),
        "other tables": (LiveEvidence(state="present", tables={"rest": new}), "on_missing"),
        "other classes": (_live(answers(1, 0.9, count=SOME, classes=("cat", "cow"))), ""),
        "other order": (_live(answers(1, 0.9, count=SOME, classes=("dog", "cat"))), ""),
        "other examples": (_live(answers(1, 0.9, count=SOME + 1)), ""),
        "other labels": (_live(answers(1, 0.9, labels=np.ones(SOME, int), count=SOME)), ""),
    }
    made = {}
    for name, (live, key) in lives.items():
        for choice in ("floors", "refuse"):
            rule = Comparison(margin=0, **{key or "on_incompatible": choice})  # type: ignore[arg-type]
            evidence = Evidence(tables={"test": new}, live=live)
            made[f"{name}, {choice}"] = decide([Floor(threshold=0.5), rule], evidence)
            made[f"{name}, {choice}, no floor"] = decide([rule], evidence)
    made["no answers"] = decide([Comparison(margin=0)], Evidence(tables={}, live=_live(new)))
    return made


def _alone() -> dict[str, Sequence[Decision]]:
    """Return floors and ceilings at the ends of what they can meet."""
    new, forms = answers(1, 0.9), [f"noise/{place % 5}" for place in range(EXAMPLES)]
    keys = [f"test-{place // 5:05d}" for place in range(EXAMPLES)]
    of_forms = answers(1, 0.9, labels=np.zeros(EXAMPLES, int), keys=keys, variants=forms)
    tables = {
        "": {"test": new, ROBUST: of_forms},
        ", few": {"test": answers(1, 0.9, count=SOME)},
        ", one class": {"test": answers(1, 0.9, labels=np.zeros(EXAMPLES, int))},
        ", no slices": {"test": answers(1, 0.9, slices=None)},
        ", right": {"test": answers(1, 1.0)},
        ", wrong": {"test": answers(1, 0.0)},
        ", empty": {"test": _none()},
        ", none": {},
    }
    share = float(new.correct.mean())
    rules: dict[str, list[Rule]] = {
        "floor": [Floor(threshold=one) for one in (0.8, 0.89, share, 0.91, 0.999)],
        "strict floor": [Floor(threshold=0.85, alpha=0.001)],
        "classes": [Floor(threshold=0.85, group="class")],
        "class": [Floor(threshold=0.8, group="class", only=one) for one in ("dog", "cow")],
        "slices": [Floor(threshold=0.85, group="slice")],
        "slice": [Floor(threshold=0.8, group="slice", only=f"brightness={one}")
                  for one in ("low", "middle")],
        "forms": [Floor(threshold=one, table=ROBUST) for one in (0.5, 0.88, 0.95)],
        "loss": [Ceiling(metric="loss", threshold=one) for one in (0.05, 0.5, 0.6, 2.0)],
        "calibration": [Ceiling(metric="calibration_error", threshold=one)
                        for one in (0.05, 0.16, 0.5)],
        "nothing": [],
    }  # fmt: skip
    rules["loss"].append(Ceiling(metric="loss", threshold=float(new.losses.mean())))
    made = {
        f"{name}{where}": decide(some, Evidence(tables=table))
        for name, some in rules.items()
        for where, table in tables.items()
    }
    costs: dict[str, Any] = {
        "bytes": (999, 1000, 1001),
        "golden_difference": (0.0, 1e-4, 2e-4),
        "latency_p95_ms": (
            1.0,
            3.0,
            (),
            (1.0,) * 58,
            (1.0,) * 59,
            (3.0,) * 58,
            (1.0,) * 191 + (3.0,) * 9,
            (1.0,) * 189 + (3.0,) * 11,
            (2.0,) * 191 + (3.0,) * 9,
            tuple(1 + place % 100 / 100 for place in range(200)),
        ),
    }
    limits = {"bytes": 1000, "golden_difference": 1e-4, "latency_p95_ms": 2.0}
    for metric, values in costs.items():
        rule = Ceiling(metric=metric, threshold=limits[metric])
        made[f"{metric}, not measured"] = decide([rule], Evidence(tables={}))
        for place, value in enumerate(values):
            evidence = Evidence(tables={}, costs={metric: value})
            made[f"{metric}, {place}"] = decide([rule], evidence)
    costly = [Ceiling(metric="bytes", threshold=9)]
    made["ceilings alone"] = decide(costly, Evidence(tables={"test": new}, costs={"bytes": 1}))
    return made


def _live(table: Predictions) -> LiveEvidence:
    return LiveEvidence(state="present", tables={"test": table})


def _wrong(count: int) -> Predictions:
    """Return answers of which the first are wrong."""
    labels, places = np.arange(EXAMPLES) % 2, np.arange(EXAMPLES)
    given = np.where(places < count, 1 - labels, labels)
    keys = [f"test-{place:05d}" for place in places]
    return Predictions.of(np.eye(2)[given] * 0.8 + 0.1, labels, keys, classes=("cat", "dog"))


def _none() -> Predictions:
    return Predictions.of(np.zeros((0, 2)), np.zeros(0, int), [], classes=("cat", "dog"))


def _row(made: Decision) -> str:
    """Return in one line what is held against evidence of the same version; see `verify`."""
    figures = {"value": made.value, "bound": made.bound, **dict(sorted(made.numbers.items()))}
    told = [f"{name}={value:.6g}" for name, value in figures.items() if value is not None]
    said = f" | {made.reason}" if made.passed else ""
    return f"{made.outcome} {made.name}: {' '.join(told)}{said}"
