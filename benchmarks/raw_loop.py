"""The limit: one process, one plain loop, nothing but the work itself.

Reads, decodes, augments, encodes and writes with the functions that the pipeline uses, to the same
number of files. It has no Beam, no survey, no provenance, no digests, no atomic or synced writes,
and it cannot resume.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipelines.dataset.images import ENCODERS, decode_image
from pipelines.dataset.records import encode_examples, frame
from pipelines.dataset.slices import Job, SliceTask, split_of


def raw_loop(job: Job, tasks: Iterable[SliceTask], folder: Path) -> None:
    """Write the examples of the tasks' shards to plain TFRecord files in ``folder``."""
    folder.mkdir(parents=True)
    channels = job.schema.image_shape[2] if job.schema.image_shape else 3
    encode = ENCODERS[job.schema.encoding]
    for task in tasks:
        rows: dict[str, list[tuple[str, int, np.ndarray]]] = {split: [] for split, _ in task.shards}
        for record in job.source.read(task.source_split, task.start, task.stop):
            value = record.value
            image = decode_image(value, channels) if isinstance(value, bytes) else value
            split = split_of(record.key, task.source_split, job.splits)
            rows[split].append((record.key, record.label, image))
        batches = {split: (np.stack([image for *_, image in some])) for split, some in rows.items()}
        for split, copy in task.shards:
            keys = [key for key, *_ in rows[split]]
            images, _ = job.policy.apply(batches[split], keys, seed=job.seed, copy=copy)
            examples = [
                {"key": key.encode(), "copy": copy, "label": label, "image": encoded}
                for (key, label, _), encoded in zip(rows[split], encode(images), strict=True)
            ]
            path = folder / f"{split}-copy{copy:02d}-{task.number:04d}.tfrecord"
            path.write_bytes(frame(encode_examples(examples))[0])
