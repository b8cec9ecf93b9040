"""Faults while a dataset is materialized: kills, a full and a read-only disk, two writers.

``python -m benchmarks.faults_dataset [--quick]`` prints its rows as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa

import pipelines.dataset.build  # noqa: F401 - loaded here, once, for all forks
from benchmarks.faults_processes import (
    TICK,
    Child,
    Row,
    after,
    can_mount,
    check_failure,
    command,
    disk,
    members,
    program,
    remount,
    run_part,
    seen,
    strike,
    used,
)
from pipelines.dataset import files, store
from pipelines.dataset.plan import make_plan
from pipelines.dataset.verify import verify
from schemas.errors import FailedError, InputError
from schemas.manifest import MANIFEST, Manifest
from schemas.recipe import load_recipe

SEED = 1
SPACE = 256 << 20
SETTINGS = ("copies=6", "slice_size=64")
QUICK_SETTINGS = ("copies=1", "slice_size=256")
WORKERS = "--direct_num_workers=2"
_ENTRY = b"beam_refinery.shard"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An uninterrupted run.

    Attributes:
        arguments: The command without its output.
        path: The dataset, relative to the output.
        folder: Where the uninterrupted dataset lies.
        manifest: Its manifest.
        files: Size and digest of every file by path, the manifest's own among them.
        seconds: From its lock to its end.
    """

    arguments: tuple[str, ...]
    path: str
    folder: Path
    manifest: Manifest
    files: dict[str, str]
    seconds: float

    def with_flags(self, *flags: str, seconds: float) -> Reference:
        """Return the same with further flags, and what the run then takes."""
        return Reference(
            **{**vars(self), "arguments": (*self.arguments, *flags)} | {"seconds": seconds}
        )


def measure(folder: Path, random: Random, quick: bool) -> list[Row]:
    """Return one row per kind of fault."""
    one = uninterrupted(folder, QUICK_SETTINGS if quick else SETTINGS)
    rows = [kills("materialize killed, in process", one, folder, random, 3 if quick else 60)]
    if not quick:
        two = one.with_flags(WORKERS, seconds=_seconds(one, folder, WORKERS))
        rows += [
            kills("materialize killed, two workers", two, folder, random, 50),
            some_killed(two, folder, random, 10),
            kills("materialize killed, start-up too", one, folder, random, 10, start=program),
        ]
    rows += full_disk(one, folder, 1 if quick else 12)
    rows += [read_only(one, folder), two_writers(one, folder, random, 1 if quick else 10)]
    return rows


def uninterrupted(folder: Path, settings: tuple[str, ...]) -> Reference:
    """Build the dataset once, without a fault."""
    arguments = ("materialize", "digits", *(x for one in settings for x in ("--set", one)))
    output = folder / "reference"
    path = make_plan(load_recipe("digits", settings), "x").job.output.removeprefix("x/")
    child, dataset = command([*arguments, "--output", str(output)], folder / "said"), output / path
    seconds = _time(child, dataset)
    verdict = verify(str(dataset))
    if not verdict.ok or verdict.manifest is None:
        raise FailedError(f"the uninterrupted run does not verify: {child.text()}")
    return Reference(
        arguments=arguments,
        path=path,
        folder=dataset,
        manifest=verdict.manifest,
        files={name: files.file_sha256(str(dataset / name)) for name in files.sizes(str(dataset))},
        seconds=seconds,
    )


def kills(
    fault: str,
    reference: Reference,
    folder: Path,
    random: Random,
    wanted: int,
    start: Callable[..., Child] = command,
) -> Row:
    """Kill a build at random moments, often several times, and let it end."""
    row, number = Row(fault=fault), 0
    while row.kills < wanted:
        number += 1
        output = folder / f"killed{number}"
        for _ in range(random.randint(1, 3)):
            dataset = output / reference.path
            child = start([*reference.arguments, "--output", str(output)], folder / "said")
            if not strike(child, _moment(reference, dataset, random, start is program), tick=1e-4):
                break
            row.kills += 1
            check_state(row, reference, dataset)
        finish(row, reference, output, folder)
    return row


def some_killed(reference: Reference, folder: Path, random: Random, wanted: int) -> Row:
    """Kill one of the processes of a build: the driver, whose workers live on, or a worker."""
    row, number = Row(fault="materialize, one of its processes killed"), 0
    while row.kills < wanted:
        number += 1
        output = folder / f"some{number}"
        dataset = output / reference.path
        child = command([*reference.arguments, "--output", str(output)], folder / "said")
        due = _moment(reference, dataset, random, False)
        if row.kills % 4 == 0:  # a worker that has hardly begun
            due = (dataset / store.LOCK).exists
        while child.poll() is None and not (due() and _workers(child)):
            time.sleep(TICK)
        workers = _workers(child)
        if child.poll() is None and workers:
            with contextlib.suppress(ProcessLookupError):  # it ended at this very moment
                os.kill(child.pid if row.kills % 2 else random.choice(workers), signal.SIGKILL)
                row.kills += 1
        status = child.wait()
        check_state(row, reference, dataset)
        if status not in (0, -signal.SIGKILL):  # a worker died
            check_failure(row, child, statuses=(1,), says="a worker process ended early")
        finish(row, reference, output, folder)  # at once: orphans may still be at work
        child.kill()
        if leftovers(dataset):
            row.expose(f"orphaned workers left {leftovers(dataset)}")
    return row


