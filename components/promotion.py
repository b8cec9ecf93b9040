"""Gather, from what the pipeline's nodes left, everything that a push has to show for itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components import evidence
from components.gate import decide, decide_data
from components.serving.bundle import Decision, Promotion
from schemas.refresh import Thresholds

_STAGE_REPORT = "stage.json"
SIZE_DECISION = "decision.json"


def gather(
    *,
    about: Mapping[str, Any],
    thresholds: Thresholds,
    split: str,
    dataset: Path | None,
    stages: Sequence[Path],
    order: Sequence[str],
    found: Mapping[str, Path],
) -> Promotion:
    """Return what goes into the bundle of the model that is pushed.

    Args:
        about: Recipe, profile, digests and versions.
        thresholds: What the gates held the model against.
        split: Name of the split that was evaluated.
        dataset: Manifest of the dataset.
        stages: Model directories, in any order.
        order: Names of the stages in order.
        found: Folders by name: ``anomalies`` and ``statistics``, ``evaluation``, ``size``.
    """
    decisions = []
    if {"anomalies", "statistics"} <= set(found):
        folders = {name: found[name] for name in ("anomalies", "statistics")}
        data = decide_data(evidence.split_anomalies(folders["anomalies"], folders["statistics"]))
        decisions.append(Decision(record=data.to_json(), evidence=folders))
    if "evaluation" in found:
        scores = evidence.eval_report(found["evaluation"], split=split)
        decisions.append(
            Decision(
                record=decide(scores, thresholds).to_json(),
                evidence={"evaluation": found["evaluation"]},
            )
        )
    if "size" in found:
        text = (found["size"] / SIZE_DECISION).read_text("utf-8")
        decisions.append(Decision(record=json.loads(text)))
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
