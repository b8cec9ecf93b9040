"""Speed and memory of a dataset build, each ratio from alternating runs in one process."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import plan_of
from benchmarks.result import Measured
from benchmarks.timing import Cost, cost_of, cost_of_command, one_core
from pipelines.dataset import store
from pipelines.dataset.plan import Plan
from pipelines.dataset.slices import SliceTask, read_slice

FIGURES = {
    "images_per_s_core": ("images/s", "images written per CPU second, shard step"),
    "images_per_s_core_command": ("images/s", "images written per CPU second, whole command"),
    "share_of_raw_loop": ("", "speed of the shard step, plain loop = 1, CPU time"),
    "share_of_raw_loop_wall": ("", "speed of the shard step, plain loop = 1, wall time"),
    "share_of_raw_loop_command": ("", "speed of the whole command, plain loop = 1, CPU time"),
    "vs_idiomatic_beam": ("times", "speed of the shard step against per-element Beam, CPU time"),
    "scaling_2_workers": ("times", "speed of the whole command with 2 processes against 1"),
    "peak_mb": ("MB", "peak memory of the whole command, 1 process"),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        recipe: Name of a shipped recipe.
        runs: Repetitions on one core.
        command_runs: Repetitions of the commands with 1 and 2 processes.
        slices: Training slices for loop, shard step and command; 0 for all.
        idiomatic_slices: Training slices for the per-element pipeline.
        command_slices: Slices for the commands with 1 and 2 processes; 0 for the whole dataset.
    """

    recipe: str
    runs: int
    command_runs: int
    slices: int
    idiomatic_slices: int
    command_slices: int


def measure(*, quick: bool) -> Measured:
    """Measure on CIFAR-10 where ``TFDS_DATA_DIR`` holds it, else on scikit-learn's digits."""
    size = _size(quick=quick)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(size.recipe, folder)
        training = [task for task in plan.tasks if task.source_split == plan.tasks[0].source_split]
        tasks = tuple(training[: size.slices] if size.slices else training)
        runs = _on_one_core(plan, tasks, size, Path(folder))
        runs |= _as_commands(size, Path(folder))
    conditions = _conditions(plan, tasks, size)
    return Measured(runs=runs, conditions=conditions, seeds={"recipe": plan.job.seed})


def _size(*, quick: bool) -> Size:
    data = os.environ.get("TFDS_DATA_DIR")
    recipe = "cifar10" if data and (Path(data) / "cifar10").is_dir() else "digits"
    if quick:
        sizes = {"slices": 1, "idiomatic_slices": 1, "command_slices": 2}
        return Size(recipe=recipe, runs=2, command_runs=1, **sizes)
    sizes = {"slices": 0, "idiomatic_slices": 2, "command_slices": 0}
    return Size(recipe=recipe, runs=5, command_runs=5, **sizes)


def _on_one_core(
    plan: Plan, tasks: tuple[SliceTask, ...], size: Size, folder: Path
) -> dict[str, Any]:
    from benchmarks.idiomatic_beam import run_idiomatic
    from benchmarks.raw_loop import raw_loop

    few = tasks[: size.idiomatic_slices]
    copies = max(copy for _, copy in tasks[0].shards)
    per_element = sum(task.stop - task.start for task in few) * (copies + 1)
    source = folder / "source.tfrecord"
    _write_source(plan, few, source)
    work: dict[str, Callable[[Path], None]] = {
        "loop": lambda output: raw_loop(plan.job, tasks, output),
        "shards": lambda output: _shard_step(plan, tasks, output),
        "command": lambda output: _whole_command(size.recipe, tasks, output),
        "shards of few": lambda output: _shard_step(plan, few, output),
        "idiomatic": lambda output: run_idiomatic(
            str(source), str(output), copies=copies, seed=plan.job.seed
        ),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in work}
    examples: dict[str, int] = {}
    with one_core():
        _shard_step(plan, tasks[:1], folder / "warm-up")  # imports; the source into memory
        for _ in range(size.runs):
            for name, call in work.items():
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    output = Path(place) / "output"
                    costs[name].append(cost_of(lambda call=call, at=output: call(at)))
                    if name not in examples:
                        examples[name] = _count(output)
    loop, shards, command, shards_of_few, idiomatic = costs.values()
    written, written_of_few = examples["shards"], examples["shards of few"]
    return {
        "images_per_s_core": [written / one.cpu for one in shards],
        "images_per_s_core_command": [written / one.cpu for one in command],
        "share_of_raw_loop": [a.cpu / b.cpu for a, b in zip(loop, shards, strict=True)],
        "share_of_raw_loop_wall": [a.wall / b.wall for a, b in zip(loop, shards, strict=True)],
        "share_of_raw_loop_command": [a.cpu / b.cpu for a, b in zip(loop, command, strict=True)],
        "vs_idiomatic_beam": [
            (slow.cpu / per_element) / (ours.cpu / written_of_few)
            for slow, ours in zip(idiomatic, shards_of_few, strict=True)
        ],
    }


