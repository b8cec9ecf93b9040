"""One shard is a pure function of (recipe, source slice, copy): built and encoded here.

A task reads its slice once and builds the shards that are still missing: the originals and each
augmented copy of the training examples, the originals alone of eval and test examples.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.augment.soft_labels import soft_labels
from pipelines.dataset.balance import REPEAT
from pipelines.dataset.decisions import NONE, Decisions
from pipelines.dataset.images import ENCODERS
from pipelines.dataset.near import Index, Matches, sketcher
from pipelines.dataset.records import FeatureValue, compress, encode_examples, frame
from pipelines.dataset.slices import Examples, Job, SliceTask, shard_path
from pipelines.dataset.sources import BadRecord
from schemas.canonical import sha256
from schemas.manifest import ShardInfo
from schemas.tokens import token_ids

Trace = dict[str, np.ndarray]


@dataclass(frozen=True)
class Copy:
    """The rows of a shard, not yet encoded.

    Attributes:
        examples: As augmented.
        numbers: int64[N], the copy number of each: the shard's, and ``+ REPEAT * j`` for the j-th
            repetition of an example in it.
        trace: Per-example columns saying which ops ran with which parameters.
        soft: Soft labels ``float32[N, classes]``, where the schema has them.
    """

    examples: Examples
    numbers: np.ndarray
    trace: Trace = field(default_factory=dict)
    soft: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Copy:
        """Return the rows at these positions."""
        trace = {name: column[rows] for name, column in self.trace.items()}
        soft = None if self.soft is None else self.soft[rows]
        return Copy(self.examples.take(rows), self.numbers[rows], trace, soft)


@dataclass(frozen=True)
class Leak:
    """An augmented copy that nearly equals an eval or test example.

    Attributes:
        key: Its key.
        copy: Its copy number.
        split: Split of the example that it resembles.
        other: That example's key.
        score: Similarity, 0 to 1.
        by: ``parent`` where its original resembles that example already, else ``content``.
    """

    key: str
    copy: int
    split: str
    other: str
    score: float
    by: str


@dataclass(frozen=True)
class Seen:
    """Eval and test examples by their position in `Decisions.reference`, ascending.

    Attributes:
        alike: Those that a copy in the shard resembles.
        left_out: Those that were not compared with each of its rows.
    """

    alike: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class Shard:
    """A built shard, not yet written.

    Attributes:
        info: Its manifest entry.
        data: The file's content.
        offsets: Byte offset of every record in the uncompressed content.
        rows: What it holds.
        leaks: Copies found to leak; with ``leakage: drop`` they are not among the rows.
        seen: What was seen in `Decisions.reference` when the rows were compared with it.
    """

    info: ShardInfo
    data: bytes
    offsets: list[int]
    rows: Copy
    leaks: tuple[Leak, ...] = ()
    seen: Seen = Seen()


def build_shard(
    job: Job,
    task: SliceTask,
    examples: Examples,
    *,
    split: str,
    copy: int,
    decisions: Decisions = NONE,
) -> Shard:
    """Augment one copy of a slice's examples and encode it: pure, no file is touched."""
    rows = augmented(job, examples, split=split, copy=copy, decisions=decisions)
    leaks: tuple[Leak, ...] = ()
    seen = Seen()
    if split == "train" and decisions.reference is not None:
        rows, leaks, seen = _checked(job, rows, decisions, copied=copy > 0)
    content, offsets = frame(encode_copy(job, rows, decisions))
    data = compress(content) if job.schema.file_suffix.endswith(".gz") else content
    classes = Counter(rows.examples.labels.tolist())
    info = ShardInfo(
        path=shard_path(job.schema, split, copy, task.number),
        split=split,
        copy=copy,
        slice=task.number,
        examples=len(rows.examples),
        bytes=len(data),
        sha256=sha256(data),
        classes={str(label): classes[label] for label in sorted(classes)},
        ops=_op_counts(rows.trace),
    )
    return Shard(info, data, offsets, rows, leaks, seen)


def augmented(
    job: Job, examples: Examples, *, split: str, copy: int, decisions: Decisions = NONE
) -> Copy:
    """Return one copy of a slice's examples, before any of its rows is found to leak."""
    if split == "train":
        examples = decisions.training(examples)
    if split != "train" or decisions.balance is None:
        return _round(job, examples, copy, decisions)
    rounds = _rounds(examples, decisions.balance.appearances(examples, copy), copy)
    return _joined([_round(job, part, number, decisions) for number, part in rounds])


def encode_copy(job: Job, rows: Copy, decisions: Decisions = NONE) -> list[bytes]:
    """Return the serialized Examples of a copy."""
    schema, examples = job.schema, rows.examples
    values = examples.values
    if isinstance(values, list):
        stored = [text.encode("utf-8") for text in values]
    else:
        stored = ENCODERS[schema.encoding](values)
    columns = zip(examples.keys, rows.numbers.tolist(), examples.labels, stored, strict=True)
    features: list[dict[str, FeatureValue]] = [
        {"key": key.encode("utf-8"), "copy": copy, "label": int(label), schema.feature: value}
        for key, copy, label, value in columns
    ]
    for name, column in _more_features(job, rows, decisions):
        for row, value in zip(features, column, strict=True):
            row[name] = value
    return encode_examples(features)


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


