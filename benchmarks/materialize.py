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
from benchmarks.policies import FOUR_OPS, POLICIES
from benchmarks.result import Measured
from benchmarks.timing import Cost, cost_of, cost_of_command, one_core
from pipelines.dataset import store
from pipelines.dataset.plan import Plan
from pipelines.dataset.slices import SliceTask, read_slice
from schemas.manifest import load_manifest

FIGURES = {
    "images_per_s_core": ("images/s", "images written per CPU second, shard step"),
    "share_of_raw_loop": ("", "speed of the shard step, plain loop = 1, CPU time"),
    "share_of_raw_loop_wall": ("", "speed of the shard step, plain loop = 1, wall time"),
    "vs_idiomatic_beam": ("times", "speed of the shard step against per-element Beam, CPU time"),
    "images_per_s_core_command": ("images/s", "images written per CPU second, whole command"),
    "share_of_raw_loop_command": (
        "",
        "speed of the whole command without the leakage guard, plain loop = 1, CPU time",
    ),
    "guard_cost": ("times", "CPU time of the whole command with the leakage guard against without"),
    "scaling_2_workers": ("times", "speed of the whole command with 2 processes against 1"),
    "scaling_2_workers_running": (
        "times",
        "speed of 2 processes against 1, from the first shard written to the last",
    ),
    "peak_mb": ("MB", "peak memory of the whole command, 1 process"),
}
PER_POLICY = (
    "images_per_s_core",
    "share_of_raw_loop",
    "share_of_raw_loop_wall",
    "vs_idiomatic_beam",
)
COMMAND_POLICY = "4 ops"
"""The policy of the figures that are not per policy."""

GUARDS = ("off", "report")
"""Settings of the leakage guard that the whole command is measured with."""


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
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for policy in POLICIES:
            plan = plan_of(size.recipe, folder, settings=[_setting(policy)])
            training = plan.tasks[0].source_split
            tasks = tuple(task for task in plan.tasks if task.source_split == training)
            tasks = tasks[: size.slices] if size.slices else tasks
            for key, values in _on_one_core(policy, plan, tasks, size, Path(folder)).items():
                if key in PER_POLICY:
                    runs.setdefault(key, {})[policy] = values
                else:
                    runs[key] = values
        runs |= _as_commands(size, Path(folder))
    conditions = _conditions(plan, tasks, size)
    return Measured(runs=runs, conditions=conditions, seeds={"recipe": plan.job.seed})


def _setting(policy: str) -> str:
    return f"policy={json.dumps(POLICIES[policy])}"


def _size(*, quick: bool) -> Size:
    data = os.environ.get("TFDS_DATA_DIR")
    recipe = "cifar10" if data and (Path(data) / "cifar10").is_dir() else "digits"
    if quick:
        sizes = {"slices": 1, "idiomatic_slices": 1, "command_slices": 2}
        return Size(recipe=recipe, runs=2, command_runs=1, **sizes)
    sizes = {"slices": 0, "idiomatic_slices": 3, "command_slices": 0}
    return Size(recipe=recipe, runs=5, command_runs=5, **sizes)


def _on_one_core(
    policy: str, plan: Plan, tasks: tuple[SliceTask, ...], size: Size, folder: Path
) -> dict[str, list[float]]:
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
        "idiomatic": lambda output: run_idiomatic(
            str(source), str(output), policy=policy, copies=copies, seed=plan.job.seed
        ),
    }
    if policy == COMMAND_POLICY:
        for guard in GUARDS:
            work[guard] = lambda output, guard=guard: _whole_command(
                size.recipe, tasks, output, [_setting(policy), f"leakage={guard}"]
            )
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
    loop, shards, written = costs["loop"], costs["shards"], examples["shards"]
    figures = {
        "images_per_s_core": [written / one.cpu for one in shards],
        "share_of_raw_loop": [a.cpu / b.cpu for a, b in zip(loop, shards, strict=True)],
        "share_of_raw_loop_wall": [a.wall / b.wall for a, b in zip(loop, shards, strict=True)],
        "vs_idiomatic_beam": [
            (slow.cpu / per_element) / (ours.cpu / written)
            for slow, ours in zip(costs["idiomatic"], shards, strict=True)
        ],
    }
    if policy == COMMAND_POLICY:
        bare, guarded = (costs[guard] for guard in GUARDS)
        figures["images_per_s_core_command"] = [written / one.cpu for one in guarded]
        figures["share_of_raw_loop_command"] = [
            a.cpu / b.cpu for a, b in zip(loop, bare, strict=True)
        ]
        figures["guard_cost"] = [a.cpu / b.cpu for a, b in zip(guarded, bare, strict=True)]
    return figures


def _as_commands(size: Size, folder: Path) -> dict[str, list[float]]:
    costs: dict[int, list[Cost]] = {1: [], 2: []}
    rates: dict[int, list[float]] = {1: [], 2: []}
    peaks: list[float] = []
    for _ in range(size.command_runs):
        for workers in (1, 2):
            with tempfile.TemporaryDirectory(dir=folder) as output:
                command = ["materialize", size.recipe, output, str(size.command_slices)]
                more = [_setting(COMMAND_POLICY), f"--direct_num_workers={workers}"]
                cost, answer = cost_of_command("benchmarks.commands", [*command, *more])
                costs[workers].append(cost)
                rates[workers].append(_rate_while_running(Path(answer["path"])))
                if workers == 1:
                    peaks.append(answer["peak_mb"])
    return {
        "scaling_2_workers": [a.wall / b.wall for a, b in zip(costs[1], costs[2], strict=True)],
        "scaling_2_workers_running": [b / a for a, b in zip(rates[1], rates[2], strict=True)],
        "peak_mb": peaks,
    }


def _rate_while_running(dataset: Path) -> float:
    """Return the examples per second of a build, from its first finished shard to its last."""
    shards = load_manifest(dataset).shards
    times = [((dataset / shard.path).stat().st_mtime, shard.examples) for shard in shards]
    (start, before), (end, _) = min(times), max(times)
    return (sum(examples for _, examples in times) - before) / (end - start)


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


def _whole_command(
    recipe: str, tasks: tuple[SliceTask, ...], output: Path, settings: list[str]
) -> None:
    from pipelines.dataset.materialize import materialize

    plan = plan_of(recipe, str(output), settings=settings)
    materialize(dataclasses.replace(plan, tasks=tasks), stream=io.StringIO())


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
        "policy 4 ops": json.dumps(FOUR_OPS["slots"]),
        "encoder": f"{plan.job.schema.encoding}, the same in the plain loop",
        "runner": "FnApiRunner, one pinned core, alternating runs; ratios are per pair of runs",
        "plain loop": (
            "one process: the same read, decode, policy, encoders, and plain writes; the shard "
            "step adds Beam, digests, provenance and atomic writes, the whole command adds "
            "planning, survey, synced files, the merged provenance table and the manifest"
        ),
        "per-element Beam": (
            f"{few:,} records, time per image written: ReadFromTFRecord, cv2.imdecode, "
            "default_rng, cv2.warpAffine (4 ops: also HSV, LUT, rng.normal), cv2.imencode, "
            "tf.train.Example, WriteToTFRecord"
        ),
        "whole command": (
            f"4 ops, with the leakage guard unless said otherwise; with 1 and 2 processes: "
            f"{commands}, start-up of Python and of the workers included unless said otherwise"
        ),
    }
