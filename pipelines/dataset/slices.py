"""The unit of work: one source slice becomes shards, pure functions of (recipe, slice, copy).

A task reads its slice once and builds the shards that are still missing: the originals and each
augmented copy of the training examples, the originals alone of eval and test examples.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.augment.policy import Policy
from pipelines.augment.soft_labels import soft_labels
from pipelines.dataset.images import ENCODERS, decode_image
from pipelines.dataset.records import FeatureValue, compress, encode_examples, frame
from pipelines.dataset.sources import BadRecord, Record, Source
from schemas.canonical import sha256
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.manifest import ShardInfo
from schemas.recipe import Splits

SHOWN_PROBLEMS = 5


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every task of a dataset shares; picklable, names and numbers only.

    Attributes:
        output: The dataset directory.
        source: Where the records are.
        schema: What a stored example holds.
        splits: How keys are divided into train, eval and test.
        policy: How copies are augmented.
        seed: Root of all draws.
        on_bad_record: ``fail`` or ``quarantine``.
        stamp: Digest of fingerprint and library versions; a shard with another stamp is redone.
    """

    output: str
    source: Source
    schema: ExampleSchema
    splits: Splits
    policy: Policy
    seed: int
    on_bad_record: str
    stamp: str


@dataclass(frozen=True, order=True)
class SliceTask:
    """Records ``start`` to ``stop`` of a source split and the (split, copy) shards to build."""

    source_split: str
    number: int
    start: int
    stop: int
    shards: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Examples:
    """Decoded examples of one slice that belong to one split, in source order.

    Attributes:
        keys: Stable keys.
        indices: int64[N], positions in the source split.
        labels: int64[N].
        values: uint8[N, H, W, C], or a list of N texts.
    """

    keys: list[str]
    indices: np.ndarray
    labels: np.ndarray
    values: np.ndarray | list[str]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.keys)

    def only(self, key: str) -> Examples:
        """Return the examples with this key."""
        rows = [i for i, one in enumerate(self.keys) if one == key]
        values = (
            [self.values[i] for i in rows] if isinstance(self.values, list) else self.values[rows]
        )
        return Examples([key] * len(rows), self.indices[rows], self.labels[rows], values)


@dataclass(frozen=True)
class SliceData:
    """A slice as read, per split: the examples, and what could not become one."""

    splits: dict[str, Examples]
    bad: dict[str, list[BadRecord]]


@dataclass(frozen=True)
class Shard:
    """A built shard, not yet written.

    Attributes:
        info: Its manifest entry.
        data: The file's content.
        offsets: Byte offset of every record in the uncompressed content.
        examples: What it holds, as augmented.
        trace: Per-example columns saying which ops ran with which parameters.
    """

    info: ShardInfo
    data: bytes
    offsets: list[int]
    examples: Examples
    trace: dict[str, np.ndarray] = field(default_factory=dict)


def split_of(key: str, source_split: str, splits: Splits) -> str:
    """Return the split (train, eval, test) of a record: a stable function of its key.

    The hash depends on nothing but the key, so that another seed, policy or order of the data
    never moves an example from one split to another.
    """
    if source_split == splits.test:
        return "test"
    hashed = hashlib.blake2b(key.encode("utf-8"), digest_size=8, person=b"refinery.split").digest()
    position = int.from_bytes(hashed, "big") / 2**64
    if position < splits.eval_share:
        return "eval"
    if splits.test is None and position < splits.eval_share + splits.test_share:
        return "test"
    return "train"


def plan_tasks(source: Source, splits: Splits, *, copies: int, slice_size: int) -> list[SliceTask]:
    """Return every task of a dataset, in order, each with all its shards."""
    training: list[tuple[str, int]] = [("train", copy) for copy in range(copies + 1)]
    roles = {splits.train: [*training, ("eval", 0)]}
    if splits.test is None:
        roles[splits.train].append(("test", 0))
    else:
        roles[splits.test] = [("test", 0)]
    tasks = []
    for source_split, shards in roles.items():
        size = source.sizes[source_split]
        for number, start in enumerate(range(0, size, slice_size)):
            stop = min(start + slice_size, size)
            tasks.append(SliceTask(source_split, number, start, stop, tuple(shards)))
    return tasks


def shard_path(schema: ExampleSchema, split: str, copy: int, number: int) -> str:
    """Return a shard's path in the dataset: the layout of a TFX ``Examples`` artifact."""
    return f"Split-{split}/copy{copy:02d}-slice{number:04d}{schema.file_suffix}"


def read_slice(job: Job, task: SliceTask) -> SliceData:
    """Read, decode and check the records of a slice, divided into splits.

    Raises:
        InputError: The source file is damaged, or a record is bad and the recipe says ``fail``.
    """
    wanted = sorted({split for split, _ in task.shards})
    rows = {split: _Rows(job.schema, task.stop - task.start) for split in wanted}
    bad: dict[str, list[BadRecord]] = {split: [] for split in wanted}
    for record in job.source.read(task.source_split, task.start, task.stop):
        split = split_of(record.key, task.source_split, job.splits)
        if split not in wanted:
            continue
        value = record if isinstance(record, BadRecord) else _decode(record, job.schema)
        if isinstance(value, BadRecord):
            bad[split].append(value)
        elif isinstance(record, Record):
            rows[split].add(record, value)
    found = sorted((one for some in bad.values() for one in some), key=lambda one: one.index)
    if found and job.on_bad_record == "fail":
        shown = "; ".join(f"{one.key}: {one.reason}" for one in found[:SHOWN_PROBLEMS])
        more = f" (and {len(found) - SHOWN_PROBLEMS} more)" if len(found) > SHOWN_PROBLEMS else ""
        raise InputError(
            f"bad record {shown}{more}. Repair the source, or set `on_bad_record: quarantine`."
        )
    return SliceData({split: some.examples() for split, some in rows.items()}, bad)


