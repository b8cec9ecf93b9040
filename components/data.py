"""Input functions: a materialized dataset directory as batches for a network.

Every pass over a split and copy has one fixed order: the shards of that copy are read in turn,
one record each, so that slices sorted by class arrive mixed. Whatever is stored per example
(a teacher's logits) is aligned with that order; shuffling comes after.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.tokens import Reading, table_of
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.manifest import ShardInfo, load_manifest
from schemas.plain_files import leaves, read_plain

SHUFFLE_EXAMPLES = 20_000
SHUFFLE_BYTES = 256 << 20
READ_IN_TURN = 64
SCORING_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class Data:
    """A materialized dataset as the stages see it.

    Attributes:
        root: The dataset directory.
        schema: What one example holds.
        shards: Every shard of the manifest.
        survey: The content of ``survey.json``.
        vocabulary: The lines of ``vocabulary.txt``; empty for images.
        digest: Digest of the whole dataset.
    """

    root: Path
    schema: ExampleSchema
    shards: tuple[ShardInfo, ...]
    survey: dict[str, Any]
    vocabulary: tuple[str, ...]
    digest: str

    def copies(self, split: str = "train") -> list[int]:
        """Return the copies that the split holds, the original (0) first."""
        return sorted({shard.copy for shard in self.shards if shard.split == split})

    def of(self, split: str, copy: int) -> list[ShardInfo]:
        """Return the shards of one copy of a split, in an order free of the source's own.

        A source sorted by class would otherwise put its last classes into the last shards.

        Raises:
            InputError: the dataset has none.
        """
        found = [one for one in self.shards if (one.split, one.copy) == (split, copy)]
        if not any(one.examples for one in found):
            raise InputError(
                f"{self.root}: the {split} split holds no examples of copy {copy}; copies there: "
                f"{self.copies(split)}. Materialize the recipe with more copies or examples."
            )
        return sorted(found, key=lambda one: hashlib.blake2b(b"%d" % one.slice).digest())

    def examples(self, split: str, copy: int = 0) -> int:
        """Return how many examples one copy of a split holds."""
        return sum(shard.examples for shard in self.of(split, copy))


def open_dataset(root: str | Path) -> Data:
    """Read what describes a dataset directory.

    Raises:
        InputError: no finished dataset there, or one of its files is missing.
    """
    root = Path(root)
    manifest = load_manifest(root)
    outside = next((one for one in manifest.shards if leaves(root / one.path, root)), None)
    if outside is not None:
        raise InputError(f"{root / outside.path} is a link that leaves the dataset: copy the file")
    try:
        survey = json.loads(_read(root / "survey.json"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{root / 'survey.json'}: not readable ({error}): materialize the recipe again"
        ) from error
    vocabulary: tuple[str, ...] = ()
    if manifest.schema.modality == "text":
        vocabulary = tuple(_read(root / "vocabulary.txt").rstrip("\n").split("\n"))
    return Data(
        root=root,
        schema=manifest.schema,
        shards=manifest.shards,
        survey=survey,
        vocabulary=vocabulary,
        digest=manifest.digest,
    )


def inputs_of(examples: tf.Tensor, schema: ExampleSchema) -> tf.Tensor:
    """Parse Examples ``string[N]`` into images ``uint8[N,H,W,C]`` or texts ``string[N]``."""
    spec = {schema.feature: tf.io.FixedLenFeature([], tf.string)}
    return _decoded(tf.io.parse_example(examples, spec)[schema.feature], schema)


def batches(
    data: Data,
    split: str,
    model: keras.Model,
    *,
    copy: int = 0,
    batch_size: int = SCORING_BATCH,
    examples: int | None = None,
    training: bool = False,
) -> tf.data.Dataset:
    """Return ``(inputs, labels int64[n])`` batches of one copy in its fixed order.

    Inputs are what ``model`` takes: ``uint8[n,H,W,C]`` or token ids ``int32[n, tokens]``.
    ``examples`` limits them to the first so many.

    With ``training`` they are ``(inputs, labels, weights float32[n])``, what a loss needs: labels
    are the stored shares of the classes, ``float32[n, classes]``, where the dataset has them, and
    weights are the stored ones, or 1. Scoring never sees either.
    """
    rows = records(data, split, copy).take(-1 if examples is None else examples)
    return _parsed(rows, data, model, batch_size, training=training)


def shard_batches(
    data: Data, shard: ShardInfo, model: keras.Model, *, batch_size: int = SCORING_BATCH
) -> tf.data.Dataset:
    """Return ``(inputs, labels int64[n])`` batches of one shard in its own order."""
    return _parsed(shard_records(data, [shard]), data, model, batch_size, training=False)


def _parsed(
    rows: tf.data.Dataset, data: Data, model: keras.Model, batch_size: int, *, training: bool
) -> tf.data.Dataset:
    schema = data.schema
    spec = {schema.feature: tf.io.FixedLenFeature([], tf.string)}
    spec |= _training_spec(schema) if training else {"label": tf.io.FixedLenFeature([], tf.int64)}
    if schema.modality == "text":
        reading = Reading.of(model)
        table = table_of(reading.lines(data.vocabulary))

    def parse(serialized):
        fields = tf.io.parse_example(serialized, spec)
        inputs = _decoded(fields[schema.feature], schema)
        if schema.modality == "text":
            inputs = reading.ids(inputs, table)
        return inputs, *(fields[name] for name in spec if name != schema.feature)

    return rows.batch(batch_size).map(parse, num_parallel_calls=2)


def training_batches(
    data: Data,
    model: keras.Model,
    *,
    copy: int,
    batch_size: int,
    seed: int,
    examples: int | None = None,
    beside: Sequence[np.ndarray] = (),
) -> tf.data.Dataset:
    """Return shuffled ``(inputs, labels, weights, *beside)`` batches of one training copy.

    Labels and weights are what `batches` gives for training.

    Args:
        data: The dataset.
        model: The network to feed (it decides how texts become token ids).
        copy: Stored copy to read.
        batch_size: Examples of a batch; a smaller rest is left out of this epoch.
        seed: Decides the order.
        examples: Read only the first so many of the fixed order.
        beside: Arrays with one row per example read, in the fixed order, e.g. teacher logits.
    """
    rows = batches(
        data, "train", model, copy=copy, batch_size=256, examples=examples, training=True
    ).unbatch()
    available = data.examples("train", copy)
    wanted = min(available, examples or available)
    if beside:  # positions go through the shuffle, and a batch fetches its rows at once
        rows = rows.enumerate()
    rows = rows.shuffle(min(wanted, _shuffle_buffer(model)), seed=seed)
    rows = rows.batch(batch_size, drop_remainder=wanted >= batch_size)
    if beside:
        stored = [tf.constant(one) for one in beside]
        rows = rows.map(lambda at, row: (*row, *(tf.gather(one, at) for one in stored)))
    return rows.prefetch(2)


def steps_per_epoch(data: Data, batch_size: int, examples: int | None, copy: int = 0) -> int:
    """Return how many batches `training_batches` yields."""
    available = data.examples("train", copy)
    return max(1, min(available, examples or available) // batch_size)


def _training_spec(schema: ExampleSchema) -> dict[str, tf.io.FixedLenFeature]:
    """Return the features of an example's label and weight, in that order."""
    label = {"label": tf.io.FixedLenFeature([], tf.int64)}
    if schema.soft_labels:
        classes = len(schema.label_names)
        label = {"soft_label": tf.io.FixedLenFeature([classes], tf.float32)}
    # Without a default, an example that lacks the weight its schema promises is an error.
    absent = None if schema.weights else 1.0
    return label | {"weight": tf.io.FixedLenFeature([], tf.float32, default_value=absent)}