def _as_commands(size: Size, folder: Path) -> dict[str, Any]:
    one: list[Cost] = []
    two: list[Cost] = []
    for _ in range(size.command_runs):
        for costs, workers in ((one, 1), (two, 2)):
            with tempfile.TemporaryDirectory(dir=folder) as output:
                command = ["materialize", size.recipe, output, str(size.command_slices)]
                flag = f"--direct_num_workers={workers}"
                costs.append(cost_of_command("benchmarks.commands", [*command, flag])[0])
    return {
        "scaling_2_workers": [a.wall / b.wall for a, b in zip(one, two, strict=True)],
        "peak_mb": [cost.peak_mb for cost in one],
    }


def _shard_step(plan: Plan, tasks: tuple[SliceTask, ...], output: Path) -> None:
    """Turn tasks into shards: the part of the pipeline that does what the loop does."""
    import apache_beam as beam

    from pipelines.dataset.materialize import pipeline_options

    job = dataclasses.replace(plan.job, output=str(output))
    with beam.Pipeline(options=pipeline_options([])) as pipeline:
        (
            pipeline
            | beam.Create(tasks, reshuffle=False)
            | beam.Reshuffle()
            | beam.Map(lambda task: len(store.run_task(job, task, read_slice(job, task))))
        )


def _whole_command(recipe: str, tasks: tuple[SliceTask, ...], output: Path) -> None:
    from pipelines.dataset.materialize import materialize

    plan = dataclasses.replace(plan_of(recipe, str(output)), tasks=tasks)
    materialize(plan, stream=io.StringIO())


def _write_source(plan: Plan, tasks: tuple[SliceTask, ...], path: Path) -> None:
    """Write the records of tasks as a TFRecord file that any Beam pipeline could read."""
    from pipelines.dataset.images import encode_png
    from pipelines.dataset.records import encode_example, frame

    examples = []
    for task in tasks:
        for record in plan.job.source.read(task.source_split, task.start, task.stop):
            value = record.value
            image = value if isinstance(value, bytes) else encode_png(value[None])[0]
            features = {"id": record.key.encode(), "image": image, "label": record.label}
            examples.append(encode_example(features))
    path.write_bytes(frame(examples)[0])


def _count(output: Path) -> int:
    """Return the number of examples in the TFRecord files below a folder."""
    from pipelines.dataset.records import index_records

    paths = output.parent.rglob("*.tfrecord")
    return sum(len(index_records(memoryview(path.read_bytes()), path.name)) for path in paths)


def _conditions(plan: Plan, tasks: tuple[SliceTask, ...], size: Size) -> dict[str, str]:
    copies = max(copy for _, copy in tasks[0].shards)
    records = sum(task.stop - task.start for task in tasks)
    few = sum(task.stop - task.start for task in tasks[: size.idiomatic_slices])
    commands = f"first {size.command_slices} slices" if size.command_slices else "whole dataset"
    return {
        "dataset": f"{plan.name}, {records:,} records of the training split, {copies} copies",
        "policy": json.dumps(plan.content["policy"]),
        "encoder": f"{plan.job.schema.encoding}, the same in the plain loop",
        "runner": "FnApiRunner, one pinned core, alternating runs; ratios are per pair of runs",
        "plain loop": (
            "one process: the same read, decode, policy, encoders, and plain writes; the shard "
            "step adds Beam, digests, provenance and synced atomic writes, the whole command adds "
            "planning, survey, the merged provenance table and the manifest"
        ),
        "per-element Beam": (
            f"{few:,} records: ReadFromTFRecord, cv2.imdecode, default_rng, cv2.warpAffine, "
            "cv2.imencode, tf.train.Example, WriteToTFRecord"
        ),
        "processes": f"{commands}, start-up of Python and of the workers included",
    }
