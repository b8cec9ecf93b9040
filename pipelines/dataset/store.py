"""The dataset directory: shards with their side files while it is built, the manifest last.

While a dataset is built, ``_work/`` holds one Arrow side file per finished shard: its manifest
entry (in the file's metadata) and its rows of the provenance table. It is written after the shard,
so a shard with a side file is whole; a killed job resumes with the shards that have none.

Temporary files lie in a folder of their run below ``_work/``. A worker process may outlive a killed
run; the next run takes that folder away, and with it the worker's means to write anything.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.dataset import files
from pipelines.dataset.decisions import DECISIONS, LANGUAGE_MODELS, NONE, Decisions
from pipelines.dataset.records import read_shard
from pipelines.dataset.shards import Leak, Seen, Shard, build_shard, encode_quarantine
from pipelines.dataset.slices import Job, SliceData, SliceTask, shard_path
from schemas.canonical import sha256
from schemas.dataset_schema import SCHEMA_FILE
from schemas.errors import FailedError, InputError
from schemas.features import ExampleSchema
from schemas.manifest import MANIFEST, FileInfo, Manifest, ShardInfo

WORK = "_work"
QUARANTINE = "quarantine"
PROVENANCE = "provenance.parquet"
SURVEY = "survey.json"
VOCABULARY = "vocabulary.txt"
NEAR_DUPLICATES = "near_duplicates.parquet"
LOCK = ".lock"
PROBLEMS = "problems.txt"
SIDE_SUFFIX = ".arrow"
_INFO = b"beam_refinery.shard"
_STAMP = b"beam_refinery.stamp"
_LEAKS = b"beam_refinery.leaks"
_SEEN = b"beam_refinery.seen"


def run_task(
    job: Job, task: SliceTask, data: SliceData, decisions: Decisions = NONE
) -> list[ShardInfo]:
    """Build and write the shards of a task; running it again writes the same bytes.

    Args:
        job: What all tasks share.
        task: The shards to build.
        data: The task's slice, as `read_slice` returns it.
        decisions: What the survey settled, where the job needs it.

    Raises:
        FailedError: The output cannot be written.
    """
    for split, bad in data.bad.items():
        if bad:
            name = f"{QUARANTINE}/Split-{split}-{task.source_split}-slice{task.number:04d}.tfrecord"
            _write(job, name, encode_quarantine(bad))
    infos = []
    for split, copy in task.shards:
        examples = data.splits[split]
        shard = build_shard(job, task, examples, split=split, copy=copy, decisions=decisions)
        _write(job, shard.info.path, shard.data, sync=False)
        side = memoryview(encode_side_file(job, task, shard))
        _write(job, f"{WORK}/{shard.info.path}{SIDE_SUFFIX}", side, sync=False)
        infos.append(shard.info)
    return infos


@contextlib.contextmanager
def staged(output: str) -> Iterator[str | None]:
    """Make the folder for a run's temporary files, and take away those of earlier runs.

    The caller holds the dataset's lock. An object store needs none: it shows whole objects only.

    Raises:
        FailedError: It cannot be made (disk full, no permission).
    """
    if files.is_remote(output):
        yield None
        return
    work = Path(output, WORK)
    for old in work.glob(f"{files.TEMPORARY}*"):
        _take_away(old)
    staging = work / f"{files.TEMPORARY}{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise FailedError(f"cannot write {staging}: {error.strerror or error}.") from error
    try:
        yield str(staging)
    finally:
        _take_away(staging)


def _take_away(folder: Path) -> None:
    """Delete a folder in which another process may be at work: renamed, it is out of its reach."""
    doomed = folder.with_name(f"{files.TEMPORARY}{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):  # it is gone already
        os.rename(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def write_manifest(job: Job, manifest: Manifest) -> None:
    """Write the manifest, which makes the dataset one."""
    _write(job, MANIFEST, manifest.to_json().encode("utf-8"))


def write_problems(job: Job, problems: Iterable[str]) -> None:
    """Leave in ``_work/`` what is wrong with the input, one line per slice."""
    _write(job, f"{WORK}/{PROBLEMS}", "".join(f"{one}\n" for one in problems).encode("utf-8"))


def _write(job: Job, name: str, data: bytes | memoryview, *, sync: bool = True) -> None:
    files.write_atomic(files.join(job.output, name), data, sync=sync, staging=job.staging)


def side_path(output: str, shard: str) -> str:
    """Return the path of a shard's side file."""
    return files.join(output, WORK, f"{shard}{SIDE_SUFFIX}")