def full_disk(reference: Reference, folder: Path, wanted: int) -> list[Row]:
    """Let the disk run full at many sizes; beside it lies a finished dataset, which must stay."""
    if not can_mount():
        return []
    row, place = Row(fault="materialize, disk full"), folder / "small"
    other = make_plan(load_recipe("digits", ("copies=0",)), str(place)).job.output
    small = ["materialize", "digits", "--set", "copies=0", "--output", str(place)]
    with disk(place, SPACE):
        _finished(command(small, folder / "said"))
        before = used(place)
        _finished(command([*reference.arguments, "--output", str(place)], folder / "said"))
        need = used(place) - before
    for trial in range(wanted):
        with disk(place, SPACE):
            _finished(command(small, folder / "said"))
            share = (trial + 0.5) / wanted
            remount(place, f"size={used(place) + max(4096, int(need * share)) // 4096 * 4096}")
            child = command([*reference.arguments, "--output", str(place)], folder / "said")
            check_failure(row, child, statuses=(1,), says="No space left")
            row.trials += 1
            check_state(row, reference, place / reference.path)
            if not verify(other).ok:
                row.lose("the dataset beside it")
            if temporary(place):
                row.expose(f"a full disk left {temporary(place)}")
            remount(place, f"size={SPACE}")
            finish(row, reference, place, folder, remove=False)
    return [row]


def read_only(reference: Reference, folder: Path) -> Row:
    """Build into a place that cannot be written: a new dataset, and one that is finished there."""
    row, place = Row(fault="materialize, read-only output"), folder / "locked"
    arguments = [*reference.arguments, "--output", str(place)]
    if not can_mount():
        if os.getuid() == 0:
            return row
        place.mkdir()
        place.chmod(0o555)
        check_failure(row, command(arguments, folder / "said"), statuses=(1, 2))
        row.trials += 1
        return row
    with disk(place, SPACE):
        remount(place, "ro")
        check_failure(row, command(arguments, folder / "said"), statuses=(1, 2))
        remount(place, "rw")
        _finished(command(arguments, folder / "said"))
        remount(place, "ro")
        child = command(arguments, folder / "said")
        row.trials += 2
        if child.wait() or not child.text().startswith("up to date: "):
            row.lose(f"the finished dataset: {child.text()}")
    return row


def two_writers(reference: Reference, folder: Path, random: Random, wanted: int) -> Row:
    """Start the same command twice, at once or later: one builds, the other refuses or is done."""
    row = Row(fault="materialize, two writers")
    for trial in range(wanted):
        output = folder / f"two{trial}"
        arguments = [*reference.arguments, "--output", str(output)]
        first = command(arguments, folder / "first")
        time.sleep(random.uniform(0, reference.seconds) if trial % 2 else 0.0)
        second = command(arguments, folder / "second")
        children = (first, second)
        statuses = [child.wait() for child in children]
        refused = [child for child, status in zip(children, statuses, strict=True) if status == 2]
        if 0 not in statuses or set(statuses) - {0, 2}:
            row.lose(f"statuses {statuses}: {first.text()} {second.text()}")
        for child in refused:
            if "is being written by another job" not in child.text():
                row.lose(f"an unclear refusal: {child.text()}")
            row.message = row.message or child.text().strip()
        row.trials += 1
        finish(row, reference, output, folder)
    return row


def check_state(row: Row, reference: Reference, dataset: Path) -> None:
    """Look at a dataset as a reader would: it is whole or not there, and so is each of its files.

    A manifest that verifies must be that of the uninterrupted run, and no file may lie under its
    final name with other bytes than the uninterrupted run wrote.
    """
    if (dataset / MANIFEST).exists():
        verdict = verify(str(dataset))
        if not verdict.ok or verdict.manifest is None:
            row.expose(f"a manifest without its dataset: {verdict.problems[:3]}")
        elif verdict.manifest.digest != reference.manifest.digest:
            row.expose("a manifest of another dataset")
    else:
        try:
            row.expose(f"verified without a manifest: {verify(str(dataset))}")
        except InputError:
            pass
    for name in files.sizes(str(dataset)):
        if name == store.LOCK or files.TEMPORARY in name or name == f"{store.WORK}/problems.txt":
            continue
        if name.startswith(f"{store.WORK}/"):
            if entry_of(dataset / name) is None:
                row.expose(f"{name} cannot be read")
        elif reference.files.get(name) != files.file_sha256(str(dataset / name)):
            row.expose(f"{name} is there and not whole")


