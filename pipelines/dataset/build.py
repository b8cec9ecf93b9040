"""Materialize: the Beam wiring around `store.run_task`, with the manifest written last.

No grouping, no round-robin and no runner-chosen batch touches the bytes of a shard: a task writes
its own files, and what flows through Beam is only their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines.dataset import files, store
from pipelines.dataset.plan import Plan
from pipelines.dataset.slices import Job, SliceTask
from pipelines.dataset.survey import Survey, Totals, encode_survey, finish, vocabulary
from schemas.errors import InputError
from schemas.manifest import MANIFEST, Manifest, ShardInfo, dataset_digest

PROBLEMS = "problems.txt"
"""In ``_work/``: what is wrong with the input, one line per slice."""


class BuildSlices(beam.DoFn):  # type: ignore[misc]
    """Builds and writes the shards of slice tasks; emits ``(shard paths, problem or None)``."""

    def __init__(self, job: Job) -> None:
        """Keep what all tasks share."""
        self._job = job
        self._examples = Metrics.counter("refinery", "examples")
        self._bytes = Metrics.counter("refinery", "bytes")

    def process(self, element: SliceTask) -> Iterator[tuple[list[str], str | None]]:
        """Run one task; bad input is a result, not an exception that a runner would retry."""
        try:
            infos = store.run_task(self._job, element)
        except InputError as error:
            yield [], str(error)
            return
        self._examples.inc(sum(info.examples for info in infos))
        self._bytes.inc(sum(info.bytes for info in infos))
        yield [info.path for info in infos], None


class Materialize(beam.PTransform):  # type: ignore[misc]
    """From the root of a pipeline to a published dataset.

    Args:
        plan: The dataset to build.
        todo: The tasks that are left (all of them, or what an earlier run did not finish).
    """

    def __init__(self, plan: Plan, todo: Iterable[SliceTask]) -> None:
        """Keep the plan."""
        super().__init__()
        self._plan = plan
        self._todo = list(todo)

    def expand(self, pcoll: Any) -> Any:
        """Wire the survey, the shard tasks and the publication behind both."""
        plan = self._plan
        built = (
            pcoll
            | "Tasks" >> beam.Create(self._todo, reshuffle=False)
            | "SpreadTasks" >> beam.Reshuffle()
            | "BuildShards" >> beam.ParDo(BuildSlices(plan.job))
        )
        totals, groups = (
            pcoll
            | "Slices" >> beam.Create(list(plan.tasks), reshuffle=False)
            | "SpreadSlices" >> beam.Reshuffle()
            | "Survey" >> Survey(plan.job)
        )
        return (
            pcoll
            | "Once" >> beam.Create([plan])
            | "Publish"
            >> beam.Map(
                publish,
                beam.pvalue.AsList(built),
                beam.pvalue.AsSingleton(totals),
                beam.pvalue.AsList(groups),
            )
        )


def publish(
    plan: Plan,
    built: list[tuple[list[str], str | None]],
    totals: Totals,
    groups: list[list[tuple[str, str]]],
) -> str:
    """Write the survey, vocabulary and provenance, then the manifest; return the digest.

    With any problem among ``built`` nothing is published; the problems are left in ``_work/``.
    """
    job = plan.job
    problems = sorted({problem for _, problem in built if problem})
    if problems:
        text = "\n".join(problems) + "\n"
        files.write_atomic(files.join(job.output, store.WORK, PROBLEMS), text.encode("utf-8"))
        return ""
    shards = store.collect_shards(job, plan.tasks)
    written = [
        store.write_file(job, store.SURVEY, encode_survey(finish(job, totals, groups))),
        store.write_file(job, store.PROVENANCE, store.merge_provenance(job, shards)),
    ]
    if job.schema.modality == "text":
        words = vocabulary(totals, plan.vocabulary)
        text = "".join(f"{word}\n" for word in words)
        written.append(store.write_file(job, store.VOCABULARY, text.encode("utf-8")))
    quarantined, records = store.quarantine_files(job)
    written += quarantined
    manifest = Manifest(
        name=plan.name,
        fingerprint=plan.fingerprint,
        recipe=plan.content,
        source=plan.source_identity,
        policy=plan.policy_identity,
        schema=job.schema,
        versions=plan.versions,
        shards=tuple(shards),
        files=tuple(sorted(written, key=lambda one: one.path)),
        counts=_counts(job, shards, records),
        digest=dataset_digest(plan.fingerprint, shards, written),
    )
    files.write_atomic(files.join(job.output, MANIFEST), manifest.to_json().encode("utf-8"))
    return manifest.digest


def _counts(job: Job, shards: list[ShardInfo], quarantined: int) -> dict[str, Any]:
    """Return the examples per split, per split and class name, and per split and op."""
    names = job.schema.label_names
    examples: dict[str, int] = {}
    classes: dict[str, dict[str, int]] = {}
    ops: dict[str, dict[str, int]] = {}
    for shard in shards:
        split = shard.split
        examples[split] = examples.get(split, 0) + shard.examples
        for label, count in shard.classes.items():
            of_split = classes.setdefault(split, dict.fromkeys(names, 0))
            of_split[names[int(label)]] += count
        for op, count in shard.ops.items():
            ops.setdefault(split, {})[op] = ops.get(split, {}).get(op, 0) + count
    return {"examples": examples, "classes": classes, "ops": ops, "quarantined": quarantined}
