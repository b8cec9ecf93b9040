"""Materialize: the Beam wiring around `store.run_task`, with the manifest written last.

No grouping, no round-robin and no runner-chosen batch touches the bytes of a shard: a task writes
its own files, and what flows through Beam is only their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics

from pipelines.dataset import files, store
from pipelines.dataset.conclusions import Survey, conclude
from pipelines.dataset.decisions import NONE, Decisions
from pipelines.dataset.plan import Plan
from pipelines.dataset.slices import Job, SliceData, SliceTask, read_slice
from pipelines.dataset.survey import (
    FindDuplicates,
    FindNearDuplicates,
    MergeTotals,
    by_bucket,
    survey_slice,
)
from schemas.dataset_schema import SCHEMA_FILE
from schemas.errors import InputError
from schemas.manifest import Manifest, ShardInfo, dataset_digest

_NOTHING_LEARNED = (
    "generate_sentence has no sentence to learn from: the training split holds none that begins "
    "with a capital, ends with a full stop and names nobody. Remove the op from the policy."
)

SURVEYED = ("totals", "hashes", "sketches")


class SurveySlices(beam.DoFn):  # type: ignore[misc]
    """Reads each slice for the survey alone: the first pass where shards depend on it.

    Takes tasks. Emits a problem with the input, and tagged ``totals``, ``hashes`` and ``sketches``
    what `survey_slice` finds.
    """

    def __init__(self, job: Job) -> None:
        """Keep what all tasks share."""
        self._job = job

    def process(self, element: SliceTask) -> Iterator[Any]:
        """Do one slice."""
        try:
            data = read_slice(self._job, element)
        except InputError as error:
            yield str(error)
            return
        yield from _surveyed(self._job, data)


class BuildSlices(beam.DoFn):  # type: ignore[misc]
    """Builds the shards that a slice still lacks.

    Takes ``(task, its task with the missing shards alone, or None)`` and, where shards depend on
    the survey, the decisions and the survey's problems: with any, the decisions lack examples, and
    shards made by them would be resumed as finished. Emits ``(shard paths, problem or None)``;
    without decisions it also surveys the slice, so that nothing is read twice: tagged as
    `SurveySlices` does.
    """

    def __init__(self, job: Job) -> None:
        """Keep what all tasks share."""
        self._job = job
        self._examples = Metrics.counter("refinery", "examples")
        self._bytes = Metrics.counter("refinery", "bytes")

    def setup(self) -> None:
        """Check the worker once."""
        self._job.check_resources()

    def process(
        self,
        element: tuple[SliceTask, SliceTask | None],
        decisions: Decisions | None = None,
        problems: Sequence[str] = (),
    ) -> Iterator[Any]:
        """Do one slice; bad input is a result, not an exception that a runner would retry."""
        task, missing = element
        if problems or (missing is None and decisions is not None):
            return
        if decisions is not None and not decisions.suffice(self._job.policy):
            yield [], _NOTHING_LEARNED
            return
        try:
            data = read_slice(self._job, task)
        except InputError as error:
            yield [], str(error)
            return
        if missing is not None:
            infos = store.run_task(self._job, missing, data, decisions or NONE)
            self._examples.inc(sum(info.examples for info in infos))
            self._bytes.inc(sum(info.bytes for info in infos))
            yield [info.path for info in infos], None
        if decisions is None:
            yield from _surveyed(self._job, data)


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
        missing = {(task.source_split, task.number): task for task in self._todo}
        slices = [(task, missing.get((task.source_split, task.number))) for task in plan.tasks]
        spread = (
            pcoll
            | "Slices" >> beam.Create(slices, reshuffle=False)
            | "SpreadSlices" >> beam.Reshuffle()
        )
        once = pcoll | "Once" >> beam.Create([plan])
        if plan.job.needs_survey:
            surveyed = (
                spread
                | "Tasks" >> beam.Map(lambda pair: pair[0])
                | "SurveySlices"
                >> beam.ParDo(SurveySlices(plan.job)).with_outputs(*SURVEYED, main="problems")
            )
            survey = _merged(once, plan.job, surveyed)
            decisions = survey | "Decisions" >> beam.Map(lambda found: found.decisions)
            built = (
                spread
                | "Again" >> beam.Reshuffle()
                | "BuildShards"
                >> beam.ParDo(
                    BuildSlices(plan.job),
                    beam.pvalue.AsSingleton(decisions),
                    beam.pvalue.AsList(surveyed.problems),
                )
            )
            problems = surveyed.problems | "Problems" >> beam.Map(lambda problem: ([], problem))
            built = (built, problems) | "Outcomes" >> beam.Flatten()
        else:
            parts = spread | "BuildShards" >> beam.ParDo(BuildSlices(plan.job)).with_outputs(
                *SURVEYED, main="built"
            )
            survey, built = _merged(once, plan.job, parts), parts.built
        return once | "Publish" >> beam.Map(
            publish, beam.pvalue.AsList(built), beam.pvalue.AsSingleton(survey)
        )


def _surveyed(job: Job, data: SliceData) -> Iterator[Any]:
    """Yield what `survey_slice` finds, tagged as `SURVEYED`."""
    found = survey_slice(job, data)
    yield beam.pvalue.TaggedOutput("totals", found.totals)
    for bucket in by_bucket(found.hashes).items():
        yield beam.pvalue.TaggedOutput("hashes", bucket)
    for bucket in found.sketches.items():
        yield beam.pvalue.TaggedOutput("sketches", bucket)


def _merged(once: Any, job: Job, parts: Any) -> Any:
    """Return the one `Survey` of all slices."""
    totals = parts.totals | "Totals" >> beam.CombineGlobally(MergeTotals())
    groups = parts.hashes | "FindDuplicates" >> FindDuplicates()
    pairs = parts.sketches | "FindNearDuplicates" >> FindNearDuplicates(job)
    return once | "Survey" >> beam.Map(
        lambda plan, *found: conclude(plan.job, *found),
        beam.pvalue.AsSingleton(totals),
        beam.pvalue.AsList(groups),
        beam.pvalue.AsList(pairs),
    )


def publish(plan: Plan, built: list[tuple[list[str], str | None]], survey: Survey) -> str:
    """Write all but the shards, then the manifest; return the digest.

    With any problem among ``built`` nothing is published; the problems are left in ``_work/``.
    """
    job = plan.job
    problems = sorted({problem for _, problem in built if problem})
    if problems:
        store.write_problems(job, problems)
        return ""
    shards = store.collect_shards(job, plan.tasks)
    files.sync(files.join(job.output, shard.path) for shard in shards)
    provenance = store.merge_provenance(job, shards)
    content = {store.PROVENANCE: store.encode_provenance(provenance)}
    leakage = survey.leakage(job, *store.collect_leaks(job, shards))
    content |= survey.to_files(job, leakage)
    if plan.schema_pbtxt is not None:
        content[SCHEMA_FILE] = plan.schema_pbtxt.encode("utf-8")
    written = [store.write_file(job, path, data) for path, data in sorted(content.items())]
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
        counts=_counts(job, shards, records)
        | _robustness(job, provenance)
        | ({"leakage": leakage.counts} if leakage else {}),
        digest=dataset_digest(plan.fingerprint, shards, written),
    )
    store.write_manifest(job, manifest)
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
        of_split = classes.setdefault(split, dict.fromkeys(names, 0))
        for label, count in shard.classes.items():
            of_split[names[int(label)]] += count
        for op, count in shard.ops.items():
            ops.setdefault(split, {})[op] = ops.get(split, {}).get(op, 0) + count
    return {"examples": examples, "classes": classes, "ops": ops, "quarantined": quarantined}


def _robustness(job: Job, provenance: pa.Table) -> dict[str, Any]:
    """Return the attacked model's accuracy on the perturbed copies, before and after, if any."""
    if job.attack is None:
        return {}
    columns = f"adversarial.{job.attack.config.method}."
    before, after = provenance[f"{columns}clean"], provenance[f"{columns}known"]
    return {
        "adversarial": {
            "examples": len(before) - before.null_count,
            "clean_accuracy": pc.mean(before).as_py(),
            "adversarial_accuracy": pc.mean(after).as_py(),
        }
    }