def _shuffle_buffer(model: keras.Model) -> int:
    """Return how many decoded inputs may wait to be drawn."""
    row_bytes = int(np.prod(model.input_shape[1:])) * np.dtype(model.inputs[0].dtype).itemsize
    return max(1, min(SHUFFLE_EXAMPLES, SHUFFLE_BYTES // row_bytes))


def records(data: Data, split: str, copy: int) -> tf.data.Dataset:
    """Return the serialized Examples of one copy of a split in their fixed order."""
    return shard_records(data, data.of(split, copy))


def fixed_order(data: Data, split: str, copy: int) -> np.ndarray:
    """Return where each example of `records` stands in the shards of `Data.of` end to end.

    Positions are ``int64[N]``, from 0.
    """
    counts = np.array([shard.examples for shard in data.of(split, copy)], np.int64)
    rows = _in_turn((np.cumsum(counts) - counts, counts), len(counts), _positions)
    blocks = rows.batch(1 << 16).as_numpy_iterator()
    return np.concatenate(list(blocks))


def _positions(start: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
    return tf.data.Dataset.range(start, start + count)


def shard_records(data: Data, shards: Sequence[ShardInfo]) -> tf.data.Dataset:
    """Return the serialized Examples of some shards, read in turn."""
    paths = [str(data.root / shard.path) for shard in shards]
    compression = "GZIP" if data.schema.file_suffix.endswith(".gz") else ""
    return _in_turn(
        paths, len(paths), lambda path: tf.data.TFRecordDataset(path, compression_type=compression)
    )


def _in_turn(shards: Any, count: int, read: Callable[..., tf.data.Dataset]) -> tf.data.Dataset:
    """Read shards in turn, one element each; what ``read`` makes of them decides the elements."""
    return tf.data.Dataset.from_tensor_slices(shards).interleave(
        read, cycle_length=min(count, READ_IN_TURN), block_length=1
    )


def _decoded(values: tf.Tensor, schema: ExampleSchema) -> tf.Tensor:
    if schema.modality == "text":
        return values
    shape = tuple(schema.image_shape)
    if schema.encoding == "raw":
        return tf.reshape(tf.io.decode_raw(values, tf.uint8), (-1, *shape))

    def decode(encoded):
        return tf.ensure_shape(tf.io.decode_png(encoded, channels=shape[-1]), shape)

    return tf.map_fn(decode, values, fn_output_signature=tf.TensorSpec(shape, tf.uint8))


def _read(path: Path) -> str:
    try:
        return read_plain(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{path}: a dataset needs this file, which cannot be read ({reason}): "
            "materialize the recipe again"
        ) from error
