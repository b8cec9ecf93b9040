"""A decision and its evidence as files, from which it can be computed again.

Layout: ``decisions.json`` with rules, costs, digests and verdicts, and one Parquet table of
predictions per model: ``candidate/NAME.parquet``, ``live/NAME.parquet``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.acceptance.decisions import Decision, agree
from components.acceptance.evidence import Evidence, LiveEvidence
from components.acceptance.judge import decide
from components.acceptance.predictions import Predictions, read_predictions, write_predictions
from components.acceptance.rules import RULES_VERSION, Rule, rule_from_json, rule_to_json
from components.tree import write_text
from schemas.errors import FailedError, InputError

RECORD = "decisions.json"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_evidence(
    folder: Path, rules: Sequence[Rule], evidence: Evidence, decisions: Sequence[Decision]
) -> None:
    """Write everything that ``decide(rules, evidence)`` looked at, the record last.

    Raises:
        InputError: a table's name is no file name (lower-case letters, digits and _).
    """
    record = {
        "rules_version": RULES_VERSION,
        "rules": [rule_to_json(rule) for rule in rules],
        "candidate": _write_tables(folder / "candidate", evidence.tables),
        "live": _write_tables(folder / "live", evidence.live.tables),
        "live_state": evidence.live.state,
        "live_why": evidence.live.why,
        "costs": {
            name: list(cost) if isinstance(cost, Sequence) else cost
            for name, cost in sorted(evidence.costs.items())
        },
        "decisions": [decision.to_json() for decision in decisions],
        "files": evidence.files,
    }
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(folder / RECORD, text + "\n")


def read_evidence(folder: Path) -> tuple[tuple[Rule, ...], Evidence, tuple[Decision, ...]]:
    """Return the rules, the evidence and the decisions that `write_evidence` wrote.

    Raises:
        FailedError: a file is missing, unreadable, or not the one that was written.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text("utf-8"))
        evidence = Evidence(
            tables=_read_tables(folder / "candidate", record["candidate"]),
            costs={
                name: tuple(cost) if isinstance(cost, list) else cost
                for name, cost in record["costs"].items()
            },
            live=LiveEvidence(
                state=record["live_state"],
                tables=_read_tables(folder / "live", record["live"]),
                why=record["live_why"],
            ),
            files=record.get("files"),
        )
        rules = tuple(rule_from_json(one) for one in record["rules"])
        decisions = tuple(Decision.from_json(one) for one in record["decisions"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FailedError(f"{path}: no readable record of a decision ({error})") from error
    return rules, evidence, decisions


def rules_version(folder: Path) -> int:
    """Return by which version of the rules' tests the evidence of a folder was decided.

    Raises:
        FailedError: the record is missing or unreadable.
    """
    path = folder / RECORD
    try:
        version = json.loads(path.read_text("utf-8")).get("rules_version", 0)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise FailedError(f"{path}: no readable record of a decision ({error})") from error
    if type(version) is not int:
        raise FailedError(f"{path}: rules_version is a whole number, not {version!r}")
    return version


def recompute(folder: Path) -> tuple[Decision, ...]:
    """Decide again from the stored evidence, and return the decisions; see `decided_again`."""
    return decided_again(folder)[2]


def decided_again(folder: Path) -> tuple[tuple[Rule, ...], Evidence, tuple[Decision, ...]]:
    """Return rules and evidence as stored, and what follows from them.

    Raises:
        FailedError: the evidence was changed, or does not give the decisions that were stored;
            the message names the first that differs.
    """
    rules, evidence, stored = read_evidence(folder)
    again = decide(rules, evidence)
    if len(again) != len(stored):
        raise FailedError(
            f"{folder / RECORD}: its evidence gives {len(again)} decisions, stored are "
            f"{len(stored)}"
        )
    for new, old in zip(again, stored, strict=True):
        if not agree(new, old):
            raise FailedError(
                f"{folder / RECORD}: the evidence does not give the stored decision "
                f"{old.name!r}: {old.outcome} was stored, {new.outcome} follows ({new.reason})"
            )
    return rules, evidence, again


def _write_tables(folder: Path, tables: Mapping[str, Predictions]) -> dict[str, str]:
    for name in tables:
        if not _NAME.fullmatch(name):
            raise InputError(f"a table's name must be letters, digits and _, not {name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_predictions(table, folder / f"{name}.parquet")
    return {name: table.digest for name, table in sorted(tables.items())}


def _read_tables(folder: Path, digests: Mapping[str, str]) -> dict[str, Predictions]:
    found = {}
    for name, digest in digests.items():
        if not _NAME.fullmatch(name):
            raise FailedError(f"{folder}: {name!r} is no name of a table")
        found[name] = read_predictions(folder / f"{name}.parquet")
        if found[name].digest != digest:
            raise FailedError(
                f"{folder / name}.parquet: it is another table than the one that was decided on"
            )
    return found
