"""Planted leakage: which changed copies of test examples the near-duplicate guard finds."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.leakage_plants import IMAGES, TEXTS, Kind, sewn, upside_down
from benchmarks.result import Measured
from benchmarks.timing import one_core
from pipelines.dataset import near
from pipelines.dataset.images import decode_image
from pipelines.dataset.slices import split_of
from pipelines.dataset.sources import open_source
from schemas.errors import FailedError
from schemas.features import Modality
from schemas.recipe import load_recipe

SEED = 20261124
FIGURES = {
    "image_recall": ("%", "planted images found"),
    "text_recall": ("%", "planted texts found"),
    "precision": ("%", "reports of planted examples that name the original or its twin"),
    "known_negatives": ("", "known negatives reported, per 10,000"),
    "natural": ("", "reported in the raw data, per 10,000"),
    "other_class": ("%", "of these pairs, those of two classes"),
    "sketch_us": ("µs", "CPU time of a sketch"),
    "query_us": ("µs", "CPU time of a query against all of eval and test"),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured: runs, plants of each kind, and most examples per split (0: all)."""

    runs: int
    images: int
    texts: int
    most: int


@dataclass(frozen=True)
class Split:
    """Examples of one split: values, labels and keys."""

    values: Any
    labels: np.ndarray
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Guarded:
    """A dataset with its eval and test examples in an index, as a build has them.

    Attributes:
        name: The recipe.
        splits: By role.
        sketcher: For its modality.
        index: Of eval and test.
        labels: Label of every entry of the index.
        natural: What the untouched training examples are reported against.
        twins: By row of test, the entries that the untouched example is reported against:
            itself, and what nearly equals it in the raw data.
    """

    name: str
    splits: dict[str, Split]
    sketcher: near.Sketcher
    index: near.Index
    labels: np.ndarray
    natural: near.Matches
    twins: list[frozenset[int]]


def measure(*, quick: bool) -> Measured:
    """Measure on CIFAR-10 and IMDB where ``TFDS_DATA_DIR`` has them, else on the sample data."""
    size = Size(runs=5, images=2000, texts=1000, most=0)
    if quick:
        size = Size(runs=2, images=200, texts=50, most=1500)
    figures: dict[str, Any] = {key: {} for key in FIGURES}
    conditions: dict[str, str] = {}
    with one_core():
        for modality, kinds in (("image", IMAGES), ("text", TEXTS)):
            guarded = _guarded(modality, size.most)
            _measure(figures, guarded, modality, kinds, size)
            conditions[f"{modality}s"] = _described(guarded, kinds, size)
    return Measured(
        runs=figures,
        conditions=conditions | _definitions(quick=quick),
        seeds={"plants": SEED},
    )


def _measure(
    figures: dict[str, Any],
    guarded: Guarded,
    modality: Modality,
    kinds: dict[str, Kind],
    size: Size,
) -> None:
    recall: dict[str, list[float]] = {kind: [] for kind in kinds}
    precision, false, sketching, querying = [], [], [], []
    for run in range(size.runs):
        right = wrong = 0
        for i, (name, kind) in enumerate(kinds.items()):
            rng = np.random.default_rng([SEED, run, i])
            found, good, bad = _plant(guarded, kind, rng, getattr(size, f"{modality}s"))
            recall[name].append(found)
            right, wrong = right + good, wrong + bad
        precision.append(100 * right / max(right + wrong, 1))
        false.append(_known_negatives(guarded, modality, np.random.default_rng([SEED, run])))
        some = _first(guarded.splits["train"].values, 4 * getattr(size, f"{modality}s"))
        sketches, seconds = _timed(lambda some=some: guarded.sketcher.sketch(some))
        sketching.append(seconds / len(some) * 1e6)
        _, seconds = _timed(lambda sketches=sketches: guarded.index.query(sketches))
        querying.append(seconds / len(some) * 1e6)
    figures[f"{modality}_recall"] = recall
    part = f"{modality}s"
    figures["precision"][part] = precision
    negatives = {"image": "images, test upside down", "text": "texts, sewn from 8 test texts"}
    figures["known_negatives"][negatives[modality]] = false
    for name, natural in _natural(guarded).items():
        figures["natural"][f"{name} {part}"] = [natural]
    figures["other_class"][part] = [_other_class(guarded)]
    figures["sketch_us"][part] = sketching
    figures["query_us"][part] = querying


def _plant(
    guarded: Guarded, kind: Kind, rng: np.random.Generator, count: int
) -> tuple[float, int, int]:
    """Return the percentage of plants found, and how many reports name a twin or something else."""
    test = guarded.splits["test"]
    rows = np.sort(rng.permutation(len(test.keys))[:count])
    changed = kind.make(_take(test.values, rows), rng)
    matches = guarded.index.query(guarded.sketcher.sketch(changed))
    right = [
        int(position) in guarded.twins[rows[row]]
        for row, position in zip(matches.rows, matches.positions, strict=True)
    ]
    found = np.unique(matches.rows[np.array(right, bool)])
    return 100 * len(found) / len(rows), sum(right), len(right) - sum(right)


def _known_negatives(guarded: Guarded, modality: Modality, rng: np.random.Generator) -> float:
    """Return reported examples per 10,000 where no near-duplicate can be."""
    sketch, test = guarded.sketcher.sketch, guarded.splits["test"]
    if modality == "image":
        decoys, asked = upside_down(test.values), _first(guarded.splits["train"].values, 20_000)
    else:
        some = _take(test.values, np.sort(rng.permutation(len(test.keys))[:2000]))
        decoys, asked = sewn(some, rng), some
    keys = tuple(f"{i:08d}" for i in range(len(decoys)))
    entries = near.Entries(sketch(decoys), ("test",) * len(keys), keys)
    reported = near.Index.of(guarded.sketcher, entries).matched(sketch(asked))
    return 1e4 * float(reported.mean())


