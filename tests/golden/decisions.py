"""Decisions of every rule on fixed evidence, under the version of the rules' tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from components.acceptance import Evidence, LiveEvidence, Predictions, decide, rules_of
from components.acceptance.rules import RULES_VERSION
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


def compute() -> dict[str, Any]:
    """Return name, outcome, figures and bound of every decision."""
    evidence = Evidence(
        tables={"test": answers(1, 0.9), "unseen_corruptions": answers(2, 0.7)},
        costs={
            "bytes": 900,
            "parameters": 9,
            "memory_bytes": 1001,
            "latency_p95_ms": tuple(1 + place % 100 / 50 for place in range(200)),
            "golden_difference": 0.0,
        },
        live=LiveEvidence(state="present", tables={"test": answers(3, 0.88)}),
    )
    made = []
    for compared in COMPARISONS:
        gates = validated(Gates, {**GATES, "against_live": compared})
        made += decide(rules_of(gates), evidence)
    rows = {json.dumps([one.name, one.outcome, _near(one.value), _near(one.bound),
                        {name: _near(value) for name, value in sorted(one.numbers.items())}])
            for one in made}  # fmt: skip
    return {"rules_version": RULES_VERSION, "decisions": [json.loads(row) for row in sorted(rows)]}


def renew() -> list[Path]:
    """Write the golden file.

    Raises:
        SystemExit: decisions changed, and `RULES_VERSION` did not.
    """
    old, new = golden.load("decisions"), compute()
    if old and old != new and old["rules_version"] == RULES_VERSION:
        raise SystemExit(
            "equal evidence is decided otherwise than before: raise RULES_VERSION in "
            "components/acceptance/rules.py first, so that `verify` does not take earlier "
            "versions for damaged"
        )
    return [golden.write("decisions", new)]


def answers(seed: int, accuracy: float) -> Predictions:
    """Return answers to the same examples; some of the wrong ones are sure."""
    labels = np.arange(EXAMPLES) % 2
    random = np.random.PCG64(seed).random_raw(2 * EXAMPLES).reshape(2, -1) / 2**64
    given = np.where(random[0] < accuracy, labels, 1 - labels)
    sure = 0.55 + 0.449 * random[1]
    probabilities = np.where(np.eye(2, dtype=bool)[given], sure[:, None], 1 - sure[:, None])
    keys = [f"test-{place:05d}" for place in range(EXAMPLES)]
    slices = [
        ("brightness=low",) if place % 3 else ("brightness=high",) for place in range(EXAMPLES)
    ]
    return Predictions.of(probabilities, labels, keys, classes=("cat", "dog"), slices=slices)


def _near(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
