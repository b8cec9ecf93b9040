"""What a teacher says about every training example: asked for in memory, or stored before.

Copies are materialized, so an answer stays true as long as the teacher and the dataset do: both
digests are checked whenever stored signals are opened. `components.signal_store` writes them.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from components.attention import attention_map, feature_maps, unit, watched
from components.data import SCORING_BATCH, Data, fixed_order, shard_batches
from schemas.canonical import sha256
from schemas.errors import InputError
from schemas.manifest import ShardInfo
from schemas.teaching import (
    SIGNALS,
    MapPrecision,
    SignalShard,
    SignalsManifest,
    load_signals_manifest,
)

_LEVELS = 255


@dataclass(frozen=True)
class Answers:
    """A teacher's answers to N examples.

    Attributes:
        logits: ``float32[N, classes]``.
        maps: Per layer ``[N, positions]``: ``float16`` of length 1, or ``uint8`` with the largest
            at 255.
        errors: Per layer the largest difference of a stored value from the exact one.
    """

    logits: np.ndarray
    maps: tuple[np.ndarray, ...] = ()
    errors: tuple[float, ...] = ()


class Teacher(Protocol):
    """Whoever answers for the examples of a copy."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """Layers whose attention maps it can give: name to the shape of the positions."""

    def answers(
        self, copy: int, examples: int | None, layers: Sequence[str]
    ) -> tuple[np.ndarray, ...]:
        """Return logits, then the maps of these layers, in the fixed order of `components.data`.

        Only those of the first ``examples``, where that is a number.
        """


class LiveTeacher:
    """A network in memory; it scores a copy when an epoch first reads it, and remembers."""

    def __init__(self, model: keras.Model, data: Data) -> None:
        self._model = model
        self._data = data
        self._scorers: dict[tuple[str, ...], Scorer] = {}
        self._known: dict[tuple, tuple[np.ndarray, ...]] = {}

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self._model.output_shape[-1]

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """Every layer with a feature map."""
        return feature_maps(self._model)

    def answers(
        self, copy: int, examples: int | None, layers: Sequence[str]
    ) -> tuple[np.ndarray, ...]:
        """Return what `Teacher.answers` says; shards are scored as `store_signals` does."""
        key = (copy, examples, *layers)
        if key not in self._known:
            scorer = self._scorers.setdefault(tuple(layers), Scorer(self._model, layers))
            self._known[key] = _in_fixed_order(
                self._data,
                copy,
                examples,
                lambda shard, needed: _columns(scorer.score(self._data, shard, needed)),
            )
        return self._known[key]


@dataclass(frozen=True)
class StoredSignals:
    """Signals on disk, known to belong to the dataset; see `open_signals`.

    Attributes:
        folder: Where they lie.
        manifest: What they are.
        data: The dataset.
    """

    folder: Path
    manifest: SignalsManifest
    data: Data
    _known: dict[tuple, tuple[np.ndarray, ...]] = field(default_factory=dict, compare=False)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.manifest.classes)

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The layers whose maps were stored."""
        return {one.layer: one.size for one in self.manifest.maps}

    def answers(
        self, copy: int, examples: int | None, layers: Sequence[str]
    ) -> tuple[np.ndarray, ...]:
        """Return what `Teacher.answers` says.

        Raises:
            InputError: no signals of that copy, or a file is not what the manifest says.
        """
        key = (copy, examples, *layers)
        if key not in self._known:
            files = {one.source: one for one in self.manifest.shards}
            names = ["logits", *(f"map{[*self.sizes].index(layer)}" for layer in layers)]

            def read(shard: ShardInfo, _: int) -> tuple[np.ndarray, ...]:
                if shard.path not in files:
                    raise InputError(
                        f"{self.folder}: no signals for copy {copy}; copies there: "
                        f"{sorted({one.copy for one in files.values()})}. Store those too, or let "
                        "the stage read fewer copies."
                    )
                return tuple(self._read(files[shard.path])[name] for name in names)

            self._known[key] = _in_fixed_order(self.data, copy, examples, read)
        return self._known[key]

    def _read(self, entry: SignalShard) -> dict[str, np.ndarray]:
        path = self.folder / entry.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}). Store the signals again."
            ) from error
        if sha256(content) != entry.sha256:
            raise InputError(f"{path}: not what {SIGNALS} says it is. Store the signals again.")
        with np.load(io.BytesIO(content)) as arrays:
            return dict(arrays)


