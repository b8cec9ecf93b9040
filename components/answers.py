"""What a shipped model answers to the test split and to its corrupted forms, example by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from numpy.typing import NDArray

from components.acceptance import (
    LiveEvidence,
    Predictions,
    read_predictions,
    write_predictions,
)
from components.acceptance.compare import class_difference
from components.acceptance.predictions import FILES
from components.acceptance.rules import ROBUST, TEST
from components.data import open_dataset, records
from components.probes import Probes
from components.serving.baseline import Baseline
from components.serving.store import NOT_THE_MODEL
from components.shipped import Incompatible, Shipped, open_shipped
from components.tree import file_digest, tree_digest, write_bytes
from schemas.errors import FailedError, InputError
from schemas.features import ExampleSchema

SEEN = "seen_corruptions"
TABLES = (TEST, SEEN, ROBUST)
GOLDEN = 64
"""How many test examples, the first in their fixed order, are the golden requests."""
_GOLDEN_FILE = "golden.parquet"


@dataclass(frozen=True, kw_only=True)
class Question:
    """The examples that every model of one dataset is asked.

    Attributes:
        schema: What one example holds.
        test: The serialized examples of the test split in their fixed order.
        probes: Slices and corrupted forms of them.
    """

    schema: ExampleSchema
    test: Sequence[bytes]
    probes: Probes

    @classmethod
    def of(cls, dataset: Path, probes: Path) -> Question:
        """Read the test split of a dataset, and the probes that belong to it.

        Raises:
            InputError: one of them cannot be read, or the test split was changed.
            FailedError: the probes were changed.
        """
        data = open_dataset(dataset)
        for shard in data.of(TEST, 0):
            if file_digest(data.root / shard.path) != shard.sha256:
                raise InputError(
                    f"{data.root / shard.path}: it changed since the manifest was written, so it "
                    "judges no model. `verify` names all damage, `materialize` repairs it."
                )
        rows = list(records(data, TEST, 0).as_numpy_iterator())
        return cls(schema=data.schema, test=rows, probes=Probes.open(probes))


@dataclass(frozen=True, kw_only=True)
class Golden:
    """The golden requests with their answers.

    Attributes:
        requests: Serialized examples.
        probabilities: ``float32[N, classes]``.
    """

    requests: Sequence[bytes]
    probabilities: NDArray[np.float32]


def answer(
    model: Shipped, question: Question, *, about: Mapping[str, Any]
) -> tuple[dict[str, Predictions], Golden]:
    """Ask a model everything.

    Args:
        model: The model in the form that ships.
        question: What to ask.
        about: What the tables say of themselves; plain JSON values. The digest of the model's
            files is added, so that nothing else is pushed on the strength of these answers.

    Returns:
        Tables by name: ``test``, and where there are corrupted forms ``seen_corruptions`` (of
        families that the training policy uses) and ``unseen_corruptions``; and the golden requests.
    """
    about = {**about, FILES: tree_digest(model.folder, leave_out=NOT_THE_MODEL)}
    shares = model.probabilities(question.test)
    keys, labels = _keys_and_labels(question.test)
    slices = [question.probes.slices[key] for key in keys]
    classes = question.schema.label_names
    tables = {TEST: Predictions.of(shares, labels, keys, classes=classes, slices=slices,
                                   about=about)}  # fmt: skip
    for name, seen in ((SEEN, True), (ROBUST, False)):
        rows: list[bytes] = []
        variants: list[str] = []
        for variant, of_seen, path in question.probes.variants():
            if of_seen is seen:
                read = question.probes.read(path)
                rows += read
                variants += [variant] * len(read)
        if rows:
            keys, labels = _keys_and_labels(rows)
            tables[name] = Predictions.of(
                model.probabilities(rows), labels, keys, classes=classes, variants=variants,
                about=about,
            )  # fmt: skip
    return tables, Golden(requests=question.test[:GOLDEN], probabilities=shares[:GOLDEN])


def live_side(
    baseline: Baseline, serving: Path, question: Question, *, identity: str
) -> LiveEvidence:
    """Ask the live model the same, or say why it cannot be asked.

    Args:
        baseline: What is live.
        serving: The serving folder.
        question: What to ask.
        identity: What the candidate is.
    """
    if baseline.identity == identity:  # also where its files are damaged: the push mends them
        return LiveEvidence(state="itself")
    if baseline.state != "present":
        return LiveEvidence(state=baseline.state, why=baseline.why)
    classes = question.schema.label_names
    if difference := class_difference(classes, baseline.classes):
        return LiveEvidence(state="incompatible", why=difference)
    folder = serving / str(baseline.version)
    try:
        model = open_shipped(folder, artifact=str(baseline.artifact), schema=question.schema)
        about = {"version": baseline.version, "digest": baseline.digest}
        tables, _ = answer(model, question, about=about)
    except Incompatible as error:
        return LiveEvidence(state="incompatible", why=str(error))
    except InputError as error:
        return LiveEvidence(state="missing", why=str(error))
    if tables[TEST].about[FILES] != baseline.digest:
        why = f"the files of version {baseline.version} changed while the refresh ran"
        return LiveEvidence(state="missing", why=why)
    return LiveEvidence(state="present", tables=tables)


def write_answers(folder: Path, tables: Mapping[str, Predictions], golden: Golden) -> None:
    """Write what `answer` returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_predictions(table, folder / f"{name}.parquet")
    shares = pa.array(golden.probabilities.tolist(), pa.list_(pa.float32()))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"request": list(golden.requests), "probabilities": shares}), sink)
    write_bytes(folder / _GOLDEN_FILE, sink.getvalue().to_pybytes())


def read_tables(folder: Path) -> dict[str, Predictions]:
    """Read the tables that `write_answers` wrote.

    Raises:
        FailedError: a table was changed or cannot be read.
    """
    return {
        name: read_predictions(folder / f"{name}.parquet")
        for name in TABLES
        if (folder / f"{name}.parquet").is_file()
    }


def read_golden(folder: Path) -> Golden:
    """Read the golden requests that `write_answers` wrote.

    Raises:
        FailedError: they cannot be read.
    """
    try:
        table = pq.read_table(folder / _GOLDEN_FILE)
        shares = np.array(table.column("probabilities").to_pylist(), np.float32)
        return Golden(requests=table.column("request").to_pylist(), probabilities=shares)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise FailedError(f"{folder / _GOLDEN_FILE}: cannot be read ({error})") from error


def _keys_and_labels(rows: Sequence[bytes]) -> tuple[list[str], NDArray[np.int64]]:
    spec = {
        "key": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    found = tf.io.parse_example(tf.constant(list(rows), tf.string), spec)
    return [key.decode() for key in found["key"].numpy()], found["label"].numpy()
