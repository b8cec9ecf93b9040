"""The same policy inside tf.data: epoch ``k`` has the examples that a dataset stores as copy ``k``.

For comparison with materialized copies, and for training without them: nothing is written. Slices
are those of the plan, so that ops that mix examples find the same partners as in the shards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.dataset.decisions import Decisions
from pipelines.dataset.plan import Plan
from pipelines.dataset.shards import augmented
from pipelines.dataset.slices import Examples, Job, SliceTask, read_slice
from schemas.errors import InputError


class Online:
    """The training split of a plan, augmented while it is read.

    Args:
        plan: What `pipelines.dataset.plan.make_plan` returns; its output folder is never touched.
        decisions: What the survey settled, where the recipe balances classes or has ops that need
            language models.
        hold: Keep the decoded originals in memory, so that the source is read once.
        workers: Slices that are augmented at the same time.

    Raises:
        InputError: Copies depend on a survey that is not given, or on eval and test examples.
    """

    def __init__(
        self,
        plan: Plan,
        decisions: Decisions | None = None,
        *,
        hold: bool = True,
        workers: int = 1,
    ) -> None:
        """Keep the slices that hold training examples."""
        _check(plan.job, decisions)
        self._job = plan.job
        self._decisions = decisions or Decisions()
        self._tasks = [
            dataclasses.replace(task, shards=(("train", 0),))
            for task in plan.tasks
            if any(split == "train" for split, _ in task.shards)
        ]
        self._workers = workers
        self._read = lru_cache(maxsize=None if hold else 0)(self._read_slice)

    def epoch(self, number: int) -> tf.data.Dataset:
        """Return the examples of an epoch, one by one, slice after slice in source order.

        Each is a mapping: ``key`` (string), ``label`` (int64), the schema's feature (an image
        ``uint8[H, W, C]`` or a text), and ``soft_label`` (``float32[classes]``) where the policy
        mixes examples. Epoch 0 has the originals, epoch ``k`` what copy ``k`` holds or would hold.

        Raises:
            InputError: The number is negative.
        """
        if number < 0:
            raise InputError(f"an epoch must be 0 (the originals) or more, not {number}")
        specs = self._specs()

        def load(position: tf.Tensor) -> dict[str, tf.Tensor]:
            columns = tf.numpy_function(
                lambda at: self._columns(self._tasks[int(at)], number),
                [position],
                [spec.dtype for spec in specs.values()],
            )
            for column, spec in zip(columns, specs.values(), strict=True):
                column.set_shape((None, *spec.shape))
            return dict(zip(specs, columns, strict=True))

        slices = tf.data.Dataset.range(len(self._tasks))
        return slices.map(load, num_parallel_calls=self._workers, deterministic=True).unbatch()

    def _specs(self) -> dict[str, tf.TensorSpec]:
        """Return the features of one example."""
        schema = self._job.schema
        value = (
            tf.TensorSpec((), tf.string)
            if schema.image_shape is None
            else tf.TensorSpec(schema.image_shape, tf.uint8)
        )
        soft = {"soft_label": tf.TensorSpec((len(schema.label_names),), tf.float32)}
        return {
            "key": tf.TensorSpec((), tf.string),
            "label": tf.TensorSpec((), tf.int64),
            schema.feature: value,
        } | (soft if schema.soft_labels else {})

    def _columns(self, task: SliceTask, number: int) -> list[np.ndarray]:
        """Return the columns of a slice, in the order of the specs."""
        examples = self._read(task)
        copy = augmented(self._job, examples, split="train", copy=number, decisions=self._decisions)
        made = copy.examples
        values = _strings(made.values) if isinstance(made.values, list) else made.values
        soft = [] if copy.soft is None else [copy.soft]
        return [_strings(made.keys), made.labels, values, *soft]

    def _read_slice(self, task: SliceTask) -> Examples:
        return read_slice(self._job, task).splits["train"]


def _check(job: Job, decisions: Decisions | None) -> None:
    """Refuse what would silently differ from the shards."""
    if job.leakage == "drop":
        raise InputError(
            "leakage: drop leaves out copies that resemble eval or test examples, which is known "
            "only once they are stored; online, set leakage to report or off.",
            path=("leakage",),
        )
    asks = "balance" if job.balance else ""
    asks = "policy" if "ngrams" in job.policy.needs() else asks
    if asks and decisions is None:
        raise InputError(
            "copies depend on the survey of the whole dataset; pass decisions=, from a "
            "materialized one: Decisions.from_files (pipelines.dataset.decisions).",
            path=(asks,),
        )


def _strings(texts: Sequence[str]) -> np.ndarray:
    made: Any = np.empty(len(texts), dtype=object)
    made[:] = [text.encode("utf-8") for text in texts]
    return made