def open_signals(folder: str | Path, data: Data, *, teacher: str | None = None) -> StoredSignals:
    """Open stored signals for training on a dataset.

    Args:
        folder: Where they lie.
        data: The dataset to train on.
        teacher: Digest of the teacher that they have to come from, where it is known.

    Raises:
        InputError: there are none, or they are of another dataset or teacher.
    """
    folder = Path(folder)
    manifest = load_signals_manifest(folder)
    for what, found, wanted in (
        ("dataset", manifest.dataset, data.digest),
        ("teacher", manifest.teacher, teacher or manifest.teacher),
    ):
        if found != wanted:
            raise InputError(
                f"{folder}: these signals are of the {what} {found[:12]}, not of {wanted[:12]}; "
                f"they are stale, or belong elsewhere. Store them again with this {what}."
            )
    return StoredSignals(folder, manifest, data)


class Scorer:
    """A teacher ready to answer shard by shard.

    Args:
        model: The teacher.
        layers: Layers whose attention maps are wanted.
        precision: ``float16`` or ``uint8``: how the maps are returned.
    """

    def __init__(
        self, model: keras.Model, layers: Sequence[str] = (), precision: MapPrecision = "float16"
    ) -> None:
        self._model = model
        self._precision = precision
        network = watched(model, layers) if layers else model

        def forward(inputs):
            found = network(inputs, training=False)
            logits, *features = found if layers else [found]
            return logits, [attention_map(one) for one in features]

        self._forward = tf.function(forward, reduce_retracing=True)

    def score(self, data: Data, shard: ShardInfo, needed: int | None = None) -> Answers:
        """Answer for a shard in its own order, or for its first ``needed`` examples at least.

        Batches do not depend on ``needed``, so that neither do the answers, to the last bit.
        """
        logits, maps, errors, done = [], [], [], 0
        for inputs, _ in shard_batches(data, shard, self._model, batch_size=SCORING_BATCH):
            if needed is not None and done >= needed:
                break
            answer, exact = self._forward(inputs)
            stored = [_stored(one.numpy(), self._precision) for one in exact]
            logits.append(answer.numpy())
            maps.append([values for values, _ in stored])
            errors.append([error for _, error in stored])
            done += len(logits[-1])
        return Answers(
            np.concatenate(logits),
            tuple(np.concatenate(parts) for parts in zip(*maps, strict=True)),
            tuple(max(parts) for parts in zip(*errors, strict=True)),
        )


def as_maps(stored: tf.Tensor) -> tf.Tensor:
    """Turn stored maps ``[N, positions]`` into ``float32`` of length 1, inside a graph."""
    maps = tf.cast(stored, tf.float32)
    return unit(maps) if stored.dtype == tf.uint8 else maps


def _columns(answers: Answers) -> tuple[np.ndarray, ...]:
    return (answers.logits, *answers.maps)


def _in_fixed_order(
    data: Data,
    copy: int,
    examples: int | None,
    read: Callable[[ShardInfo, int], tuple[np.ndarray, ...]],
) -> tuple[np.ndarray, ...]:
    """Read the shards of a copy, as much of each as is needed, and arrange what they gave.

    ``read`` returns arrays with a row per example: at least as many as it is asked for.
    """
    order = fixed_order(data, "train", copy)[:examples]
    start, shards, parts = 0, data.of("train", copy), []
    at = np.empty(len(order), np.int64)
    rows = 0
    for shard in shards:
        mine = np.flatnonzero((order >= start) & (order < start + shard.examples))
        if len(mine):
            local = order[mine] - start
            part = read(shard, int(local.max()) + 1)
            parts.append(part)
            at[mine] = local + rows
            rows += len(part[0])
        start += shard.examples
    return tuple(np.concatenate(column)[at] for column in zip(*parts, strict=True))


def _stored(maps: np.ndarray, precision: MapPrecision) -> tuple[np.ndarray, float]:
    """Return maps ``float32[N, positions]`` of length 1 as they are stored, and the error."""
    if precision == "uint8":
        peaks = np.maximum(maps.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        stored = np.rint(maps / peaks * _LEVELS).astype(np.uint8)
        used = stored / np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1)
    else:
        stored = maps.astype(np.float16)
        used = stored.astype(np.float32)
    return stored, float(np.abs(used - maps).max(initial=0.0))
