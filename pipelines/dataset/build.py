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
from pipelines.dataset.slices import Job, SliceTask, read_slice
from pipelines.dataset.survey import (
    FindDuplicates,
    MergeTotals,
    Totals,
    by_bucket,
    encode_survey,
    finish,
    survey_slice,
    vocabulary,
)
from schemas.errors import InputError
from schemas.manifest import MANIFEST, Manifest, ShardInfo, dataset_digest

PROBLEMS = "problems.txt"
"""In ``_work/``: what is wrong with the input, one line per slice."""


class BuildSlices(beam.DoFn):  # type: ignore[misc]
    """Reads each slice once, for the survey and for the shards that it still lacks.

    Takes ``(task, its task with the missing shards alone, or None)``. Emits ``(shard paths, problem
    or None)``, and tagged ``totals`` and ``hashes`` what `survey_slice` finds.
    """

    def __init__(self, job: Job) -> None:
        """Keep what all tasks share."""
        self._job = job
        self._examples = Metrics.counter("refinery", "examples")
        self._bytes = Metrics.counter("refinery", "bytes")

    def process(self, element: tuple[SliceTask, SliceTask | None]) -> Iterator[Any]:
        """Do one slice; bad input is a result, not an exception that a runner would retry."""
        task, missing = element
        try:
            data = read_slice(self._job, task)
        except InputError as error:
            yield [], str(error)
            return
        if missing is not None:
            infos = store.run_task(self._job, missing, data)
            self._examples.inc(sum(info.examples for info in infos))
            self._bytes.inc(sum(info.bytes for info in infos))
            yield [info.path for info in infos], None
        totals, hashes = survey_slice(data)
        yield beam.pvalue.TaggedOutput("totals", totals)
        for bucket in by_bucket(hashes).items():
            yield beam.pvalue.TaggedOutput("hashes", bucket)


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
        """Wire the shard tasks, the survey and the publication behind both."""
        plan = self._plan
        missing = {(task.source_split, task.number): task for task in self._todo}
        slices = [(task, missing.get((task.source_split, task.number))) for task in plan.tasks]
        parts = (
            pcoll
            | "Slices" >> beam.Create(slices, reshuffle=False)
            | "SpreadSlices" >> beam.Reshuffle()
            | "BuildShards"
            >> beam.ParDo(BuildSlices(plan.job)).with_outputs("totals", "hashes", main="built")
        )
        totals = parts.totals | "Totals" >> beam.CombineGlobally(MergeTotals())
        groups = parts.hashes | "FindDuplicates" >> FindDuplicates()
        return (
            pcoll
            | "Once" >> beam.Create([plan])
            | "Publish"
            >> beam.Map(
                publish,
                beam.pvalue.AsList(parts.built),
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
    files.sync(files.join(job.output, shard.path) for shard in shards)
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