def encode_side_file(job: Job, task: SliceTask, shard: Shard) -> pa.Buffer:
    """Return the side file of a shard: Arrow's IPC file format, quick to write and to read."""
    info, examples = shard.info, shard.rows.examples
    count = len(examples)
    fixed = {
        "key": examples.keys,
        "source_split": pa.repeat(task.source_split, count),
        "source_index": examples.indices,
        "split": pa.repeat(info.split, count),
        "copy": shard.rows.numbers.astype(np.int32),
        "label": examples.labels,
        "shard": pa.repeat(info.path, count),
        "record": np.arange(count),
        "offset": np.array(shard.offsets, np.int64),
    }
    schema = job.schema.arrow_schema()
    columns = pa.RecordBatch.from_pydict(fixed, schema=schema).columns
    for name, column in shard.rows.trace.items():
        columns.append(_trace_column(column))
        schema = schema.append(pa.field(name, columns[-1].type))
    metadata = {_INFO: json.dumps(vars(info)).encode(), _STAMP: job.stamp.encode()}
    if shard.leaks:
        metadata[_LEAKS] = json.dumps([asdict(leak) for leak in shard.leaks]).encode()
    if shard.seen != Seen():
        metadata[_SEEN] = json.dumps(asdict(shard.seen)).encode()
    schema = schema.with_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue()


def finished(job: Job, tasks: Iterable[SliceTask]) -> dict[str, ShardInfo]:
    """Return the shards that an earlier run finished with the same stamp, re-hashed, by path."""
    have = files.sizes(job.output)
    done = {}
    for task in tasks:
        for split, copy in task.shards:
            path = shard_path(job.schema, split, copy, task.number)
            if path in have and f"{WORK}/{path}{SIDE_SUFFIX}" in have:
                info = _read_side_info(job, path)
                if info is not None and have[path] == info.bytes:
                    if files.file_sha256(files.join(job.output, path)) == info.sha256:
                        done[path] = info
    return done


def remaining(job: Job, tasks: Iterable[SliceTask], done: Iterable[str]) -> list[SliceTask]:
    """Return the tasks with only the shards that are not done; finished tasks fall away."""
    names = set(done)
    left = []
    for task in tasks:
        shards = tuple(
            (split, copy)
            for split, copy in task.shards
            if shard_path(job.schema, split, copy, task.number) not in names
        )
        if shards:
            left.append(SliceTask(task.source_split, task.number, task.start, task.stop, shards))
    return left


def expected_shards(schema: ExampleSchema, tasks: Iterable[SliceTask]) -> list[str]:
    """Return the paths of all shards in dataset order: split, copy, slice."""
    keyed = [
        (split, copy, task.number, shard_path(schema, split, copy, task.number))
        for task in tasks
        for split, copy in task.shards
    ]
    order = {"train": 0, "eval": 1, "test": 2}
    return [path for *_, path in sorted(keyed, key=lambda one: (order[one[0]], *one[1:]))]


def expected_files(job: Job, tasks: Iterable[SliceTask]) -> list[str]:
    """Return the paths of all that a dataset may hold besides its quarantine."""
    more = [SURVEY, PROVENANCE, VOCABULARY, SCHEMA_FILE, NEAR_DUPLICATES]
    return [*expected_shards(job.schema, tasks), *more, DECISIONS, LANGUAGE_MODELS]


def collect_shards(job: Job, tasks: Iterable[SliceTask]) -> list[ShardInfo]:
    """Return every shard's manifest entry from the side files, in dataset order.

    Raises:
        FailedError: A shard has no side file, so the work is not finished.
    """
    infos = []
    for path in expected_shards(job.schema, tasks):
        info = _read_side_info(job, path)
        if info is None:
            raise FailedError(f"{path} was not finished; run the same command again to resume.")
        infos.append(info)
    return infos


