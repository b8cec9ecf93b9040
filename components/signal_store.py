"""Storing teacher signals: one file per dataset shard, in its order, and the manifest last.

A file is a pure function of teacher and shard. It appears whole or not at all, and holds the
digest of all that decides it: whoever runs the same again takes over what is finished, and two who
run at once write the same bytes.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from components.attention import feature_maps, last_of_each_size
from components.data import Data
from components.evaluate import evaluate
from components.models import model_digest
from components.signals import Answers, Scorer
from components.train import Context
from components.tree import write_bytes
from schemas.canonical import digest, sha256
from schemas.errors import InputError, unknown_name
from schemas.manifest import ShardInfo
from schemas.teaching import (
    SIGNALS,
    SIGNALS_VERSION,
    MapInfo,
    MapPrecision,
    SignalsConfig,
    SignalShard,
    SignalsManifest,
)

SUFFIX = ".npz"


def run(context: Context, config: SignalsConfig, folder: Path) -> dict[str, Any]:
    """Store the teacher's answers in ``folder``; return what is known of the teacher."""
    teacher = context.teacher
    known = model_digest(teacher)
    manifest = store_signals(
        teacher, context.data, folder, config, teacher=known, progress=context.progress
    )
    context.notes["maps"] = {one.layer: one.error for one in manifest.maps}
    scores = evaluate(teacher, context.data)
    return {
        "accuracy": scores.accuracy,
        "loss": scores.loss,
        "examples": scores.examples,
        "parameters": teacher.count_params(),
        "digest": manifest.digest,
    }


def layers_to_store(model: keras.Model, config: SignalsConfig) -> dict[str, tuple[int, ...]]:
    """Return the layers whose maps a config asks for, with the shape of their positions.

    Raises:
        InputError: a named layer has no feature map, or layers are named and ``maps`` is none.
    """
    if config.maps == "none":
        if config.layers:
            raise InputError("layers are of use with maps only: set maps to float16 or uint8")
        return {}
    every = feature_maps(model)
    for name in config.layers:
        if name not in every:
            raise InputError(unknown_name("feature map of the teacher", name, every))
    return {one: every[one] for one in config.layers} or last_of_each_size(every)


def shards_to_score(data: Data, copies: int | None) -> list[ShardInfo]:
    """Return the training shards of the first so many copies (None: of all), empty ones left out.

    No stage learns from the eval and test splits, so nobody is asked about them.
    """
    chosen = data.copies("train")[:copies]
    return [one for copy in chosen for one in data.of("train", copy) if one.examples]


def store_signals(
    model: keras.Model,
    data: Data,
    folder: str | Path,
    config: SignalsConfig,
    *,
    teacher: str,
    progress: Callable[[str], None] = lambda line: None,
) -> SignalsManifest:
    """Score and store every training shard in this process; a killed run resumes by the shard.

    `pipelines.signals` does the same with Beam.

    Args:
        model: The teacher.
        data: The dataset.
        folder: Where the signals go.
        config: Which maps and copies.
        teacher: Digest of the teacher.
        progress: Called with one line of text per shard.
    """
    sizes = layers_to_store(model, config)
    scorer = Scorer(model, list(sizes), config.maps)
    shards = shards_to_score(data, config.copies)
    for number, shard in enumerate(shards, start=1):
        stamp = stamp_of(data, shard, teacher, sizes, config.maps)
        fresh = finished_shard(folder, shard, stamp) is None
        if fresh:
            write_shard(folder, shard, scorer.score(data, shard), stamp)
        progress(
            f"shard {number}/{len(shards)}  copy {shard.copy}  {shard.examples:,} examples"
            f"{'' if fresh else '  (was there)'}"
        )
    return publish(folder, data, shards, sizes=sizes, precision=config.maps, teacher=teacher)


def stamp_of(
    data: Data,
    shard: ShardInfo,
    teacher: str,
    sizes: Mapping[str, tuple[int, ...]],
    precision: MapPrecision,
) -> str:
    """Return the digest of all that decides a file of signals."""
    return digest(
        {
            "version": SIGNALS_VERSION,
            "teacher": teacher,
            "dataset": data.digest,
            "shard": [shard.path, shard.sha256],
            "layers": [[layer, list(size)] for layer, size in sizes.items()],
            "precision": precision,
        }
    )


def write_shard(folder: str | Path, shard: ShardInfo, answers: Answers, stamp: str) -> None:
    """Write one file of signals whole; the same answers give the same bytes.

    Raises:
        InputError: there are not as many answers as examples.
        FailedError: it cannot be written.
    """
    if len(answers.logits) != shard.examples:
        raise InputError(
            f"{shard.path} holds {len(answers.logits):,} examples, not the {shard.examples:,} of "
            "the manifest: see what `beam_runner.py verify` says"
        )
    arrays = {
        "stamp": np.frombuffer(stamp.encode(), np.uint8),
        "logits": answers.logits.astype(np.float32),
        "errors": np.array(answers.errors, np.float64),
    } | {f"map{number}": one for number, one in enumerate(answers.maps)}
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    path = Path(folder) / _path_of(shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, sink.getvalue())


def finished_shard(
    folder: str | Path, shard: ShardInfo, stamp: str
) -> tuple[SignalShard, tuple[float, ...]] | None:
    """Return a finished file's entry and its maps' errors; None where it has to be written."""
    try:
        content = (Path(folder) / _path_of(shard)).read_bytes()
        with np.load(io.BytesIO(content)) as arrays:
            kept = {name: arrays[name] for name in arrays.files}  # checks every checksum
        if kept["stamp"].tobytes() != stamp.encode() or len(kept["logits"]) != shard.examples:
            return None
        errors = tuple(kept["errors"].tolist())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    entry = SignalShard(
        path=_path_of(shard),
        source=shard.path,
        copy=shard.copy,
        examples=shard.examples,
        bytes=len(content),
        sha256=sha256(content),
    )
    return entry, errors


def publish(
    folder: str | Path,
    data: Data,
    shards: Sequence[ShardInfo],
    *,
    teacher: str,
    sizes: Mapping[str, tuple[int, ...]] | None = None,
    precision: MapPrecision = "none",
) -> SignalsManifest:
    """Write the manifest over the finished files, and return it.

    Raises:
        InputError: a file is missing; the same command again writes it.
    """
    sizes = sizes or {}
    entries, errors = [], []
    for shard in shards:
        found = finished_shard(folder, shard, stamp_of(data, shard, teacher, sizes, precision))
        if found is None:
            raise InputError(f"{folder}: {_path_of(shard)} is not finished; run the same again")
        entries.append(found[0])
        errors.append(found[1])
    largest = [max(column) for column in zip(*errors, strict=True)]
    manifest = SignalsManifest(
        teacher=teacher,
        dataset=data.digest,
        classes=tuple(data.schema.label_names),
        maps=tuple(
            MapInfo(layer=layer, size=size, error=error)
            for (layer, size), error in zip(sizes.items(), largest, strict=True)
        ),
        precision=precision,
        shards=tuple(sorted(entries, key=lambda one: one.path)),
    )
    write_bytes(Path(folder) / SIGNALS, manifest.to_json().encode("utf-8"))
    return manifest


def _path_of(shard: ShardInfo) -> str:
    """Return where the signals of ``Split-train/copy01-slice0007.tfrecord`` lie."""
    folder, name = shard.path.rsplit("/", 1)
    return f"{folder}/{name.split('.')[0]}{SUFFIX}"
