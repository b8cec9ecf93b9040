"""Whether a candidate may go live, decided from per-example predictions with stated confidence.

``decide(rules, evidence)`` is a pure function; `docs/gates.md` says which test answers what.
"""

from components.acceptance.decisions import Decision, accepted, agree
from components.acceptance.evidence import Evidence, LiveEvidence
from components.acceptance.judge import decide
from components.acceptance.predictions import Predictions, read_predictions, write_predictions
from components.acceptance.records import read_evidence, recompute, write_evidence
from components.acceptance.rules import (
    Ceiling,
    Comparison,
    Floor,
    Rule,
    answer_rules,
    cost_rules,
    rules_of,
)

__all__ = [
    "Ceiling",
    "Comparison",
    "Decision",
    "Evidence",
    "Floor",
    "LiveEvidence",
    "Predictions",
    "Rule",
    "accepted",
    "agree",
    "answer_rules",
    "cost_rules",
    "decide",
    "read_evidence",
    "read_predictions",
    "recompute",
    "rules_of",
    "write_evidence",
    "write_predictions",
]