def build_shard(job: Job, task: SliceTask, examples: Examples, *, split: str, copy: int) -> Shard:
    """Augment one copy of a slice's examples and encode it: pure, no file is touched."""
    values, trace = job.policy.apply(
        examples.values, examples.keys, seed=job.seed, copy=copy, labels=examples.labels
    )
    augmented = Examples(examples.keys, examples.indices, examples.labels, values)
    soft = None
    if job.schema.soft_labels:
        classes = len(job.schema.label_names)
        soft = soft_labels(trace, examples.keys, examples.labels, classes)
    content, offsets = frame(encode_copy(job.schema, augmented, copy=copy, soft=soft))
    data = compress(content) if job.schema.file_suffix.endswith(".gz") else content
    classes = Counter(examples.labels.tolist())
    info = ShardInfo(
        path=shard_path(job.schema, split, copy, task.number),
        split=split,
        copy=copy,
        slice=task.number,
        examples=len(examples),
        bytes=len(data),
        sha256=sha256(data),
        classes={str(label): classes[label] for label in sorted(classes)},
        ops=_op_counts(trace),
    )
    return Shard(info, data, offsets, augmented, trace)


def encode_copy(
    schema: ExampleSchema, examples: Examples, *, copy: int, soft: np.ndarray | None = None
) -> list[bytes]:
    """Return the serialized Examples of one copy.

    Args:
        schema: What an Example holds.
        examples: The rows.
        copy: Their copy.
        soft: Soft labels ``float32[N, classes]``, where the schema has them.
    """
    values = examples.values
    if isinstance(values, list):
        stored = [text.encode("utf-8") for text in values]
    else:
        stored = ENCODERS[schema.encoding](values)
    rows: list[dict[str, FeatureValue]] = [
        {"key": key.encode("utf-8"), "copy": copy, "label": int(label), schema.feature: value}
        for key, label, value in zip(examples.keys, examples.labels, stored, strict=True)
    ]
    if soft is not None:
        for row, shares in zip(rows, soft.tolist(), strict=True):
            row["soft_label"] = shares
    return encode_examples(rows)


def encode_quarantine(bad: Sequence[BadRecord]) -> bytes:
    """Return a TFRecord file of bad records: ``key``, ``index``, ``reason`` and ``record``."""
    rows: list[dict[str, FeatureValue]] = [
        {
            "key": one.key.encode("utf-8"),
            "index": one.index,
            "reason": one.reason.encode("utf-8"),
            "record": one.raw,
        }
        for one in bad
    ]
    return frame(encode_examples(rows))[0]


def _decode(record: Record, schema: ExampleSchema) -> np.ndarray | str | BadRecord:
    """Return the pixels or the text of a record, or why it has none."""

    def bad(reason: str) -> BadRecord:
        value = record.value
        raw = value if isinstance(value, bytes) else value.tobytes()
        return BadRecord(record.key, record.index, reason, raw)

    last = len(schema.label_names) - 1
    if not 0 <= record.label <= last:
        return bad(f"label {record.label} is out of range 0..{last}")
    if schema.image_shape is None:
        if not isinstance(record.value, bytes):
            return bad("the text is not bytes")
        try:
            return record.value.decode("utf-8")
        except UnicodeDecodeError as error:
            return bad(f"the text is not UTF-8 (byte {error.start})")
    image = record.value
    if isinstance(image, bytes):
        try:
            image = decode_image(image, schema.image_shape[2])
        except ValueError as error:
            return bad(str(error))
    if image.shape != schema.image_shape or image.dtype != np.uint8:
        return bad(f"the image is {image.dtype}{list(image.shape)}, not {list(schema.image_shape)}")
    return image


class _Rows:
    """Gathers a split's examples; pixels go straight into one array, so no second copy is held."""

    def __init__(self, schema: ExampleSchema, most: int) -> None:
        self._keys: list[str] = []
        self._numbers: list[tuple[int, int]] = []
        shape = schema.image_shape
        self._pixels = np.empty((most, *shape), np.uint8) if shape is not None else None
        self._texts: list[str] = []

    def add(self, record: Record, value: Any) -> None:
        if self._pixels is None:
            self._texts.append(value)
        else:
            self._pixels[len(self._keys)] = value
        self._keys.append(record.key)
        self._numbers.append((record.index, record.label))

    def examples(self) -> Examples:
        numbers = np.array(self._numbers, np.int64).reshape(-1, 2)
        return Examples(
            keys=self._keys,
            indices=numbers[:, 0],
            labels=numbers[:, 1],
            values=self._texts if self._pixels is None else self._pixels[: len(self._keys)],
        )


def _op_counts(trace: dict[str, np.ndarray]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, column in trace.items():
        if name.endswith(".op"):
            counts.update(column.tolist())
    return {op: counts[op] for op in sorted(counts) if op}