def collect_leaks(job: Job, shards: Iterable[ShardInfo]) -> tuple[list[Leak], Seen]:
    """Return the copies that were found to leak, in dataset order, and what all shards saw."""
    leaks: list[Leak] = []
    alike: set[int] = set()
    left_out: set[int] = set()
    for shard in shards:
        data = files.read_bytes(side_path(job.output, shard.path))
        metadata: dict[bytes, bytes] = pa.ipc.open_file(data).schema.metadata or {}
        leaks += [Leak(**one) for one in json.loads(metadata.get(_LEAKS, b"[]"))]
        seen = json.loads(metadata.get(_SEEN, b"{}"))
        alike.update(seen.get("alike", ()))
        left_out.update(seen.get("left_out", ()))
    return leaks, Seen(tuple(sorted(alike)), tuple(sorted(left_out)))


def merge_provenance(job: Job, shards: Sequence[ShardInfo]) -> pa.Table:
    """Return the provenance table of all shards, in dataset order."""
    tables = (_read_side_table(job, shard.path) for shard in shards)
    return pa.concat_tables(list(tables), promote_options="default")


def encode_provenance(table: pa.Table) -> bytes:
    """Return a provenance table as Parquet bytes."""
    return _parquet(table)


def write_file(job: Job, path: str, data: bytes) -> FileInfo:
    """Write a file of the dataset and return its manifest entry."""
    _write(job, path, data)
    return FileInfo(path=path, bytes=len(data), sha256=sha256(data))


def quarantine_files(job: Job) -> tuple[list[FileInfo], int]:
    """Return the quarantine's files and the number of records in them."""
    infos, records = [], 0
    folder = files.join(job.output, QUARANTINE)
    for name in sorted(files.sizes(folder)):
        data = files.read_bytes(files.join(folder, name))
        records += len(read_shard(data, name))
        path = f"{QUARANTINE}/{name}"
        infos.append(FileInfo(path=path, bytes=len(data), sha256=sha256(data)))
    return infos, records


def stray_files(output: str, known: Iterable[str]) -> Iterator[str]:
    """Yield the files below a dataset that its manifest does not name."""
    names = {*known, MANIFEST, LOCK}
    for path in files.sizes(output):
        if path not in names and not path.startswith(f"{WORK}/"):
            yield path


def _trace_column(column: np.ndarray) -> pa.Array:
    if column.dtype.kind in "OU":
        return _names(column)
    return pa.array(np.ma.getdata(column), mask=np.ma.getmaskarray(column))


def _names(column: np.ndarray) -> pa.DictionaryArray:
    """Return texts, few of them distinct, as a dictionary by first appearance; "" becomes null."""
    if len(column) and column[0] and len(set(column.tolist())) == 1:
        codes = pa.array(np.zeros(len(column), np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array(column[:1], pa.string()))
    encoded = pa.array(column, pa.string()).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if "" not in names:
        return encoded
    empty, codes = names.index(""), encoded.indices.to_numpy()
    indices = pa.array(codes - (codes > empty), pa.int32(), mask=codes == empty)
    names.remove("")
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def _parquet(table: pa.Table) -> bytes:
    """Return a small Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=1 << 17)
    return sink.getvalue()


def _read_side_info(job: Job, path: str) -> ShardInfo | None:
    """Return a finished shard's entry; None where it is missing, damaged or of another stamp."""
    try:
        data = files.read_bytes(side_path(job.output, path))
        metadata: dict[bytes, bytes] = pa.ipc.open_file(data).schema.metadata or {}
        if metadata.get(_STAMP) != job.stamp.encode():
            return None
        values: dict[str, Any] = json.loads(metadata[_INFO])
        return ShardInfo(**values)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError, TypeError):
        return None


def _read_side_table(job: Job, path: str) -> pa.Table:
    try:
        data = files.read_bytes(side_path(job.output, path))
        table = pa.ipc.open_file(data).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"the side file of {path} is damaged ({error}). Run again.") from error
    return table.replace_schema_metadata(None)
