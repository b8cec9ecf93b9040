"""Find stored examples by key: provenance row, record, and the same record recomputed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.dataset import files, store
from pipelines.dataset.balance import REPEAT
from pipelines.dataset.decisions import DECISIONS, LANGUAGE_MODELS, Decisions
from pipelines.dataset.images import decode_image
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import decode_example, read_shard
from pipelines.dataset.shards import build_shard
from pipelines.dataset.slices import SliceTask, read_slice, shard_path
from pipelines.dataset.sources.image_size import image_size
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.manifest import MANIFEST, Manifest, parse_manifest
from schemas.plain_files import leaves
from schemas.recipe import parse_recipe

_COLUMNS = ("key", "source_split", "split", "copy", "shard", "record")
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
_REPAIR = "`verify` names all damage, `materialize` repairs it."


@dataclass(frozen=True)
class Stored:
    """One stored example.

    Attributes:
        key: Its key.
        copy: 0 for the original.
        label: Class index.
        value: uint8[H, W, C] or the text.
        record: The serialized Example.
        ops: ``name(parameter=value, …)`` of every op applied, in order.
        row: Its provenance row.
    """

    key: str
    copy: int
    label: int
    value: np.ndarray | str
    record: bytes
    ops: list[str]
    row: dict[str, Any]


@dataclass(frozen=True)
class Replay:
    """A stored example beside its recomputation.

    Attributes:
        equal: Whether the recomputed record equals the stored one, byte for byte.
        stored: The stored example.
        ops: The ops as recomputed.
        differences: What changed since: source, ops, library versions.
    """

    equal: bool
    stored: Stored
    ops: list[str]
    differences: list[str]


def open_manifest(dataset: str) -> Manifest:
    """Read a dataset's manifest, wherever it lies.

    Raises:
        InputError: There is no finished dataset.
    """
    path = files.join(dataset, MANIFEST)
    if not files.exists(path):
        raise InputError(
            f"{dataset}: no {MANIFEST}, so no finished dataset. Name the folder that holds one."
        )
    return parse_manifest(files.read_bytes(path), path)


def find(dataset: str, manifest: Manifest, key: str, copy: int | None = None) -> list[Stored]:
    """Return the stored copies of a key (or one of them), the original first.

    Raises:
        InputError: The dataset has no such key or copy.
    """
    rows = _rows(dataset, key)
    if not rows:
        raise InputError(
            f"{dataset} has no example with the key {key!r}; `show` lists some, "
            "provenance.parquet all."
        )
    if copy is not None:
        split, copies = rows[0]["split"], [row["copy"] for row in rows]
        rows = [row for row in rows if row["copy"] == copy]
        if not rows:
            raise InputError(
                f"{key} has no copy {copy}: it is in the {split} split, stored as "
                f"copy {', '.join(str(one) for one in copies)}."
            )
    return [_stored(dataset, manifest, row) for row in rows]


def first_keys(dataset: str, count: int, split: str = "train") -> list[str]:
    """Return the keys of the first originals of a split."""
    table = _provenance(dataset, columns=["key", "split", "copy"])
    chosen = table.filter(pc.and_(pc.equal(table["split"], split), pc.equal(table["copy"], 0)))
    return [str(key) for key in chosen["key"].slice(0, count).to_pylist()]


def replay(dataset: str, key: str, copy: int) -> Replay:
    """Recompute one stored example from its source and compare.

    Raises:
        InputError: No such example, or its source cannot be read.
    """
    manifest = open_manifest(dataset)
    stored = find(dataset, manifest, key, copy)[0]
    file = parse_recipe(manifest.recipe, origin=files.join(dataset, MANIFEST))
    plan = make_plan(file, dataset)
    differences = _differences(manifest, plan.source_identity, plan.policy_identity, plan.versions)
    split, path = stored.row["split"], stored.row["shard"]
    shard_copy = copy % REPEAT
    task = _task_of(plan.tasks, plan.job.schema, split=split, copy=shard_copy, path=path)
    if task is None or stored.row["source_split"] != task.source_split:
        return Replay(False, stored, [], [*differences, "the source has other slices now"])
    only = dataclasses.replace(task, shards=((split, shard_copy),))
    examples = read_slice(plan.job, only).splits[split]
    decisions = _decisions(dataset, manifest)
    shard = build_shard(plan.job, only, examples, split=split, copy=shard_copy, decisions=decisions)
    rows = list(zip(shard.rows.examples.keys, shard.rows.numbers.tolist(), strict=True))
    if (key, copy) not in rows:
        return Replay(False, stored, [], [*differences, "the source has no such example now"])
    at = rows.index((key, copy))
    record = read_shard(shard.data, path)[at]
    row = {name: _plain(column[at]) for name, column in shard.rows.trace.items()}
    return Replay(record == stored.record, stored, describe_ops(row), differences)


def describe_ops(row: dict[str, Any]) -> list[str]:
    """Return ``name(parameter=value, …)`` for every op that a provenance row names."""
    described = []
    for column, op in row.items():
        if column.endswith(".op") and op:
            prefix = f"{column.removesuffix('op')}{op}."
            parameters = [
                f"{name.removeprefix(prefix)}={_short(value)}"
                for name, value in row.items()
                if name.startswith(prefix) and value is not None and name != f"{prefix}seed"
            ]
            described.append(f"{op}({', '.join(parameters)})")
    return described


def _decisions(dataset: str, manifest: Manifest) -> Decisions:
    """Return what the dataset's survey settled; copies are not checked for leaks again."""
    names = {one.path for one in manifest.files} & {DECISIONS, LANGUAGE_MODELS, store.VOCABULARY}
    try:
        content = {name: files.read_bytes(files.join(dataset, name)) for name in sorted(names)}
        vocabulary = content.get(store.VOCABULARY, b"").decode("utf-8").split("\n")[:-1]
        return Decisions.from_files(content, vocabulary)
    except _UNREADABLE as error:
        raise InputError(
            f"{dataset}: what its survey settled cannot be read ({error}); {_REPAIR}"
        ) from error