def _rounds(examples: Examples, times: np.ndarray, copy: int) -> Iterator[tuple[int, Examples]]:
    """Yield the copy numbers of a balanced copy and the examples that have each."""
    for repetition in range(int(times.max(initial=0))):
        rows = np.flatnonzero(times > repetition)
        yield copy + REPEAT * repetition, examples.take(rows)
    if not len(examples):
        yield copy, examples


def _round(job: Job, examples: Examples, number: int, decisions: Decisions) -> Copy:
    """Return the examples as copy ``number``."""
    keys, labels = examples.keys, examples.labels
    values, trace = job.policy.apply(
        examples.values,
        keys,
        seed=job.seed,
        copy=number,
        labels=labels,
        context=decisions.context(),
    )
    if job.attack is not None and number and isinstance(values, np.ndarray):
        perturbed = job.attack.apply(values, labels, keys, seed=job.seed, copy=number)
        values = perturbed.images
        trace = trace | perturbed.trace(job.attack.config.method)
    soft = None
    if job.schema.soft_labels:
        soft = soft_labels(trace, keys, labels, len(job.schema.label_names))
    made = dataclasses.replace(examples, values=values)
    return Copy(made, np.full(len(examples), number, np.int64), trace, soft)


def _joined(parts: list[Copy]) -> Copy:
    """Return the rows of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    many = [part.examples for part in parts]
    values = [one.values for one in many]
    texts = isinstance(values[0], list)
    examples = Examples(
        keys=[key for one in many for key in one.keys],
        indices=np.concatenate([one.indices for one in many]),
        labels=np.concatenate([one.labels for one in many]),
        values=[text for one in values for text in one] if texts else np.concatenate(values),
    )
    trace = {}
    for name, column in parts[0].trace.items():
        join = np.ma.concatenate if np.ma.isMaskedArray(column) else np.concatenate
        trace[name] = join([part.trace[name] for part in parts])
    soft = [part.soft for part in parts if part.soft is not None]
    numbers = np.concatenate([part.numbers for part in parts])
    return Copy(examples, numbers, trace, np.concatenate(soft) if soft else None)


def _more_features(
    job: Job, rows: Copy, decisions: Decisions
) -> Iterator[tuple[str, Sequence[FeatureValue]]]:
    """Yield the features that only some schemas have, a value per row."""
    schema, examples = job.schema, rows.examples
    if rows.soft is not None:
        yield "soft_label", rows.soft.tolist()
    if schema.weights and decisions.balance is not None:
        yield "weight", [[one] for one in decisions.balance.weights(examples.labels).tolist()]
    if schema.tokens:
        numbers, options = decisions.token_numbers(), job.text
        yield (
            "tokens",
            [
                token_ids(
                    text,
                    numbers,
                    length=schema.tokens,
                    truncate=options.truncate,
                    pad=options.pad,
                ).tolist()
                for text in examples.values
            ],
        )


def _checked(
    job: Job, rows: Copy, decisions: Decisions, *, copied: bool
) -> tuple[Copy, tuple[Leak, ...], Seen]:
    """Return the rows that stay, the copies that leak, and what the rows that stay are like.

    The survey has looked for leaking originals; only what it gave up is looked for here.
    """
    index = decisions.index(job.schema.modality)
    if index is None or not len(rows.examples) or not (copied or decisions.crowded):
        return rows, (), Seen()
    sketches = sketcher(job.schema.modality).sketch(rows.examples.values)
    leaks: tuple[Leak, ...] = ()
    alike: list[int] = []
    crowded = decisions.crowded
    if copied:
        matches = index.query(sketches)
        crowded = matches.capped > 0
        leaks = _leaks(rows, matches, index, decisions)
        if leaks and job.leakage == "drop":
            gone = {(leak.key, leak.copy) for leak in leaks}  # by content: parents are left out
            pairs = zip(rows.examples.keys, rows.numbers.tolist(), strict=True)
            stay = np.flatnonzero([pair not in gone for pair in pairs])
            rows, sketches = rows.take(stay), sketches[stay]
        else:
            alike = np.unique(matches.positions).tolist()
    left_out = np.flatnonzero(index.left_out(sketches)).tolist() if crowded else ()
    return rows, leaks, Seen(tuple(alike), tuple(left_out))


def _leaks(rows: Copy, matches: Matches, index: Index, decisions: Decisions) -> tuple[Leak, ...]:
    """Return the copies that leak: by their original first, by their content second."""
    keys, numbers = rows.examples.keys, rows.numbers.tolist()
    leaks = {
        row: Leak(key, numbers[row], nearest.split, nearest.key, nearest.score, "parent")
        for row, key in enumerate(keys)
        if (nearest := decisions.leaking.get(key)) is not None
    }
    found = zip(matches.rows.tolist(), matches.positions.tolist(), matches.scores, strict=True)
    for row, at, score in found:
        if row not in leaks:  # the first match of a row is its nearest
            split, other = index.entries.splits[at], index.entries.keys[at]
            leaks[row] = Leak(
                keys[row], numbers[row], split, other, round(float(score), 4), "content"
            )
    return tuple(leaks[row] for row in sorted(leaks))


def _op_counts(trace: Trace) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, column in trace.items():
        if name.endswith(".op"):
            values = column.tolist()
            names = set(values)  # one op, or one and none: quicker to look for than to tally
            counts.update({one: values.count(one) for one in names} if len(names) < 3 else values)
    return {op: counts[op] for op in sorted(counts) if op}
