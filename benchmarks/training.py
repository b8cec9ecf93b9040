"""What benchmarks that train networks share: one thread, a sample of a recipe, progress, spread."""

from __future__ import annotations

import io
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.augmentation_data import Sample, plan_of_sample
from pipelines.dataset.materialize import materialize
from schemas.errors import FailedError

if TYPE_CHECKING:
    import keras

    from components.data import Data
    from components.signals import StoredSignals


def one_thread() -> None:
    """Give TensorFlow one thread; it must not run yet.

    Raises:
        FailedError: it runs already.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise FailedError("TensorFlow runs already; measure in a process of its own") from error


def dataset_of(recipe: str, seed: int, folder: Path, *, train: int, evaluation: int) -> Data:
    """Build a sample of a recipe with 3 augmented copies; the seed decides which images."""
    from components.data import open_dataset

    sample = Sample(
        recipe=recipe,
        train=train,
        evaluation=evaluation,
        policy={"preset": "classic"},
        copies=3,
        seed=seed,
    )
    plan = plan_of_sample(sample, folder / "datasets")
    return open_dataset(materialize(plan, stream=io.StringIO()).path)


def context_of(
    data: Data,
    seed: int,
    *,
    base: keras.Model | None = None,
    teacher: keras.Model | None = None,
    signals: StoredSignals | None = None,
) -> Any:
    """Return what a training is given; all that follows depends on the seed alone."""
    from components.stages import be_deterministic
    from components.train import Context

    be_deterministic(seed)
    return Context(
        data=data,
        base=base,
        teacher=teacher,
        seed=seed,
        progress=lambda line: None,
        notes={},
        signals=signals,
    )


def add(runs: dict[str, list[float]], name: str, value: float) -> None:
    """Put down one more run of a figure."""
    runs.setdefault(name, []).append(value)


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample, 0 for one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def say(line: str) -> None:
    """Tell how far a measurement is."""
    print(line, file=sys.stderr, flush=True)
