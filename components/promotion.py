"""Gather, from what the pipeline's nodes left, everything that a push has to show for itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.acceptance.predictions import FILES
from components.data_checks.store import DECISION
from components.data_checks.store import PROFILE as PROFILE_FILE
from components.serving.bundle import Decision, Promotion
from components.serving.decisions import judged
from schemas.canonical import digest
from schemas.errors import FailedError

_STAGE_REPORT = "stage.json"
DATA, ACCURACY, SIZE = "data", "accuracy", "size"
PROFILE = "profile"
"""Names of the gates, and of the data gate's evidence that the next refresh compares with."""
JUDGED_SPLIT, CANDIDATE = "judged_split", "candidate"
"""What the accuracy gate says on its blessing, so that the uses of a test split are counted."""


def identity_of(model: Path, same_when: Mapping[str, str]) -> str:
    """Return what a candidate is: its weights, and what decided how they are exported.

    Two exports of one network have other bytes: TensorFlow numbers functions as it meets them.

    Args:
        model: The model directory.
        same_when: Digests of the dataset and of the code that exports.
    """
    weights = json.loads((model / _STAGE_REPORT).read_text("utf-8"))["digest"]
    return digest({"model": weights, **same_when})


def gather(
    *,
    about: Mapping[str, Any],
    dataset: Path | None,
    stages: Sequence[Path],
    order: Sequence[str],
    found: Mapping[str, Path],
) -> Promotion:
    """Return what goes into the bundle of the model that is pushed.

    Args:
        about: Recipe, profile, digests and versions.
        dataset: Manifest of the dataset.
        stages: Model directories, in any order.
        order: Names of the stages in order.
        found: Folders by name: ``data`` (decision and profile), ``anomalies`` and ``statistics``
            that it rests on, ``evaluation`` (TFMA's), ``accuracy`` and ``size`` (decisions with
            their evidence).

    Raises:
        FailedError: evidence was changed, does not give its decision, or does not name the files
            that were judged.
    """
    decisions = []
    if DATA in found:
        record = json.loads((found[DATA] / DECISION).read_text("utf-8"))
        kept = {name: found[name] for name in ("anomalies", "statistics") if name in found}
        kept[PROFILE] = found[DATA] / PROFILE_FILE
        decisions.append(Decision(record=record, evidence=kept))
    if ACCURACY in found:
        beside = {"evaluation": found["evaluation"]} if "evaluation" in found else {}
        decisions.append(_about_files(judged(ACCURACY, found[ACCURACY], beside=beside)))
    if SIZE in found:
        decisions.append(_about_files(judged(SIZE, found[SIZE])))
    reports = [path / _STAGE_REPORT for path in stages]
    place = {name: number for number, name in enumerate(order)}
    reports.sort(key=lambda path: place[json.loads(path.read_text("utf-8"))["name"]])
    return Promotion(
        about=about,
        dataset=dataset,
        stages=reports,
        decisions=decisions,
        reason="passed every gate",
    )


def _about_files(decision: Decision) -> Decision:
    """Return a decision that names the files it was made on: `components.push` compares them."""
    if FILES not in decision.record:
        raise FailedError(
            f"the evidence of the gate {decision.record['gate']!r} does not say which files it is "
            "about: run the refresh again with the program that pushes"
        )
    return decision
