"""The decisions in a bundle: made from stored evidence, and made again when they are verified."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.acceptance.decisions import Decision as Verdict
from components.acceptance.decisions import accepted
from components.acceptance.evidence import Evidence
from components.acceptance.predictions import FILES
from components.acceptance.records import RECORD, decided_again, rules_version
from components.acceptance.rules import RULES_VERSION
from components.acceptance.summary import alpha_of, parts
from components.serving.bundle import DECISIONS, EVIDENCE, Decision
from components.serving.history import PROMOTIONS
from schemas.errors import FailedError, RefineryError
from schemas.infra import InfraReport
from schemas.report import GateDecision

PREDICTIONS = "predictions"
INFRA_REPORT = "infra.json"
"""In the size gate's evidence: what was measured of the model in a process of its own."""
BYTES = "bytes"
_CLOSE = 1e-6


def judged(gate: str, folder: Path, beside: Mapping[str, Path] | None = None) -> Decision:
    """Return the decision of a gate from a folder that `components.acceptance` wrote.

    It is computed again here: what goes into a bundle follows from what lies beside it. Its
    ``files`` is the digest of the model's files that the evidence names, where it names some.

    Args:
        gate: Its name.
        folder: Evidence and decisions.
        beside: Further evidence by name.

    Raises:
        FailedError: the evidence was changed, does not give the stored decisions, or is about
            several models.
    """
    record, _ = _record(gate, folder)
    return Decision(record=record, evidence={PREDICTIONS: folder, **(beside or {})})


def _record(gate: str, folder: Path) -> tuple[dict[str, Any], Evidence]:
    rules, evidence, decisions = decided_again(folder)
    slices, corruptions = parts(evidence.tables, alpha_of(rules))
    record: dict[str, Any] = {
        "gate": gate,
        "blessed": accepted(decisions),
        "decisions": [one.to_json() for one in _stored(folder)],
        "slices": [dataclasses.asdict(one) for one in slices],
        "corruptions": [dataclasses.asdict(one) for one in corruptions],
    }
    files = {table.about.get(FILES) for table in evidence.tables.values()}
    if evidence.costs:
        files.add(evidence.files)
    if len(files) > 1:
        raise FailedError(f"{folder / RECORD}: its evidence is about the files of several models")
    if files and (named := files.pop()) is not None:
        record[FILES] = named
    if (folder / INFRA_REPORT).is_file():
        record["measured"] = _measured(folder / INFRA_REPORT)
    return record, evidence


def _stored(folder: Path) -> list[Verdict]:
    """Return the decisions as the gate wrote them: the same, in the words of its program."""
    text = (folder / RECORD).read_text("utf-8")
    return [Verdict.from_json(one) for one in json.loads(text)["decisions"]]


def _measured(path: Path) -> dict[str, float]:
    try:
        return InfraReport.from_json(json.loads(path.read_text("utf-8"))).summary()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise FailedError(f"{path}: no readable report of the infra check ({error})") from error


def decision_problems(folder: Path, *, digest: str, size: int) -> list[str]:
    """Decide again what the decisions of a bundle say: from the evidence, or from their figures.

    Args:
        folder: The bundle's folder, whose files are those that were written.
        digest: Digest of the files of the version, which the evidence must be about.
        size: Bytes of these files.
    """
    problems = []
    for path in sorted((folder / DECISIONS).glob("*.json")):
        name = f"{PROMOTIONS}/{folder.name}/{DECISIONS}/{path.name}"
        value = json.loads(path.read_text("utf-8"))
        if value.get("blessed") is not True:
            problems.append(f"{name}: refused, and pushed all the same")
        elif "decisions" in value:
            problems += [
                f"{name}: {one}" for one in _judged_again(folder, path.stem, value, digest, size)
            ]
        elif value.get("checks"):
            again = GateDecision.from_json(value)
            if not again.blessed:
                reasons = "; ".join(again.reasons)
                problems.append(f"{name}: does not follow from its figures: {reasons}")
        else:
            problems.append(f"{name}: neither evidence nor figures: it rests on nothing")
    return problems


def _judged_again(folder: Path, stem: str, value: dict, digest: str, size: int) -> list[str]:
    place = f"{EVIDENCE}/{stem}/{PREDICTIONS}"
    if not (folder / place / RECORD).is_file():
        return [f"{place}/{RECORD} is missing, which it rests on"]
    try:
        if rules_version(folder / place) != RULES_VERSION:
            return _as_it_says(value, digest)
        again, evidence = _record(value["gate"], folder / place)
    except RefineryError as error:
        return [str(error).replace(f"{folder}/", "")]
    problems = []
    if again.get(FILES, digest) != digest:
        problems.append("its evidence is about another model than the one that was pushed")
    weighed = evidence.costs.get(BYTES, size)
    if weighed != size:
        problems.append(f"its evidence says {weighed:,} bytes, and the version has {size:,}")
    for name in sorted(set(value) - {"evidence"}):
        if not _same(value[name], again.get(name)):
            problems.append(f"does not follow from its evidence: {name} differs")
    return problems


def _as_it_says(value: Mapping[str, Any], digest: str) -> list[str]:
    """Return what contradicts itself in a decision that this program cannot make again."""
    problems = []
    if not value["decisions"] or not all(one["passed"] is True for one in value["decisions"]):
        problems.append("does not follow from what it lists")
    if value.get(FILES, digest) != digest:
        problems.append("its evidence is about another model than the one that was pushed")
    return problems


def not_decided_again(folder: Path) -> list[str]:
    """Return a line for each decision of a bundle that another version of the rules' tests made.

    Equal evidence may be decided otherwise by now, which is no damage.
    """
    found = []
    for path in sorted((folder / EVIDENCE).glob(f"*/{PREDICTIONS}/{RECORD}")):
        version = rules_version(path.parent)
        if version != RULES_VERSION:
            name = f"{PROMOTIONS}/{folder.name}/{DECISIONS}/{path.parent.parent.name}.json"
            found.append(
                f"{name}: decided by version {version} of the tests, and this program has version "
                f"{RULES_VERSION}: not decided again"
            )
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same but for the last digits of their numbers."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) in (int, float) and type(other) in (int, float):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return type(one) is type(other) and bool(one == other)