def _natural(guarded: Guarded) -> dict[str, float]:
    """Return what the raw data has, per 10,000.

    Training examples with a near-duplicate in eval or test, test examples with one in training.
    """
    matches, index = guarded.natural, guarded.index
    training = len(np.unique(matches.rows)) / len(guarded.splits["train"].keys)
    # Of equal entries a match names the first: all of its group have the same near-duplicates.
    groups = np.unique(index.group[matches.positions])
    test = np.array([split == "test" for split in index.entries.splits])
    reached = np.isin(index.group, groups) & test
    return {"training": 1e4 * training, "test": 1e4 * float(reached.sum() / test.sum())}


def _other_class(guarded: Guarded) -> float:
    """Return the percentage of natural pairs that have two classes."""
    matches = guarded.natural
    other = guarded.splits["train"].labels[matches.rows] != guarded.labels[matches.positions]
    return 100 * float(other.mean()) if len(other) else 0.0


def _guarded(modality: Modality, most: int) -> Guarded:
    """Read a dataset, at most so many examples of a split (0: all), and index eval and test."""
    data = os.environ.get("TFDS_DATA_DIR")
    real, sample, folder = {
        "image": ("cifar10", "digits", "cifar10"),
        "text": ("imdb", "reviews_sample", "imdb_reviews"),
    }[modality]
    name = real if data and (Path(data) / folder).is_dir() else sample
    splits = _read(name, most)
    sketcher = near.sketcher(modality)
    held = {role: sketcher.sketch(splits[role].values) for role in ("eval", "test")}
    parts = [near.Entries(held[r], (r,) * len(held[r]), splits[r].keys) for r in held]
    index = near.Index.of(sketcher, near.Entries.merged(parts))
    known = {
        (role, key): label
        for role in held
        for key, label in zip(splits[role].keys, splits[role].labels, strict=True)
    }
    entries = index.entries
    labels = np.array([known[one] for one in zip(entries.splits, entries.keys, strict=True)])
    matches = index.query(held["test"])
    twins: list[set[int]] = [set() for _ in held["test"]]
    for row, position in zip(matches.rows, matches.positions, strict=True):
        twins[row].add(int(position))
    if not all(twins):
        raise FailedError("an untouched test example was not reported against itself.")
    natural = index.query(sketcher.sketch(splits["train"].values))
    every = [frozenset(one) for one in twins]
    return Guarded(name, splits, sketcher, index, labels, natural, every)


def _read(name: str, most: int) -> dict[str, Split]:
    recipe = load_recipe(name).recipe
    source = open_source(recipe)
    found: dict[str, tuple[list[Any], list[int], list[str]]] = {
        role: ([], [], []) for role in ("train", "eval", "test")
    }
    for split in filter(None, (recipe.splits.train, recipe.splits.test)):
        wanted = {"test"} if split == recipe.splits.test else {"train", "eval", "test"}
        for record in source.read(split, 0, source.sizes[split]):
            values, labels, keys = found[split_of(record.key, split, recipe.splits)]
            if not most or len(keys) < most:
                values.append(_decoded(record.value, recipe.modality))
                labels.append(record.label)
                keys.append(record.key)
            elif all(len(found[role][2]) >= most for role in wanted):
                break
    return {
        role: Split(np.stack(v) if recipe.modality == "image" else v, np.array(y), tuple(k))
        for role, (v, y, k) in found.items()
    }


def _decoded(value: Any, modality: Modality) -> Any:
    if isinstance(value, bytes):
        return decode_image(value, 3) if modality == "image" else value.decode("utf-8")
    return value


def _take(values: Any, rows: np.ndarray) -> Any:
    return [values[i] for i in rows] if isinstance(values, list) else values[rows]


def _first(values: Any, count: int) -> Any:
    return values[:count]


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its median CPU time over three calls."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        value = call()
        seconds.append(time.process_time() - start)
    return value, statistics.median(seconds)


def _described(guarded: Guarded, kinds: dict[str, Kind], size: Size) -> str:
    counts = ", ".join(f"{len(one.keys):,} {role}" for role, one in guarded.splits.items())
    every = "; ".join(f"{name}: {kind.summary}" for name, kind in kinds.items())
    planted = min(size.images if kinds is IMAGES else size.texts, len(guarded.splits["test"].keys))
    return f"{guarded.name} ({counts}), {planted:,} test examples of each kind planted. {every}"


def _definitions(*, quick: bool) -> dict[str, str]:
    return {
        "runs": "draws of test examples and of changes; natural pairs are counted once"
        + (", few of each (--quick)" if quick else ""),
        "found": (
            "the changed copy, as a training example, is reported against its original (or against "
            "an eval or test example that the untouched original is itself reported against)"
        ),
        "content alone": (
            "the parent of a stored copy is not used here; a build asks for it first, so that "
            "copies that the policies made of a leaked example need not be recognised"
        ),
        "precision": (
            "over all reports of planted examples, the policies' included: wrong is a partner that "
            "the untouched original is not reported against"
        ),
        "known negatives": (
            "training images against the test images turned upside down; test reviews against "
            "texts sewn from an eighth of each of eight of them"
        ),
        "by eye": (
            "of 200 reported CIFAR-10 training images, drawn outside clusters of many copies, 6 "
            "showed, or may show, another picture than their best match (aeroplanes in the sky)"
        ),
        "thresholds": (
            "chosen on the training splits of CIFAR-10 and IMDB; every plant comes from test"
        ),
        "left out": "back-translation as a paraphrase: Apertium is not installed here",
    }
