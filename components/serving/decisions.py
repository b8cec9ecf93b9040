"""The decisions in a bundle: made from stored evidence, and made again when they are verified."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from components.acceptance.decisions import accepted
from components.acceptance.predictions import FILES
from components.acceptance.records import RECORD, decided_again
from components.acceptance.rules import TEST
from components.acceptance.summary import alpha_of, parts
from components.serving.bundle import DECISIONS, EVIDENCE, Decision
from components.serving.history import PROMOTIONS
from schemas.errors import FailedError, RefineryError
from schemas.report import GateDecision

PREDICTIONS = "predictions"


def judged(gate: str, folder: Path, beside: Mapping[str, Path] | None = None) -> Decision:
    """Return the decision of a gate from a folder that `components.acceptance` wrote.

    It is computed again here: what goes into a bundle follows from what lies beside it.

    Args:
        gate: Its name.
        folder: Evidence and decisions.
        beside: Further evidence by name.

    Raises:
        FailedError: the evidence was changed, or does not give the stored decisions.
    """
    rules, evidence, decisions = decided_again(folder)
    slices, corruptions = parts(evidence.tables, alpha_of(rules))
    record = {
        "gate": gate,
        "blessed": accepted(decisions),
        "decisions": [one.to_json() for one in decisions],
        "slices": [dataclasses.asdict(one) for one in slices],
        "corruptions": [dataclasses.asdict(one) for one in corruptions],
    }
    if TEST in evidence.tables and FILES in evidence.tables[TEST].about:
        record[FILES] = evidence.tables[TEST].about[FILES]
    return Decision(record=record, evidence={PREDICTIONS: folder, **(beside or {})})


def decision_problems(folder: Path, *, digest: str) -> list[str]:
    """Decide again what the decisions of a bundle say: from the evidence, or from their figures.

    Args:
        folder: The bundle's folder, whose files are those that were written.
        digest: Digest of the files of the version, which the evidence must be about.
    """
    problems = []
    for path in sorted((folder / DECISIONS).glob("*.json")):
        name = f"{PROMOTIONS}/{folder.name}/{DECISIONS}/{path.name}"
        value = json.loads(path.read_text("utf-8"))
        if value.get("blessed") is not True:
            problems.append(f"{name}: refused, and pushed all the same")
        elif "decisions" in value:
            problems += [
                f"{name}: {one}" for one in _judged_again(folder, path.stem, value, digest)
            ]
        elif value.get("checks"):
            again = GateDecision.from_json(value)
            if not again.blessed:
                reasons = "; ".join(again.reasons)
                problems.append(f"{name}: does not follow from its figures: {reasons}")
        else:
            problems.append(f"{name}: neither evidence nor figures: it rests on nothing")
    return problems


def _judged_again(folder: Path, stem: str, value: dict, digest: str) -> list[str]:
    evidence = folder / EVIDENCE / stem / PREDICTIONS
    if not (evidence / RECORD).is_file():
        return [f"{EVIDENCE}/{stem}/{PREDICTIONS}/{RECORD} is missing, which it rests on"]
    try:
        again = judged(value["gate"], evidence).record
        follows = again["blessed"] and _outcomes(again) == _outcomes(value)
    except RefineryError as error:
        return [str(error).replace(f"{folder}/", "")]
    if again.get(FILES, digest) != digest:
        return ["its evidence is about another model than the one that was pushed"]
    return [] if follows else ["does not follow from its evidence"]


def _outcomes(record: dict) -> list[tuple[str, str]]:
    try:
        return [(one["name"], one["outcome"]) for one in record["decisions"]]
    except (KeyError, TypeError) as error:
        raise FailedError(f"a decision without name or outcome ({error})") from error
