"""The unit of work: a source slice, its division into splits, and how it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.augment.policy import Policy
from pipelines.dataset.adversarial import Attack
from pipelines.dataset.fit import fit_image, to_channels
from pipelines.dataset.images import decode_image
from pipelines.dataset.sources import BadRecord, Record, Source
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.recipe import ImageOptions, Splits, SurveyOptions, TextOptions

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
        image: How images are brought to the schema's size.
        text: Which token ids are stored.
        vocabulary: Number of vocabulary entries, ``<OOV>`` included.
        leakage: ``off``, ``report`` or ``drop``.
        balance: How the classes of the training split end level.
        copies: Augmented copies.
        attack: What perturbs the augmented images.
        resources: Digests of the corpora that the policy's output depends on, as planned.
        staging: Where a run's temporary files lie, see `store.staged`.
    """

    output: str
    source: Source
    schema: ExampleSchema
    splits: Splits
    policy: Policy
    seed: int
    on_bad_record: str
    stamp: str
    image: ImageOptions = field(default_factory=ImageOptions)
    text: TextOptions = field(default_factory=TextOptions)
    vocabulary: int = SurveyOptions().vocabulary
    leakage: str = "off"
    balance: str | None = None
    copies: int = 0
    attack: Attack | None = None
    resources: Mapping[str, str] = field(default_factory=dict)
    staging: str | None = None

    def check_resources(self) -> None:
        """Refuse a machine whose corpora are not those that the job was planned with.

        Raises:
            InputError: A corpus is missing there, or is another one.
        """
        here = self.policy.resources()
        for name, planned in self.resources.items():
            if here.get(name) != planned:
                raise InputError(
                    f"{name} on this worker is not the one that the job was planned with; "
                    "install the same corpus on all machines."
                )

    @property
    def needs_survey(self) -> bool:
        """Whether a shard depends on the survey of the whole dataset (see `decisions`)."""
        needed = self.leakage != "off" or self.balance or self.text.store_tokens
        return bool(needed) or "ngrams" in self.policy.needs()


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

    def take(self, rows: np.ndarray) -> Examples:
        """Return the examples at these positions, in that order."""
        values = (
            [self.values[i] for i in rows] if isinstance(self.values, list) else self.values[rows]
        )
        keys = [self.keys[i] for i in rows]
        return Examples(keys, self.indices[rows], self.labels[rows], values)


@dataclass(frozen=True)
class SliceData:
    """A slice as read, per split: the examples, and what could not become one."""

    splits: dict[str, Examples]
    bad: dict[str, list[BadRecord]]


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
        value = record if isinstance(record, BadRecord) else _decode(record, job)
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


def _decode(record: Record, job: Job) -> np.ndarray | str | BadRecord:
    """Return the pixels or the text of a record, or why it has none."""
    schema = job.schema

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
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (1, 3):
        image = to_channels(image, schema.image_shape[2])
        if job.image.size is not None:
            image = fit_image(image, job.image.size, mode=job.image.fit)
    if image.shape != schema.image_shape or image.dtype != np.uint8:
        return bad(
            f"the image is {image.dtype}{list(image.shape)}, not {list(schema.image_shape)}; "
            "image.size brings all images to one size"
        )
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
