"""A few thousand training examples of a recipe, drawn by key, and the dataset built of them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.dataset import files
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import FINGERPRINT_DIGITS, Plan, make_plan
from pipelines.dataset.slices import plan_tasks, split_of
from pipelines.dataset.sources import BadRecord, Record, Source, open_source
from schemas.canonical import digest
from schemas.errors import InputError
from schemas.features import Modality
from schemas.recipe import Recipe, load_recipe, parse_recipe


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Which examples, and what is done to them.

    Attributes:
        recipe: Shipped recipe that names source and splits.
        train: Training examples, the same number of each class.
        evaluation: Examples of the eval split, likewise.
        policy: As in a recipe.
        copies: Augmented copies.
        seed: Decides which examples are drawn, and how they are augmented.
        classes: Classes of the recipe that are the sample's, in this order; None: all.
    """

    recipe: str
    train: int
    evaluation: int
    policy: dict[str, Any]
    copies: int
    seed: int
    classes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Chosen:
    """Some records of a source, under their own keys; the test split as a whole.

    Where classes are named, those alone, test split included, numbered in that order.

    Attributes:
        source: Where the records are.
        split: The source split that they are drawn from.
        rows: Their positions in it, ascending.
        test: The source's test split, or None where the rows hold it.
        classes: Classes of the source that are kept; None: all.
        test_rows: Positions of their records in the test split.
    """

    source: Source
    split: str
    rows: tuple[int, ...]
    test: str | None
    classes: tuple[int, ...] | None = None
    test_rows: tuple[int, ...] = ()

    @property
    def modality(self) -> Modality:
        """Return the source's modality."""
        return self.source.modality

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the source's names of the classes."""
        names = self.source.label_names
        return names if self.classes is None else tuple(names[one] for one in self.classes)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Return the source's image shape."""
        return self.source.image_shape

    @property
    def sizes(self) -> Mapping[str, int]:
        """Return the number of records drawn, and of all test records."""
        if self.test is None:
            return {self.split: len(self.rows)}
        whole = self.source.sizes[self.test] if self.classes is None else len(self.test_rows)
        return {self.split: len(self.rows), self.test: whole}

    def identity(self) -> dict[str, Any]:
        """Return what the source is, and which rows were drawn."""
        own: dict[str, Any] = {"rows": digest({"rows": list(self.rows)})}
        if self.classes is not None:
            own["classes"] = list(self.classes)
        return self.source.identity() | own

    def read(self, split: str, start: int, stop: int) -> Iterator[Record | BadRecord]:
        """Yield the drawn records ``start`` to ``stop``."""
        if split == self.test and self.classes is None:
            yield from self.source.read(split, start, stop)
            return
        rows = self.test_rows if split == self.test else self.rows
        for row in rows[start:stop]:
            for one in self.source.read(split, row, row + 1):
                if self.classes is not None and isinstance(one, Record):
                    one = dataclasses.replace(one, label=self.classes.index(one.label))
                yield one


def plan_of_sample(sample: Sample, root: Path) -> Plan:
    """Return the plan of a sample's dataset, in a folder named by its fingerprint.

    Raises:
        InputError: The data or a resource of the policy is missing, or a class has too few.
    """
    base = load_recipe(sample.recipe).content
    kept = {key: base[key] for key in ("name", "modality", "source", "splits")}
    content = kept | {
        "policy": sample.policy,
        "seed": sample.seed,
        "copies": sample.copies,
        "slice_size": 1000,
        "leakage": "off",
    }
    if base["modality"] == "image":
        content["image"] = {"encoding": "raw"}
    file = parse_recipe(content, origin=f"benchmark recipe {sample.recipe}")
    plan = make_plan(file, str(root))
    source = _chosen(file.recipe, sample)
    fingerprint = digest({"plan": plan.fingerprint, "source": source.identity()})
    job = dataclasses.replace(
        plan.job,
        source=source,
        schema=dataclasses.replace(plan.job.schema, label_names=source.label_names),
        output=files.join(str(root), plan.name, fingerprint[:FINGERPRINT_DIGITS]),
        stamp=digest({"stamp": plan.job.stamp, "source": source.identity()}),
    )
    tasks = plan_tasks(source, job.splits, copies=sample.copies, slice_size=1000)
    return dataclasses.replace(
        plan,
        fingerprint=fingerprint,
        source_identity=source.identity(),
        job=job,
        tasks=tuple(tasks),
    )


def build(plan: Plan) -> str:
    """Materialize a plan, or find it finished; return the folder."""
    return materialize(plan, stream=io.StringIO()).path


def _chosen(recipe: Recipe, sample: Sample) -> Chosen:
    source, splits = open_source(recipe), recipe.splits
    roles: dict[tuple[str, int], list[tuple[bytes, int]]] = {}
    for row, key, label in _labels(sample.recipe, splits.train):
        role = split_of(key, splits.train, splits)
        roles.setdefault((role, label), []).append((_order(key, sample.seed), row))
    kept = range(len(source.label_names)) if sample.classes is None else sample.classes
    rows = [row for label in kept for _, row in roles.get(("test", label), [])]
    classes = len(kept)
    for role, count in (("train", sample.train), ("eval", sample.evaluation)):
        for label in kept:
            found = sorted(roles.get((role, label), []))
            if len(found) < count // classes:
                raise InputError(
                    f"{sample.recipe}: class {label} has {len(found)} {role} examples, fewer "
                    f"than the {count // classes} that are to be drawn"
                )
            rows += [row for _, row in found[: count // classes]]
    chosen = Chosen(source, splits.train, tuple(sorted(rows)), splits.test, sample.classes)
    if sample.classes is None or splits.test is None:
        return chosen
    test = _labels(sample.recipe, splits.test)
    mine = tuple(row for row, _, label in test if label in sample.classes)
    return dataclasses.replace(chosen, test_rows=mine)


@lru_cache(maxsize=4)
def _labels(recipe: str, split: str) -> list[tuple[int, str, int]]:
    """Return position, key and label of each record of a source split."""
    source = open_source(load_recipe(recipe).recipe)
    records = source.read(split, 0, source.sizes[split])
    return [(one.index, one.key, one.label) for one in records if isinstance(one, Record)]


def _order(key: str, seed: int) -> bytes:
    hashed = hashlib.blake2b(key.encode("utf-8"), digest_size=8, person=b"gain.sample")
    hashed.update(seed.to_bytes(8, "big"))
    return hashed.digest()
