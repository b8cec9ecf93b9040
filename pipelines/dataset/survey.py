"""The global pass: counts, channel statistics, vocabulary, duplicates and near-duplicates.

Sums are exact integers and ties are broken by text, so no order of merging changes a digit.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import apache_beam as beam
import numpy as np

from pipelines.augment.text import ngrams
from pipelines.dataset import near
from pipelines.dataset.balance import ranks_of
from pipelines.dataset.slices import Examples, Job, SliceData
from schemas.features import Modality
from schemas.text import OOV, tokens

_BUCKETS = 64
_SHOWN_GROUPS = 100
_CHUNK = 256
_BLOCK = 100_000
"""Examples whose sketches are compared in one place, about."""

Hashes = list[tuple[bytes, str, str]]


@dataclass
class Totals:
    """What adds up over slices.

    Attributes:
        classes: Examples per (split, label).
        pixels: Number of pixels of training images.
        sums: Sum of each channel over training images, grey levels 0 to 255.
        squares: Sum of squares of each channel.
        words: Training words and how often they occur.
        ranks: Label to the ranks of its training examples, where classes are to end level.
        sentences: Sample of the training sentences, where language models are asked for.
        reference: Sketches of the eval and test examples, where leakage is looked for.
    """

    classes: Counter[tuple[str, int]] = field(default_factory=Counter)
    pixels: int = 0
    sums: tuple[int, ...] = ()
    squares: tuple[int, ...] = ()
    words: Counter[str] = field(default_factory=Counter)
    ranks: dict[int, list[np.ndarray]] = field(default_factory=dict)
    sentences: list[ngrams.Counts] = field(default_factory=list)
    reference: list[near.Entries] = field(default_factory=list)

    def add(self, other: Totals) -> None:
        """Add the totals of other slices to these."""
        self.classes.update(other.classes)
        self.pixels += other.pixels
        self.sums = _added(self.sums, other.sums)
        self.squares = _added(self.squares, other.squares)
        self.words.update(other.words)
        for label, ranks in other.ranks.items():
            self.ranks[label] = [*self.ranks.get(label, []), *ranks]
        self.reference = [*self.reference, *other.reference]
        if other.sentences:
            self.sentences = [ngrams.merge([*self.sentences, *other.sentences])]


@dataclass(frozen=True)
class Findings:
    """What one slice tells.

    Attributes:
        totals: What adds up.
        hashes: (content hash, split, key) of each example.
        sketches: Its examples for the search of near-duplicates, by place (`near.spread`).
    """

    totals: Totals
    hashes: Hashes
    sketches: dict[tuple[int, int], near.Entries] = field(default_factory=dict)


def survey_slice(job: Job, data: SliceData) -> Findings:
    """Return what a slice tells."""
    totals = Totals()
    hashes: Hashes = []
    for split, examples in data.splits.items():
        totals.classes.update((split, int(label)) for label in examples.labels)
        pairs = zip(examples.values, examples.keys, strict=True)
        hashes += [(_content_hash(value), split, key) for value, key in pairs]
        if split == "train":
            _add_training(job, totals, examples)
    if job.leakage == "off":
        return Findings(totals, hashes)
    modality = job.schema.modality
    sketched = {
        split: _entries(modality, split, examples)
        for split, examples in data.splits.items()
        if len(examples)
    }
    totals.reference = [one for split, one in sketched.items() if split != "train"]
    entries = near.Entries.merged(list(sketched.values()))
    return Findings(totals, hashes, near.spread(entries, _blocks(job)))


def find_duplicates(hashes: Iterable[tuple[bytes, str, str]]) -> list[list[tuple[str, str]]]:
    """Return the groups of equal examples: lists of at least two sorted (split, key)."""
    groups: dict[bytes, list[tuple[str, str]]] = {}
    for content, split, key in hashes:
        groups.setdefault(content, []).append((split, key))
    return [sorted(group) for group in groups.values() if len(group) > 1]


def statistics(job: Job, totals: Totals, groups: Iterable[list[tuple[str, str]]]) -> dict[str, Any]:
    """Return what ``survey.json`` says of the originals."""
    names = job.schema.label_names
    splits = sorted({split for split, _ in totals.classes})
    ordered = sorted(groups)
    survey: dict[str, Any] = {
        "examples": {s: sum(totals.classes[s, i] for i in range(len(names))) for s in splits},
        "classes": {
            s: {name: totals.classes[s, i] for i, name in enumerate(names)} for s in splits
        },
        "duplicates": {
            "groups": len(ordered),
            "examples": sum(len(group) for group in ordered),
            "groups_across_splits": sum(len({s for s, _ in group}) > 1 for group in ordered),
            "first_groups": [[key for _, key in group] for group in ordered[:_SHOWN_GROUPS]],
        },
    }
    if totals.pixels:
        n = totals.pixels
        pairs = list(zip(totals.sums, totals.squares, strict=True))
        survey["channel_mean"] = [float(Fraction(s, n)) for s, _ in pairs]
        survey["channel_std"] = [math.sqrt(Fraction(n * q - s * s, n * n)) for s, q in pairs]
    if job.schema.modality == "text":
        survey["distinct_words"] = len(totals.words)
        survey["words"] = sum(totals.words.values())
    return survey


def vocabulary(totals: Totals, size: int) -> list[str]:
    """Return ``<OOV>`` and the most frequent training words, at most ``size`` entries in all."""
    ranked = sorted(totals.words.items(), key=lambda one: (-one[1], one[0]))
    return [OOV, *(word for word, _ in ranked[: size - 1])]


class MergeTotals(beam.CombineFn):  # type: ignore[misc]
    """Adds up `Totals`."""

    def create_accumulator(self) -> Totals:
        """Start from nothing."""
        return Totals()

    def add_input(self, mutable_accumulator: Totals, element: Totals) -> Totals:
        """Add one slice."""
        mutable_accumulator.add(element)
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[Totals]) -> Totals:
        """Add partial sums."""
        merged = Totals()
        for one in accumulators:
            merged.add(one)
        return merged

    def extract_output(self, accumulator: Totals) -> Totals:
        """Return the sums."""
        return accumulator


def by_bucket(hashes: Hashes) -> dict[int, Hashes]:
    """Return the hashes in groups such that equal examples of any slice share a bucket."""
    buckets: dict[int, Hashes] = {}
    for one in hashes:
        buckets.setdefault(one[0][0] % _BUCKETS, []).append(one)
    return buckets


class FindNearDuplicates(beam.PTransform):  # type: ignore[misc]
    """``(place, entries)`` of all slices to ``(pairs, candidates given up)`` of each place."""

    def __init__(self, job: Job) -> None:
        """Keep what the sketches are of, and how many blocks they are compared in."""
        super().__init__()
        self._sketcher = near.sketcher(job.schema.modality)
        self._blocks = _blocks(job)

    def expand(self, pcoll: Any) -> Any:
        """Wire `near.find_pairs`."""
        sketcher, blocks = self._sketcher, self._blocks
        return (
            pcoll
            | "ByPlace" >> beam.GroupByKey()
            | "Pairs"
            >> beam.Map(lambda place: near.find_pairs(sketcher, place[0], blocks, list(place[1])))
        )


class FindDuplicates(beam.PTransform):  # type: ignore[misc]
    """``(bucket, hashes)`` of all slices to the groups of equal examples."""

    def expand(self, pcoll: Any) -> Any:
        """Wire `find_duplicates`."""
        return (
            pcoll
            | "ByContent" >> beam.GroupByKey()
            | "Duplicates" >> beam.FlatMap(_duplicates_in_bucket)
        )


def _duplicates_in_bucket(bucket: tuple[int, Iterable[Hashes]]) -> list[list[tuple[str, str]]]:
    return find_duplicates(one for some in bucket[1] for one in some)


def _content_hash(value: np.ndarray | str) -> bytes:
    data = value.encode("utf-8") if isinstance(value, str) else np.ascontiguousarray(value).data
    return hashlib.sha256(data).digest()[:16]


def _blocks(job: Job) -> int:
    splits = {job.splits.train, job.splits.test} - {None}
    return -(-sum(job.source.sizes[split] for split in splits if split) // _BLOCK)


def _entries(modality: Modality, split: str, examples: Examples) -> near.Entries:
    sketches = near.sketcher(modality).sketch(examples.values)
    return near.Entries(sketches, (split,) * len(examples), tuple(examples.keys))


def _add_training(job: Job, totals: Totals, examples: Examples) -> None:
    values = examples.values
    if job.balance is not None:
        ranks = ranks_of(examples.keys)
        for label in np.unique(examples.labels).tolist():
            totals.ranks[label] = [ranks[examples.labels == label]]
    if "ngrams" in job.policy.needs() and isinstance(values, list):
        totals.sentences = [ngrams.count(values, examples.labels.tolist())]
    if isinstance(values, list):
        for text in values:
            totals.words.update(tokens(text))
        return
    channels = values.shape[-1]
    totals.pixels += values.size // channels
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK].reshape(-1, values[0].size)
        squares = np.multiply(part, part, dtype=np.uint16)
        totals.sums = _added(totals.sums, _per_channel(part, channels))
        totals.squares = _added(totals.squares, _per_channel(squares, channels))


def _per_channel(rows: np.ndarray, channels: int) -> tuple[int, ...]:
    """Return the exact sum of each channel of ``uint8 or uint16[N, pixels * channels]``."""
    columns = rows.sum(axis=0, dtype=np.uint32)  # _CHUNK * 255**2 fits
    sums = columns.reshape(-1, channels).sum(axis=0, dtype=np.uint64)
    return tuple(int(one) for one in sums)


def _added(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    if not left or not right:
        return left or right
    return tuple(a + b for a, b in zip(left, right, strict=True))
