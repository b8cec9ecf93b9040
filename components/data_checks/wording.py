"""The words of the data gate: what each check measures, what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from components.data_checks.leakage import Leaking

Comparison = Literal["drift", "skew"]

RAISED = "raised for so few examples"
"""Part of a measure whose limit is above that of the recipe; the summary shows it."""

FIXES = (
    (
        "anomalies in",
        "correct the examples that do not fit, or edit the dataset's schema, and materialize again",
    ),
    (
        "nothing was held",
        "run the refresh under another --root, where nothing is taken over from earlier ones",
    ),
    ("examples in", "add examples, or lower refresh.data.min_examples"),
    ("examples of", "add examples of the rare classes, or lower refresh.data.min_per_class"),
    (
        "no example of",
        "add examples of the missing classes, or allow that they are missing with "
        "refresh.data.min_per_class: 0",
    ),
    (
        "none left of",
        "add examples of the classes that are gone, or set refresh.data.drift.label: null for the "
        "refresh that drops them",
    ),
    (
        "share of",
        "materialize with leakage: drop, which leaves near-duplicates of eval and test out of "
        "training, keep one of many that are alike, or raise refresh.data.max_leakage",
    ),
    (
        "leakage was not",
        "materialize with leakage: report or drop, or set refresh.data.max_leakage: null",
    ),
    (
        "drift of labels",
        "look for what changed, and if it is meant, raise refresh.data.drift.label for one refresh",
    ),
    (
        "drift of",
        "look for what changed, and if it is meant, raise refresh.data.drift.features for one "
        "refresh",
    ),
    (
        "drift could not be compared:",
        "refresh.data.on_first_run: pass accepts this dataset as the one that later ones are "
        "compared with",
    ),
    (
        "drift could not be compared with",
        "roll back to a version that keeps the profile of its dataset, or look at this dataset and "
        "let it pass with refresh.data.on_missing: pass for one refresh, whose push keeps a "
        "profile again",
    ),
    (
        "the classes",
        "if that is meant, set refresh.data.drift.label: null for the refresh that changes them",
    ),
    (
        "the last accepted dataset",
        "use another --root for it, or set refresh.data.drift: {label: null, features: null}",
    ),
    ("skew of labels", "draw the splits from the same data, or raise refresh.data.skew.label"),
    (
        "skew of",
        "draw the splits from the same data and prepare them alike, or raise "
        "refresh.data.skew.features",
    ),
)
"""How a reason begins, and what to do about it; the first that fits counts."""


def fixes_of(reasons: Sequence[str]) -> tuple[str, ...]:
    """Return what to do about the reasons of a refusal, each fix once.

    An anomaly in words has none of its own: that of their number counts.
    """
    found = (next((fix for start, fix in FIXES if one.startswith(start)), None) for one in reasons)
    return tuple(dict.fromkeys(fix for fix in found if fix is not None))


def anomalies_in(split: str) -> str:
    """Name the number of anomalies against the schema."""
    return f"anomalies in {split}"


def anomaly(split: str, words: str) -> str:
    """Say what does not fit the schema."""
    return f"{split}: {words}"


def not_examined(split: str) -> str:
    """Say that nothing compared a split with the schema."""
    return f"nothing was held against the schema in {split}"


def examples_of(split: str) -> str:
    """Name the number of originals."""
    return f"examples in {split}"


def rarest_class(name: str, split: str, few: int) -> str:
    """Name the number of examples of the rarest class, and how many classes have too few."""
    among = f" of {few:,} that have too few" if few > 1 else ""
    return f"examples of class {name!r}, the rarest{among}, in {split}"


def class_missing(name: str, split: str, before: int) -> str:
    """Say that a class has no example."""
    return f"no example of class {name!r} in {split}{_before(before)}"


def class_vanished(name: str, split: str, before: int) -> str:
    """Say that a class, which may be missing, was there before."""
    return f"none left of class {name!r} in {split}{_before(before)}"


def leakage_of(split: str, not_compared: int, gated: bool) -> str:
    """Name the share of leaking examples, and how many are so called for want of a comparison."""
    crowded = f", or not compared for too many alike ({not_compared:,})" if not_compared else ""
    note = "" if gated else " (not gated)"
    return f"share of {split} with a near-duplicate in train{crowded}{note}"


def leakage_not_measured(limit: float) -> str:
    """Say that there is a limit for what was not looked for."""
    return f"leakage was not looked for in this dataset, and refresh.data.max_leakage is {limit:g}"


def leaking_note(leaking: Mapping[str, tuple[Leaking, int]], gated: bool) -> str | None:
    """Say how many examples leak, or None where none does.

    Args:
        leaking: Split to what leaks and its number of examples.
        gated: Whether a limit holds them.
    """
    if not any(one.found or one.not_compared for one, _ in leaking.values()):
        return None
    parts = [
        f"{one.found + one.not_compared:,} of {examples:,} {split} examples"
        + (f" ({one.not_compared:,} of them not compared)" if one.not_compared else "")
        for split, (one, examples) in leaking.items()
    ]
    note = "" if gated else " (not gated)"
    return f"near-duplicates in train: {', '.join(parts)}{note}"


def other_modality(before: str, now: str) -> str:
    """Say that images follow texts, or the other way round."""
    return f"the last accepted dataset held {before}, this one holds {now}: they cannot be compared"


def other_classes(added: Sequence[str], removed: Sequence[str]) -> str:
    """Say which classes are new and which are gone."""
    parts = [f"added {' and '.join(map(repr, added))}"] if added else []
    parts += [f"removed {' and '.join(map(repr, removed))}"] if removed else []
    return f"the classes differ from those of the last accepted dataset: {', '.join(parts)}"


def distance_of(
    kind: Comparison, name: str, split: str, *, limit: float | None, raised: bool
) -> str:
    """Name a distance between train and another split, or the last accepted train."""
    where = f"in {split}" if kind == "drift" else f"between train and {split}"
    measure = "L-infinity" if name == "labels" else "JSD"
    if limit is None:
        note = ", not gated"
    elif raised:
        note = f", limit {limit:g} {RAISED}"
    else:
        note = ""
    return f"{kind} of {name} {where} ({measure}{note})"


def not_compared(state: Literal["first_run", "missing"], why: str, *, refused: bool) -> str:
    """Say that there was nothing to compare a dataset with, and why."""
    verb = "could not be compared" if refused else "was not compared"
    among = " with the last accepted dataset" if state == "missing" else ""
    return f"drift {verb}{among}: {why}"


def _before(count: int) -> str:
    return f" ({count:,} in the last accepted dataset)" if count else ""
