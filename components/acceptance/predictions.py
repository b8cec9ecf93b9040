"""What one model answered to each example: the table that every decision is computed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from components.tree import write_bytes
from schemas.canonical import canonical_json
from schemas.errors import FailedError, InputError
from schemas.figures import LEAST_PROBABILITY
from schemas.plain_files import open_plain

ARROW = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("prediction", pa.int32(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        pa.field("label_probability", pa.float32(), nullable=False),
        pa.field("slices", pa.list_(pa.field("item", pa.string(), nullable=False)), nullable=False),
    ]
)
"""One row per answer; see `Predictions`."""
_HEAD = b"beam_refinery.predictions"
CLASS = "class="
FILES = "files"
"""Key of ``about``: digest of the files of the model that answered (`components.tree`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The answers of one model, sorted by key and variant; ``of`` makes them from logits.

    Attributes:
        classes: Names of the classes.
        keys: Key of each example.
        variants: Which form of the example was shown, e.g. ``gaussian_noise/3``; empty for the
            original. Answers to forms of one example are not independent and are never counted
            as if they were.
        labels: ``int32[N]``, index of the true class.
        answers: ``int32[N]``, index of the predicted class.
        probability: ``float32[N]`` of the predicted class.
        label_probability: ``float32[N]`` of the true class.
        slices: Per row the names of the slices that it belongs to.
        about: What they are of: plain JSON values such as split, dataset digest, model digest.
    """

    classes: tuple[str, ...]
    keys: tuple[str, ...]
    variants: tuple[str, ...]
    labels: NDArray[np.int32]
    answers: NDArray[np.int32]
    probability: NDArray[np.float32]
    label_probability: NDArray[np.float32]
    slices: tuple[tuple[str, ...], ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = [getattr(self, name) for name in _COLUMNS]
        if len({len(one) for one in columns}) != 1:
            lengths = {name: len(getattr(self, name)) for name in _COLUMNS}
            raise InputError(f"every column must have one entry per answer; lengths: {lengths}")
        rows = list(zip(self.keys, self.variants, strict=True))
        for before, after in zip(rows, rows[1:], strict=False):
            if before == after:
                raise InputError(f"an example must be answered once, but {after!r} occurs twice")
            if before > after:
                raise InputError(f"answers must be sorted by key and variant; {after!r} is not")
        for name in ("labels", "answers"):
            values = getattr(self, name)
            if len(values) and not (0 <= values.min() and values.max() < len(self.classes)):
                raise InputError(
                    f"{name} must be classes from 0 to {len(self.classes) - 1}, not "
                    f"{values.min()} to {values.max()}"
                )
        for name in ("probability", "label_probability"):
            values = getattr(self, name)
            wrong = ~((values >= 0) & (values <= 1))
            if wrong.any():
                at = int(wrong.argmax())
                raise InputError(
                    f"{name} must lie between 0 and 1; example {self.keys[at]!r} has {values[at]}: "
                    "does the model end in a softmax, and is its training finite?"
                )

    @classmethod
    def of(
        cls,
        probabilities: ArrayLike,
        labels: ArrayLike,
        keys: Sequence[str],
        *,
        classes: Sequence[str],
        slices: Sequence[Sequence[str]] | None = None,
        variants: Sequence[str] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Predictions:
        """Make the table from what a model returned, in any order.

        The predicted class is the most probable one, the first where several are equal. Slices
        ``class=NAME`` are added.

        Args:
            probabilities: ``float[N, classes]``.
            labels: ``int[N]``.
            keys: N keys.
            classes: Names of the classes.
            slices: Names of slices per example.
            variants: See the class.
            about: See the class.

        Raises:
            InputError: the columns do not fit together, or a value is out of range.
        """
        shares = np.asarray(probabilities, np.float32)
        truth = np.asarray(labels)
        if shares.ndim != 2 or shares.shape != (len(truth), len(classes)):
            raise InputError(
                f"probabilities must be {len(truth)} rows of {len(classes)} classes, not "
                f"{shares.shape}"
            )
        if len(truth) and not (0 <= truth.min() and truth.max() < len(classes)):
            raise InputError(f"labels must be classes from 0 to {len(classes) - 1}")
        if not np.isfinite(shares).all():
            at = int((~np.isfinite(shares)).any(axis=1).argmax())
            raise InputError(f"probabilities must be numbers; example {keys[at]!r} has none")
        forms = tuple(variants) if variants is not None else ("",) * len(keys)
        if not len(keys) == len(forms) == len(truth):
            raise InputError(f"{len(truth)} labels need as many keys, not {len(keys)}")
        order = sorted(range(len(keys)), key=lambda at: (keys[at], forms[at]))
        own = slices if slices is not None else [()] * len(keys)
        shares, truth = shares[order], truth[order].astype(np.int32)
        answers = shares.argmax(axis=1).astype(np.int32)
        rows = np.arange(len(truth))
        return cls(
            classes=tuple(classes),
            keys=tuple(keys[at] for at in order),
            variants=tuple(forms[at] for at in order),
            labels=truth,
            answers=answers,
            probability=shares[rows, answers],
            label_probability=shares[rows, truth],
            slices=tuple(
                tuple(sorted({*own[at], f"{CLASS}{classes[label]}"}))
                for at, label in zip(order, truth, strict=True)
            ),
            about=dict(about or {}),
        )

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """``bool[N]``: whether each answer is right."""
        return np.asarray(self.answers == self.labels)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """``float64[N]``: cross-entropy in nats."""
        return -np.log(np.maximum(self.label_probability.astype(np.float64), LEAST_PROBABILITY))

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """``int64[N]``: number of the example, from 0, that each answer is about."""
        new = [before != after for before, after in zip(self.keys, self.keys[1:], strict=False)]
        return np.concatenate([[0], np.cumsum(new)]).astype(np.int64)[: len(self.keys)]

    @property
    def examples(self) -> int:
        """How many independent examples were answered."""
        return len(set(self.keys))

    def slice_names(self) -> tuple[str, ...]:
        """Return the names of all slices, sorted."""
        return tuple(sorted({name for names in self.slices for name in names}))

    def only(self, slice_name: str) -> Predictions:
        """Return the answers to the examples of one slice."""
        return self._rows(np.flatnonzero([slice_name in names for names in self.slices]))

    def of_class(self, name: str) -> Predictions:
        """Return the answers to the examples whose label is that class."""
        return self._rows(np.flatnonzero(self.labels == self.classes.index(name)))

    def of_family(self, name: str) -> Predictions:
        """Return the answers to the forms that a family of corruptions gave the examples."""
        return self._rows(np.flatnonzero([one.split("/")[0] == name for one in self.variants]))

    def _rows(self, rows: NDArray[np.int64]) -> Predictions:
        return Predictions(
            classes=self.classes,
            keys=tuple(self.keys[at] for at in rows),
            variants=tuple(self.variants[at] for at in rows),
            labels=self.labels[rows],
            answers=self.answers[rows],
            probability=self.probability[rows],
            label_probability=self.label_probability[rows],
            slices=tuple(self.slices[at] for at in rows),
            about=self.about,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the content, free of how Parquet encodes it."""
        total = hashlib.sha256(canonical_json([list(self.classes), dict(self.about)]))
        for rows in (self.keys, self.variants, self.slices):
            total.update(json.dumps(rows, ensure_ascii=True, separators=(",", ":")).encode())
        for values, kind in (
            (self.labels, "<i4"),
            (self.answers, "<i4"),
            (self.probability, "<f4"),
            (self.label_probability, "<f4"),
        ):
            total.update(np.ascontiguousarray(values, kind).tobytes())
        return total.hexdigest()


_COLUMNS = ("keys", "variants", "labels", "answers", "probability", "label_probability", "slices")


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write a Parquet file that names its digest; a crash leaves the old file or the new one."""
    head = {
        "about": dict(predictions.about),
        "classes": list(predictions.classes),
        "digest": predictions.digest,
    }
    table = pa.table(
        dict(
            zip(ARROW.names, (list(getattr(predictions, name)) for name in _COLUMNS), strict=True)
        ),
        schema=ARROW.with_metadata({_HEAD: canonical_json(head)}),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes())


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote.

    Raises:
        FailedError: the file cannot be read, or it is not what its digest says.
    """
    try:
        with open_plain(path) as file:  # Arrow takes no path that is not UTF-8
            table = pq.read_table(file)
        head = json.loads((table.schema.metadata or {})[_HEAD])
        if not table.schema.equals(ARROW):
            raise FailedError(f"{path}: its columns are not those of predictions")
        columns = [table.column(name) for name in ARROW.names]
        keys, variants, labels, answers, probability, label_probability, slices = columns
        found = Predictions(
            classes=tuple(head["classes"]),
            keys=tuple(keys.to_pylist()),
            variants=tuple(variants.to_pylist()),
            labels=labels.to_numpy(),
            answers=answers.to_numpy(),
            probability=probability.to_numpy(),
            label_probability=label_probability.to_numpy(),
            slices=tuple(tuple(names) for names in slices.to_pylist()),
            about=head["about"],
        )
        digest = head["digest"]
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise FailedError(f"{path}: no readable table of predictions ({error})") from error
    if found.digest != digest:
        raise FailedError(
            f"{path}: its content has the digest {found.digest[:12]}, but it was written with "
            f"{digest[:12]}: the file was changed"
        )
    return found