def finish(
    row: Row, reference: Reference, output: Path, folder: Path, *, remove: bool = True
) -> None:
    """Run the command to its end: it must take over what is finished, and leave nothing behind."""
    dataset = output / reference.path
    before = {name: (dataset / name).stat().st_ino for name in complete(reference, dataset)}
    child = command([*reference.arguments, "--output", str(output)], folder / "said")
    status = child.wait()
    if status:
        row.lose(f"the command does not end well any more ({status}): {child.text()[-1000:]}")
        return
    again = [name for name, inode in before.items() if (dataset / name).stat().st_ino != inode]
    if again:
        row.lose(f"{len(again)} finished shards were built again: {again[:3]}")
    verdict = verify(str(dataset))
    if not verdict.ok or verdict.manifest is None:
        row.expose(f"finished, and not ok: {verdict.problems[:3]}")
    elif verdict.manifest.digest != reference.manifest.digest:
        row.lose(f"the digest: {verdict.manifest.digest}")
    if leftovers(dataset):
        row.expose(f"left behind: {leftovers(dataset)}")
    if remove:
        files.remove_tree(str(output))


def complete(reference: Reference, dataset: Path) -> list[str]:
    """Return the shards that are whole and accounted for, found without the code under test."""
    found = []
    for shard in reference.manifest.shards:
        path = dataset / shard.path
        entry = entry_of(Path(store.side_path(str(dataset), shard.path)))
        done = entry == vars(shard) or (dataset / MANIFEST).exists()
        if done and path.exists() and files.file_sha256(str(path)) == shard.sha256:
            found.append(shard.path)
    return found


def entry_of(side: Path) -> dict[str, object] | None:
    """Return what a side file says of its shard, None where it is missing or not whole."""
    try:
        table = pa.ipc.open_file(side.read_bytes()).read_all()
        value: dict[str, object] = json.loads(table.schema.metadata[_ENTRY])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None
    return value


def temporary(folder: Path) -> list[str]:
    """Return the temporary files below a folder."""
    return [name for name in files.sizes(str(folder)) if files.TEMPORARY in name]


def leftovers(dataset: Path) -> list[str]:
    """Return what a finished dataset should not hold."""
    work = [f"{store.WORK}/"] if (dataset / store.WORK).exists() else []
    return [*temporary(dataset), *work]


def _moment(
    reference: Reference, dataset: Path, random: Random, start_up: bool
) -> Callable[[], bool]:
    """Return a random moment of a run: by the clock, when a file appears, or near its end."""
    kind = random.choice(("clock", "clock", "shard", "temporary", "end"))
    if start_up:  # loading Python takes about as long as the work
        return after(random.uniform(0, reference.seconds * 2.5))
    if kind == "clock":
        return after(random.uniform(0, reference.seconds), since=(dataset / store.LOCK).exists)
    if kind == "end":
        delay = random.uniform(0, reference.seconds / 10)
        return after(delay, since=(dataset / store.PROVENANCE).exists)
    shards = dataset / "Split-train"
    number = random.randint(1, sum(one.split == "train" for one in reference.manifest.shards))
    if kind == "shard":
        return lambda: _names(shards) >= number
    return lambda: _names(shards) >= number and seen(dataset, f"{store.WORK}/{files.TEMPORARY}*/*")


def _workers(child: Child) -> list[int]:
    """Return the worker processes of a build, without the shells that start them."""
    found = []
    for one in members(child.pid):
        with contextlib.suppress(OSError):  # it has ended
            words = Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")
            if words[1:3] == [b"-m", b"apache_beam.runners.worker.sdk_worker_main"]:
                found.append(one)
    return found


def _names(folder: Path) -> int:
    return len(os.listdir(folder)) if folder.is_dir() else 0


def _finished(child: Child) -> None:
    if child.wait():
        raise FailedError(f"a run without a fault failed: {child.text()}")


def _time(child: Child, dataset: Path) -> float:
    while not (dataset / store.LOCK).exists() and child.poll() is None:
        time.sleep(0.005)
    start = time.monotonic()
    _finished(child)
    return time.monotonic() - start


def _seconds(reference: Reference, folder: Path, *flags: str) -> float:
    output = folder / "timed"
    child = command([*reference.arguments, *flags, "--output", str(output)], folder / "said")
    seconds = _time(child, output / reference.path)
    files.remove_tree(str(output))
    return seconds


if __name__ == "__main__":
    run_part(measure, SEED)
