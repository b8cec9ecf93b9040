"""The words of the data gate: what each check measures, what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from schemas.report import Check, GateDecision

Comparison = Literal["drift", "skew"]

NOT_COMPARED = "drift not compared"
"""Part of a measure where there was nothing to compare with; the report shows it."""

FIXES = (
    ("anomalies in", "repair those examples, or the dataset's schema"),
    ("examples in", "add examples, or lower data.min_examples"),
    ("examples of", "add examples of it, or lower data.min_per_class"),
    (
        "share of",
        "materialize with leakage: drop, which leaves them out of training, keep one of many that "
        "are alike, or raise data.max_leakage",
    ),
    ("drift of labels", "look for what changed; if it is meant, raise data.drift.label"),
    ("drift of", "look for what changed; if it is meant, raise data.drift.features"),
    ("skew of labels", "draw the splits from the same data, or raise data.skew.label"),
    (
        "skew of",
        "draw the splits from the same data and prepare them alike, or raise data.skew.features",
    ),
    (
        "earlier datasets",
        "data.on_first_run: pass accepts this dataset as the one that later ones are compared with",
    ),
    (
        "profiles of",
        "roll back to a version that keeps one; or look at this dataset and let it pass by "
        "data.on_missing: pass for one refresh, whose push keeps a profile again",
    ),
)
"""How a measure begins, and what to do where it misses its limit; the first that fits counts."""


def refusal(decision: GateDecision) -> str:
    """Return every reason of a refusal, each with what to do; empty where it is blessed."""
    missed = [
        f"{check.describe()} ({_fix_of(check)})" for check in decision.checks if not check.passed
    ]
    return "; ".join([*missed, *decision.problems])


def _fix_of(check: Check) -> str:
    return next(fix for start, fix in FIXES if check.measure.startswith(start))


def anomalies_in(split: str) -> str:
    """Name the number of anomalies against the schema."""
    return f"anomalies in {split}"


def anomaly(split: str, words: str) -> str:
    """Say what does not fit the schema."""
    return f"{split}: {words}"


def not_examined(split: str) -> str:
    """Say that nothing compared a split with the schema."""
    return f"{split}: its examples were not held against the schema; run the validation again"


def examples_of(split: str) -> str:
    """Name the number of originals."""
    return f"examples in {split}"


def rarest_class(name: str, split: str, few: int) -> str:
    """Name the number of examples of the rarest class, and how many classes have too few."""
    among = f" of {few:,} that have too few" if few > 1 else ""
    return f"examples of class {name!r}, the rarest{among}, in {split}"


def class_missing(name: str, split: str, before: int) -> str:
    """Say that a class has no example."""
    return (
        f"class {name!r} has no example in {split}{_before(before)}; add some, or allow it with "
        "data.min_per_class: 0"
    )


def class_vanished(name: str, split: str, before: int) -> str:
    """Say that a class, which may be missing, was there before."""
    return (
        f"class {name!r} has no example in {split}{_before(before)}; add some, or switch the "
        "comparison of labels off with data.drift.label: null"
    )


def leakage_of(split: str, not_compared: int, gated: bool) -> str:
    """Name the share of leaking examples, and how many are so called for want of a comparison."""
    crowded = f", or not compared for too many alike ({not_compared:,})" if not_compared else ""
    note = "" if gated else " (not gated)"
    return f"share of {split} with a near-duplicate in train{crowded}{note}"


def leakage_not_measured(limit: float) -> str:
    """Say that there is a limit for what was not looked for."""
    return (
        f"data.max_leakage is {limit:g}, but leakage was not looked for in this dataset; "
        "materialize with leakage: report or drop, or remove the limit"
    )


def other_modality(before: str, now: str) -> str:
    """Say that images follow texts, or the other way round."""
    return (
        f"the last accepted dataset held {before}, this one holds {now}: they cannot be compared; "
        "use another root for it, or set data.drift: {label: null, features: null}"
    )


def other_classes(added: Sequence[str], removed: Sequence[str]) -> str:
    """Say which classes are new and which are gone."""
    parts = [f"added {', '.join(map(repr, added))}"] if added else []
    parts += [f"removed {', '.join(map(repr, removed))}"] if removed else []
    return (
        f"the classes differ from those of the last accepted dataset: {'; '.join(parts)}; if that "
        "is meant, set data.drift.label: null for the refresh that introduces them"
    )


def distance_of(
    kind: Comparison, name: str, split: str, *, limit: float | None, raised: bool
) -> str:
    """Name a distance between train and another split, or the last accepted train."""
    where = f"in {split}" if kind == "drift" else f"between train and {split}"
    measure = "L-infinity" if name == "labels" else "JSD"
    if limit is None:
        note = ", not gated"
    elif raised:
        note = f", limit {limit:g} raised for so few examples"
    else:
        note = ""
    return f"{kind} of {name} {where} ({measure}{note})"


def earlier_datasets(state: Literal["present", "first_run", "missing"], why: str) -> str:
    """Name the number of earlier datasets; where there is none, say that drift was not compared."""
    compared = "earlier datasets compared with"
    if state == "present":
        return compared
    what = "profiles of the last accepted dataset" if state == "missing" else compared
    return f"{what} ({NOT_COMPARED}: {why})"


def _before(count: int) -> str:
    return f" ({count:,} in the last accepted dataset)" if count else ""
