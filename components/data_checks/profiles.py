"""What a dataset looks like, in figures small enough to keep: the profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.data_checks.features import EDGES, histograms_of
from schemas.errors import InputError
from schemas.features import Modality
from schemas.manifest import SPLITS, Manifest, load_manifest

FORMAT_VERSION = 1
MOST_EXAMPLES = 20_000
"""Examples of a split whose features are counted."""
_BATCH_BYTES = 16 << 20
_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class SplitProfile:
    """The originals (copy 0) of one split.

    Attributes:
        examples: How many there are.
        classes: How many of each class, by name; every class of the schema is named.
        profiled: How many of them the histograms count: the first ones of the fixed order.
        features: Name of a feature to its counts per bin of `EDGES`.
    """

    examples: int
    classes: Mapping[str, int]
    profiled: int
    features: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class DatasetProfile:
    """Everything that later datasets are compared with.

    Attributes:
        digest: Digest of the dataset.
        modality: ``image`` or ``text``.
        splits: ``train``, ``eval`` and ``test``.
    """

    digest: str
    modality: Modality
    splits: Mapping[str, SplitProfile]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted(self.splits["train"].classes))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the edges of the bins included."""
        return {
            "format_version": FORMAT_VERSION,
            "digest": self.digest,
            "modality": self.modality,
            "edges": {name: list(edges) for name, edges in EDGES[self.modality].items()},
            "splits": {
                split: {
                    "examples": one.examples,
                    "classes": dict(one.classes),
                    "profiled": one.profiled,
                    "features": {name: list(counts) for name, counts in one.features.items()},
                }
                for split, one in self.splits.items()
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DatasetProfile:
        """Read what `to_json` wrote.

        Raises:
            InputError: it is no profile, or one of other bins.
        """
        try:
            if value["format_version"] != FORMAT_VERSION:
                raise InputError(
                    f"a profile of format {value['format_version']!r}; this program compares "
                    f"with format {FORMAT_VERSION}"
                )
            modality = value["modality"]
            if value["edges"] != {name: list(edges) for name, edges in EDGES[modality].items()}:
                raise InputError("a profile with other bins than this program's")
            splits = {split: _split(value["splits"][split], modality) for split in SPLITS}
            return cls(digest=str(value["digest"]), modality=modality, splits=splits)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"no profile of a dataset ({error!r})") from error


def profile(dataset: Path) -> DatasetProfile:
    """Count labels and features of the originals of a finished dataset.

    Labels are those that the manifest counts, all of them; features are read from at most
    `MOST_EXAMPLES` examples of a split. Loads TensorFlow.

    Raises:
        InputError: no finished dataset there, or one whose manifest counts no classes.
    """
    manifest = load_manifest(dataset)
    return DatasetProfile(
        digest=manifest.digest,
        modality=manifest.schema.modality,
        splits={split: _profile_split(dataset, manifest, split) for split in SPLITS},
    )


def _profile_split(dataset: Path, manifest: Manifest, split: str) -> SplitProfile:
    shards = [one for one in manifest.shards if (one.split, one.copy) == (split, 0)]
    examples = sum(one.examples for one in shards)
    labels: Counter[str] = Counter()
    for shard in shards:
        labels.update(shard.classes)
    names = manifest.schema.label_names
    classes = {name: labels[str(at)] for at, name in enumerate(names)}
    if sum(classes.values()) != examples:
        raise InputError(
            f"{dataset}: the manifest counts {examples:,} {split} examples and "
            f"{sum(classes.values()):,} labels; materialize the recipe again"
        )
    profiled = min(examples, MOST_EXAMPLES)
    features = {
        name: np.zeros(len(edges) - 1, np.int64)
        for name, edges in EDGES[manifest.schema.modality].items()
    }
    if profiled:
        _count(dataset, split, profiled, features)
    return SplitProfile(
        examples=examples,
        classes=classes,
        profiled=profiled,
        features={name: tuple(map(int, counts)) for name, counts in features.items()},
    )


def _count(dataset: Path, split: str, examples: int, features: dict[str, np.ndarray]) -> None:
    """Add the first ``examples`` originals of a split to the histograms."""
    from components.data import inputs_of, open_dataset, records

    data = open_dataset(dataset)
    shape = data.schema.image_shape
    row = int(np.prod(shape)) if shape else 1
    size = max(1, min(_BATCH, _BATCH_BYTES // row))
    vocabulary = frozenset(data.vocabulary)
    batches = records(data, split, 0).take(examples).batch(size)
    batches = batches.map(lambda rows: inputs_of(rows, data.schema), num_parallel_calls=2)
    for values in batches.as_numpy_iterator():
        for name, counts in histograms_of(values, data.schema, vocabulary).items():
            features[name] += counts


def _split(value: Mapping[str, Any], modality: Modality) -> SplitProfile:
    features = {}
    for name, edges in EDGES[modality].items():
        counts = tuple(map(_count_of, value["features"][name]))
        if len(counts) != len(edges) - 1 or sum(counts) != value["profiled"]:
            raise ValueError(f"the counts of {name} do not fit")
        features[name] = counts
    classes = {str(name): _count_of(count) for name, count in value["classes"].items()}
    examples, profiled = _count_of(value["examples"]), _count_of(value["profiled"])
    if sum(classes.values()) != examples or profiled > examples:
        raise ValueError("the number of examples does not fit")
    return SplitProfile(examples=examples, classes=classes, profiled=profiled, features=features)


def _count_of(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
