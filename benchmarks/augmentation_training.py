"""Small trainings, one cell each: a dataset, a schedule of its copies, a seed; results are kept."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.augmentation_data import Sample, plan_of_sample
from pipelines.dataset.files import write_atomic
from schemas.canonical import digest
from schemas.errors import FailedError
from schemas.manifest import load_manifest
from schemas.stages import TrainConfig

if TYPE_CHECKING:
    import keras
    import numpy as np

    from components.data import Data

CELL_VERSION = 1
ORIGINALS_LAST = 0.1
"""Share of the epochs, the last ones, that read the originals."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training.

    Attributes:
        name: What progress calls it.
        dataset: Folder of the materialized dataset.
        sample: What it was built from.
        copies: Stored copies that the epochs cycle through; 0 for the originals alone.
        originals: Whether the cycle has the originals too.
        online: Whether every epoch is augmented afresh instead, inside tf.data.
        config: The network, and how it is trained.
        seed: Decides its weights and the order of the examples.
    """

    name: str
    dataset: str
    sample: Sample
    copies: int
    originals: bool
    online: bool
    config: TrainConfig
    seed: int

    def key(self) -> str:
        """Return the digest of all that decides the result: stored bytes, settings, libraries."""
        manifest = load_manifest(Path(self.dataset))
        return digest(
            {
                "version": CELL_VERSION,
                "shards": sorted([one.path, one.sha256] for one in manifest.shards),
                "policy": manifest.policy if self.online else None,
                "sample": dataclasses.asdict(self.sample),
                "epochs": self.schedule(),
                "online": self.online,
                "config": dataclasses.asdict(self.config),
                "seed": self.seed,
                "libraries": [importlib.metadata.version(one) for one in ("tensorflow", "keras")],
            }
        )

    def schedule(self) -> list[int]:
        """Return the copy that each epoch reads: 1, 2, … in turn, at last the originals."""
        epochs = self.config.epochs
        copies = epochs if self.online else self.copies
        cycle = [*range(1, copies + 1), *([0] if self.originals or not copies else [])]
        last = max(1, round(epochs * ORIGINALS_LAST))
        return [cycle[epoch % len(cycle)] for epoch in range(epochs - last)] + [0] * last


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a training came to: accuracy on the test and eval splits, seconds of wall time."""

    test: float
    eval: float
    loss: float
    seconds: float


def train_cells(cells: Iterable[Cell], kept: Path, *, processes: int) -> list[Score]:
    """Return the score of each cell; those in the folder ``kept`` are not trained again.

    Cells are taken one by one and trained in other processes, so that an iterable that has their
    datasets built does so meanwhile.
    """
    kept.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    futures: dict[Path, Future[str]] = {}
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=spawn, initializer=_prepare)
    try:
        for cell in cells:
            path = kept / f"{cell.key()}.json"
            paths.append(path)
            if path not in futures and not path.is_file():
                futures[path] = pool.submit(_train_and_keep, cell, str(path))
                futures[path].add_done_callback(_show)
        for future in futures.values():
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    return [Score(**json.loads(path.read_text("utf-8"))["score"]) for path in paths]


def _show(future: Future[str]) -> None:
    if not future.cancelled() and future.exception() is None:
        print(future.result(), file=sys.stderr, flush=True)


def _prepare() -> None:
    """Give a training one thread: equal results, and no more of them compete than processes."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def _train_and_keep(cell: Cell, path: str) -> str:
    score = train(cell)
    content = {"cell": cell.name, "score": dataclasses.asdict(score)}
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
    return f"{cell.name}: test {score.test:.4f}, eval {score.eval:.4f}, {score.seconds:.0f} s"


def train(cell: Cell) -> Score:
    """Train one cell and score it."""
    import keras

    from components.data import open_dataset
    from components.evaluate import evaluate
    from components.models import build_model

    started = time.monotonic()
    keras.utils.set_random_seed(cell.seed)
    data = open_dataset(cell.dataset)
    model = build_model(cell.config.model, data)
    loss = _fit(model, epochs(cell, data, model), cell)
    return Score(
        test=evaluate(model, data, "test").accuracy,
        eval=evaluate(model, data, "eval").accuracy,
        loss=loss,
        seconds=round(time.monotonic() - started, 1),
    )


def epochs(cell: Cell, data: Data, model: keras.Model) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the inputs and labels of each epoch, in the order they are stored or drawn."""
    import numpy as np

    from components.data import batches

    def stored(copy: int) -> tuple[np.ndarray, np.ndarray]:
        rows = list(batches(data, "train", model, copy=copy).as_numpy_iterator())
        inputs, labels = zip(*rows, strict=True)
        return np.concatenate(inputs), np.concatenate(labels)

    if cell.online:
        from pipelines.online import Online

        source = Online(plan_of_sample(cell.sample, Path(cell.dataset)))
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for copy in cell.schedule():
        if cell.online and copy:
            rows = source.epoch(copy).batch(1 << 16).as_numpy_iterator()
            parts = [(one[data.schema.feature], one["label"]) for one in rows]
            inputs, labels = zip(*parts, strict=True)
            yield np.concatenate(inputs), np.concatenate(labels)
            continue
        if copy not in seen:
            seen[copy] = stored(copy)
        yield seen[copy]


def _fit(model: keras.Model, epochs: Iterator[tuple[np.ndarray, np.ndarray]], cell: Cell) -> float:
    """Train with the loss, optimizer and schedule of `components.train`; return the last loss."""
    import keras
    import numpy as np
    import tensorflow as tf

    from components.train import Triangular, label_loss

    config = cell.config
    steps = (cell.sample.train // config.batch_size) * config.epochs
    rate = Triangular(config.learning_rate, steps)
    optimizer: Any = (
        keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        if config.optimizer == "sgd"
        else keras.optimizers.Adam(rate, weight_decay=config.weight_decay or None)
    )
    optimizer.build(model.trainable_variables)
    decayed = [
        config.weight_decay if len(one.shape) > 1 and config.optimizer == "sgd" else 0.0
        for one in model.trainable_variables
    ]
    loss = label_loss(config.label_smoothing)

    @tf.function(reduce_retracing=True)
    def step(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(model(inputs, training=True), labels))
        variables = [one.value for one in model.trainable_variables]
        gradients = [
            gradient + decay * variable if decay else gradient
            for gradient, variable, decay in zip(
                tape.gradient(value, variables), variables, decayed, strict=True
            )
        ]
        optimizer.apply(gradients, model.trainable_variables)
        return value

    mean = 0.0
    for epoch, (inputs, labels) in enumerate(epochs):
        order = np.random.default_rng([cell.seed, epoch]).permutation(len(labels))
        ends = range(config.batch_size, len(order) + 1, config.batch_size)
        chosen = [order[end - config.batch_size : end] for end in ends]
        values = [step(tf.constant(inputs[rows]), tf.constant(labels[rows])) for rows in chosen]
        mean = float(np.mean([one.numpy() for one in values]))
        if not np.isfinite(mean):
            raise FailedError(f"{cell.name}: the loss became {mean} in epoch {epoch + 1}")
    return mean
