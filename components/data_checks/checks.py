"""Hold a dataset against its limits and against the last accepted one: the decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from components.data_checks import wording
from components.data_checks.distances import Distance, by_chance, jensen_shannon, l_infinity
from components.data_checks.leakage import Leaking, leaking_examples
from components.data_checks.previous import Previous
from components.data_checks.profiles import DatasetProfile, SplitProfile, profile
from schemas.data_gates import DataGates, Drift, Skew, limit_of
from schemas.manifest import SPLITS, load_manifest
from schemas.report import Check, GateDecision

GATE = "data"
_NO_LIMIT = 1.0
_ABOUT = {"image": "images", "text": "texts"}


def check_dataset(
    *,
    dataset: Path,
    anomalies: Mapping[str, tuple[int, Sequence[str]]],
    gates: DataGates,
    previous: Previous,
) -> tuple[DatasetProfile, GateDecision]:
    """Profile a dataset and decide whether anything may be trained on it.

    A figure without a limit is noted beside the limit 1, which no share or distance exceeds.

    Args:
        dataset: Folder of a finished dataset.
        anomalies: Split to the number of examples that were held against the schema and the
            anomalies found, in words (`components.evidence.split_anomalies`).
        gates: The limits.
        previous: The last accepted dataset.

    Returns:
        The profile, which the next dataset is compared with, and the decision of the gate ``data``.

    Raises:
        InputError: the dataset cannot be read.
    """
    manifest = load_manifest(dataset)
    found = profile(dataset)
    leaking = _leaking_of(found, leaking_examples(dataset, manifest))
    notes = []
    if leaking and (line := wording.leaking_note(leaking, gates.max_leakage is not None)):
        notes.append(line)
    checks: list[Check] = []
    problems: list[str] = []
    for part in (
        _anomalies(anomalies, found),
        _examples(found, gates),
        _classes(found, gates, previous.profile),
        _leakage(gates, leaking),
        _drift(found, gates.drift, previous.profile),
        _skew(found, gates.skew),
    ):
        for one in part:
            if isinstance(one, Check):
                checks.append(one)
            else:
                problems.append(one)
    if previous.state != "present":
        refused = _refused_without(gates, previous)
        line = wording.not_compared(previous.state, previous.why, refused=refused)
        (problems if refused else notes).append(line)
    decision = GateDecision(
        gate=GATE, checks=tuple(checks), problems=tuple(problems), notes=tuple(notes)
    )
    return found, dataclasses.replace(decision, fixes=wording.fixes_of(decision.reasons))


def _leaking_of(
    found: DatasetProfile, leaking: Mapping[str, Leaking] | None
) -> dict[str, tuple[Leaking, int]] | None:
    """Return what leaks of each split that has examples, with their number."""
    if leaking is None:
        return None
    counts = {split: found.splits[split].examples for split in leaking}
    return {split: (one, counts[split]) for split, one in leaking.items() if counts[split]}


def _refused_without(gates: DataGates, previous: Previous) -> bool:
    """Whether the gates refuse where there is nothing to compare with."""
    if previous.state == "missing":
        return gates.on_missing == "refuse" and gates.drift.limited
    return gates.on_first_run == "refuse"


Findings = Iterator[Check | str]
"""Checks, and problems in words."""


def _anomalies(
    anomalies: Mapping[str, tuple[int, Sequence[str]]], found: DatasetProfile
) -> Findings:
    for split, (examples, words) in sorted(anomalies.items()):
        yield Check(
            measure=wording.anomalies_in(split),
            kind="at_most",
            limit=0,
            value=len(words),
            examples=examples,
        )
        yield from (wording.anomaly(split, one) for one in words)
    for split in SPLITS:
        examined = anomalies[split][0] if split in anomalies else 0
        if found.splits[split].examples and not examined:
            yield wording.not_examined(split)


def _examples(found: DatasetProfile, gates: DataGates) -> Findings:
    for split in SPLITS:
        yield Check(
            measure=wording.examples_of(split),
            kind="at_least",
            limit=gates.least_examples(split),
            value=found.splits[split].examples,
        )


def _classes(found: DatasetProfile, gates: DataGates, previous: DatasetProfile | None) -> Findings:
    """Yield the rarest class that is there, and every class that is not."""
    for split in SPLITS:
        part = found.splits[split]
        if not part.examples:  # too few examples, which is said already
            continue
        there = {name: count for name, count in part.classes.items() if count}
        rarest = min(there, key=lambda name: (there[name], name))
        few = sum(count < gates.min_per_class for count in there.values())
        yield Check(
            measure=wording.rarest_class(rarest, split, few),
            kind="at_least",
            limit=gates.min_per_class,
            value=there[rarest],
        )
        earlier = previous.splits[split].classes if previous else {}
        for name in sorted(part.classes.keys() - there.keys()):
            before = earlier.get(name, 0)
            if gates.min_per_class:
                yield wording.class_missing(name, split, before)
            elif before and split == "train" and gates.drift.label is not None:
                yield wording.class_vanished(name, split, before)


def _leakage(gates: DataGates, leaking: Mapping[str, tuple[Leaking, int]] | None) -> Findings:
    if leaking is None:
        if gates.max_leakage is not None:
            yield wording.leakage_not_measured(gates.max_leakage)
        return
    gated = gates.max_leakage is not None
    for split, (count, examples) in leaking.items():
        yield Check(
            measure=wording.leakage_of(split, count.not_compared, gated),
            kind="at_most",
            limit=gates.max_leakage if gates.max_leakage is not None else _NO_LIMIT,
            value=(count.found + count.not_compared) / examples,
            examples=examples,
        )


def _drift(found: DatasetProfile, limits: Drift, previous: DatasetProfile | None) -> Findings:
    if previous is None:
        return
    if previous.modality != found.modality:
        if limits.limited:
            yield wording.other_modality(_ABOUT[previous.modality], _ABOUT[found.modality])
        return
    added = sorted(set(found.classes) - set(previous.classes))
    removed = sorted(set(previous.classes) - set(found.classes))
    if (added or removed) and limits.label is not None:
        yield wording.other_classes(added, removed)
    yield from _compared(
        "drift",
        "train",
        previous.splits["train"],
        found.splits["train"],
        limits,
        labels=not (added or removed),
    )


def _skew(found: DatasetProfile, limits: Skew) -> Findings:
    for split in ("eval", "test"):
        yield from _compared(
            "skew",
            split,
            found.splits["train"],
            found.splits[split],
            limits,
            labels=True,
        )


def _compared(
    kind: wording.Comparison,
    split: str,
    base: SplitProfile,
    new: SplitProfile,
    limits: Drift | Skew,
    *,
    labels: bool,
) -> Findings:
    if not base.examples or not new.examples:
        return
    if labels:
        names = sorted(base.classes.keys() | new.classes.keys())
        counts = [[part.classes.get(name, 0) for name in names] for part in (base, new)]
        yield _distance(kind, "labels", split, counts, limits.label, new.examples)
    for name in new.features:
        counts = [list(part.features[name]) for part in (base, new)]
        limit = limit_of(limits, name)
        yield _distance(kind, name, split, counts, limit, new.profiled)


def _distance(
    kind: wording.Comparison,
    name: str,
    split: str,
    counts: Sequence[Sequence[int]],
    limit: float | None,
    examples: int,
) -> Check:
    """Compare two histograms; where chance alone may reach the limit, it is raised to that."""
    distance: Distance = l_infinity if name == "labels" else jensen_shannon
    before, after = (np.asarray(one, np.int64) for one in counts)
    chance = 0.0 if limit is None else _rounded(by_chance(before, after, distance))
    raised = limit is not None and chance > limit
    return Check(
        measure=wording.distance_of(kind, name, split, limit=limit, raised=raised),
        kind="at_most",
        limit=_NO_LIMIT if limit is None else max(limit, chance),
        value=_rounded(distance(before, after)),
        examples=examples,
    )


def _rounded(distance: float | np.ndarray) -> float:
    """Drop the digits in which logarithms of different machines may differ."""
    return round(float(distance), 9)