def _rows(dataset: str, key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _provenance(dataset, filters=[("key", "=", key)]).to_pylist()
    return sorted(rows, key=lambda row: int(row["copy"]))


def _provenance(dataset: str, **selection: Any) -> pa.Table:
    path = files.join(dataset, store.PROVENANCE)
    try:
        with files.open_arrow(path) as file:
            table = pq.read_table(file, **selection)
        wanted = selection.get("columns", _COLUMNS)
        missing = [name for name in wanted if name not in table.column_names]
        if missing:
            raise pa.ArrowInvalid(f"it has no column {missing[0]!r}")
        table.validate(full=True)
        return table
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({error}); {_REPAIR}") from error


def _stored(dataset: str, manifest: Manifest, row: dict[str, Any]) -> Stored:
    schema, path = manifest.schema, str(row["shard"])
    full = files.join(dataset, path)
    if path not in {shard.path for shard in manifest.shards}:
        raise InputError(f"{store.PROVENANCE} names {path!r}, which is no shard; {_REPAIR}")
    if not files.is_remote(full) and leaves(full, dataset):
        raise InputError(f"{path} is a link that leaves the dataset; {_REPAIR}")
    try:
        records = read_shard(files.read_bytes(full), path)
        record = records[row["record"]]
        features = decode_example(record)
        label = features["label"][0]
        if not 0 <= label < len(schema.label_names):
            raise ValueError(f"the label {label} is none")
        return Stored(
            key=features["key"][0].decode("utf-8"),
            copy=features["copy"][0],
            label=label,
            value=decode_value(features[schema.feature][0], schema),
            record=record,
            ops=describe_ops(row),
            row=row,
        )
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error}); {_REPAIR}") from error


def decode_value(data: bytes, schema: ExampleSchema) -> np.ndarray | str:
    """Return a stored feature as pixels or text."""
    if schema.image_shape is None:
        return data.decode("utf-8")
    if schema.encoding == "raw":
        return np.frombuffer(data, np.uint8).reshape(schema.image_shape)
    height, width, _ = schema.image_shape
    if image_size(data) != (width, height):
        raise ValueError(f"not an image of {height} x {width}")
    return decode_image(data, schema.image_shape[2])


def _task_of(
    tasks: tuple[SliceTask, ...], schema: ExampleSchema, *, split: str, copy: int, path: str
) -> SliceTask | None:
    for task in tasks:
        if (split, copy) in task.shards and shard_path(schema, split, copy, task.number) == path:
            return task
    return None


def _differences(
    manifest: Manifest, source: dict[str, Any], policy: dict[str, Any], versions: dict[str, str]
) -> list[str]:
    differences = []
    if source != manifest.source:
        differences.append("the source data changed")
    if policy != manifest.policy:
        differences.append("the policy's ops changed")
    for name, version in versions.items():
        recorded = manifest.versions.get(name)
        if recorded != version:
            differences.append(f"{name} is {version}, the dataset was written with {recorded}")
    return differences


def _plain(value: Any) -> Any:
    if np.ma.is_masked(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
