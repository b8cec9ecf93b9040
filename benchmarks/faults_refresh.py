"""Faults while a model is refreshed: kills, full and read-only disks, two at once, bad metadata.

``python -m benchmarks.faults_refresh [--quick]`` prints its rows as JSON. Two refreshes of small
networks are told apart by a learning rate: the first is live, the second is cut off. A third is the
second again, before gates that refuse it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.faults_processes import (
    Child,
    Row,
    after,
    can_mount,
    check_failure,
    command,
    disk,
    program,
    remount,
    run_part,
    seen,
    strike,
    used,
)
from benchmarks.faults_scene import SECOND, STARTED, Scene, ended, finished, load, prepared
from benchmarks.faults_serving import events_of, everything, refusals
from components.serving.history import REFUSED as EVENT
from components.serving.store import current_version, live_model
from components.serving.verify import verify_serving
from schemas.errors import EXIT_REFUSED

SEED = 3
SPACE = 512 << 20
REFUSED = {
    "data": "--set=refresh.data.min_examples=100000",
    "accuracy": "--set=refresh.gates.floors.accuracy=0.98",
}
"""What makes a gate refuse the second model."""
_UNFINISHED = "select count(*) from Execution where last_known_state in (1, 2)"


def measure(folder: Path, random: Random, quick: bool) -> list[Row]:
    """Return one row per kind of fault; with ``quick`` none, for a refresh alone takes too long."""
    if quick:
        return []
    load()
    scene = prepared(folder)
    rows = [
        kills("refresh killed, last nodes", scene, "late", random, 32),
        kills("refresh killed", scene, "first", random, 12),
        kills("refresh killed, start-up too", scene, "first", random, 3, start=program),
        refusals_killed(scene, random, 24),
        two_refreshes(scene, random, 4),
        damaged_metadata(scene, random),
    ]
    rows += full_disk(scene, 8)
    rows.append(read_only(scene))
    return rows


def kills(
    fault: str,
    scene: Scene,
    begin: str,
    random: Random,
    wanted: int,
    start: Callable[..., Child] = command,
) -> Row:
    """Kill the second refresh at random moments, often several times, and let it end."""
    row = Row(fault=fault)
    while row.kills < wanted:
        # Half of the late kills are around the push, the shortest of the nodes.
        nodes = [*scene.late, *[scene.late[-1]] * len(scene.late)] if begin == "late" else [begin]
        name = random.choice(nodes)
        scene.restore(name)
        done: set[str] = set()
        for _ in range(random.randint(1, 3)):
            child = scene.start("second", start)
            killed = strike(child, moment(scene, child, name, random))
            done = check_run(row, scene, child, done)
            check_state(row, scene)
            if not killed:
                break
            row.kills += 1
        finish(row, scene, done)
    return row


def moment(scene: Scene, child: Child, begin: str, random: Random) -> Callable[[], bool]:
    """Return a random moment: of the whole run, or of the node it begins with, or of the push."""
    if begin == "first":
        return after(
            random.uniform(0, scene.total), since=lambda: bool(STARTED.search(child.text()))
        )
    if begin != scene.late[-1] or random.random() < 0.5:
        delay = random.uniform(0, scene.seconds[begin] * (2 if begin == scene.late[-1] else 1))
        return after(delay, since=lambda: f"] {begin} " in child.text())
    version, serving = current_version(scene.serving) + 1, scene.serving
    reports = scene.root / "faults-smoke" / "reports"
    before = len(list(reports.glob("*")))
    return random.choice([
        lambda: seen(serving, f".tmp-{version}-*"),
        lambda: (serving / ".promotions" / str(version)).exists(),
        lambda: (serving / str(version)).exists(),
        lambda: current_version(serving) >= version,
        lambda: len(list(reports.glob("*"))) > before,
    ])  # fmt: skip


def refusals_killed(scene: Scene, random: Random, wanted: int) -> Row:
    """Kill a refresh that a gate refuses, mostly while that is written down, and let it end."""
    row = Row(fault="refused refresh killed")
    while row.kills < wanted:
        gate = random.choice(list(REFUSED))
        arguments = [*scene.arguments, *SECOND, REFUSED[gate]]
        scene.restore(scene.late[-1])
        for _ in range(random.randint(1, 3)):
            child = command(arguments, scene.folder / "said")
            killed = strike(child, moment_of_refusal(scene, child, gate, random))
            check_state(row, scene)
            if not killed:
                break
            row.kills += 1
        finish_refused(row, scene, command(arguments, scene.folder / "said"))
    return row


def moment_of_refusal(scene: Scene, child: Child, gate: str, random: Random) -> Callable[[], bool]:
    """Return a random moment: after the gate has begun, or as history or reports grow."""
    reports = scene.root / "faults-smoke" / "reports"
    known, written = refusals(scene.serving), len(list(reports.glob("*")))
    node = {"data": "DataGate", "accuracy": "AccuracyGate"}[gate]
    delay = random.uniform(0, scene.seconds["AccuracyGate"])  # the data gate was in the cache
    return random.choice([
        after(delay, since=lambda: f"] {node} " in child.text()),
        lambda: refusals(scene.serving) > known,
        lambda: len(list(reports.glob("*"))) > written,
    ])  # fmt: skip


def check_run(row: Row, scene: Scene, child: Child, done: set[str]) -> set[str]:
    """Hold a run to what earlier ones finished; return all that is finished now."""
    found = ended(child.text())
    again = [name for name in done & scene.cached if found.get(name, "cached") != "cached"]
    if again:
        row.lose(f"{again} were finished, and ran again")
    return done | set(found)


def check_state(row: Row, scene: Scene) -> None:
    """Look at what is served, at the metadata and at the report after a kill."""
    live = live_model(scene.serving)
    if live is None or not live.intact or live.identity not in scene.identities.values():
        row.expose(f"the live version {current_version(scene.serving)} is neither old nor new")
    verdict = verify_serving(scene.serving)
    if not verdict.ok:
        row.expose(f"{verdict}")
    if trouble := metadata_trouble(scene.root / "metadata.sqlite"):
        row.lose(f"metadata: {trouble}")
    check_reports(row, scene.root / "faults-smoke", scene.serving)


def check_reports(row: Row, folder: Path, serving: Path) -> None:
    """Hold the latest report and those that are kept to their form, and refusals to the history."""
    known = {one.about.get("run") for one in events_of(serving) if one.event == EVENT}
    for path in [*folder.glob("report.json"), *folder.glob("reports/*.json")]:
        try:
            found = json.loads(path.read_text("utf-8"))
        except ValueError:
            row.expose(f"{path} is not whole")
            continue
        if found["status"] == "refused" and found["run"] not in known:
            row.lose(f"{path} reports a refusal that the history lacks")


def finish(row: Row, scene: Scene, done: set[str]) -> None:
    """Run the second refresh to its end: it must go live, and nothing may be left over."""
    child = scene.start("second")
    if child.wait():
        row.lose(f"the next refresh fails: {child.text()[-1500:]}")
        return
    check_run(row, scene, child, done)
    check_state(row, scene)
    check_end(row, scene, "second")


def finish_refused(row: Row, scene: Scene, child: Child) -> None:
    """Let the refusal end: it is in report and history, and the first model stays live."""
    if child.wait() != EXIT_REFUSED:
        row.lose(f"the next refresh is not refused: {child.text()[-1500:]}")
        return
    check_state(row, scene)
    report = json.loads((scene.root / "faults-smoke" / "report.json").read_text("utf-8"))
    last = events_of(scene.serving)[-1]
    if (last.event, last.about.get("run")) != (EVENT, report["run"]):
        row.lose("a refusal that was acknowledged is not the last line of the history")
    check_end(row, scene, "first")


def check_end(row: Row, scene: Scene, which: str) -> None:
    """Look at what a refresh that ended undisturbed leaves: that model live, and no rest."""
    live = live_model(scene.serving)
    if live is None or live.identity != scene.identities[which]:
        row.lose("what is live is not what an undisturbed refresh leaves live")
    if verify_serving(scene.serving).notes:
        row.expose(f"left over: {verify_serving(scene.serving).notes}")
    left = [str(one) for one in scene.root.rglob(".tmp-*")]
    with contextlib.closing(sqlite3.connect(scene.root / "metadata.sqlite")) as database:
        (unfinished,) = database.execute(_UNFINISHED).fetchone()
    if left or unfinished:
        row.expose(f"left over: {left}, {unfinished} executions that claim to run")


def metadata_trouble(path: Path) -> str:
    """Return what SQLite finds wrong with a database; it is looked at in a copy."""
    with tempfile.TemporaryDirectory() as folder:
        for one in path.parent.glob(f"{path.name}*"):
            shutil.copy(one, folder)
        try:
            with contextlib.closing(sqlite3.connect(Path(folder) / path.name)) as database:
                (found,) = database.execute("pragma integrity_check").fetchone()
        except sqlite3.DatabaseError as error:
            found = str(error)
    return "" if found == "ok" else str(found)


def damaged_metadata(scene: Scene, random: Random) -> Row:
    """Damage the metadata in many ways: a clear message, or no need of one; what is live stays."""
    row = Row(fault="refresh, damaged metadata")
    path = scene.root / "metadata.sqlite"

    def flipped(data: bytes, share: float) -> bytes:
        changed = bytearray(data)
        for _ in range(max(1, int(len(data) * share))):
            changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return bytes(changed)

    damages: list[Callable[[bytes], bytes]] = [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-4096],
        lambda data: bytes(len(data)),
        lambda data: bytes(100) + data[100:],
        lambda data: data[:4096] + bytes(len(data) - 4096),
        lambda data: b"not a database\n" * 1000,
        *[lambda data, share=10.0**-n: flipped(data, share) for n in (5, 4, 3)],
        *[lambda data: _page(data, random) for _ in range(3)],
    ]  # fmt: skip
    for damage in damages:
        scene.restore("first")
        before = everything(scene.serving)
        path.write_bytes(damage(path.read_bytes()))
        child = scene.start("first")
        if child.wait():
            check_failure(row, child, statuses=(1,), says=f"{path}")
            if "move the file away" not in child.text():
                row.lose(f"no way out is named: {child.text()[-1000:]}")
            if everything(scene.serving) != before:
                row.lose("what was served changed")
            path.unlink()
            child = scene.start("first")
        row.trials += 1
        live = live_model(scene.serving)
        if child.wait() or live is None or live.identity != scene.identities["first"]:
            row.lose(f"the next refresh fails: {child.text()[-1500:]}")
        if not verify_serving(scene.serving).ok:
            row.expose(f"{verify_serving(scene.serving)}")
    return row


def two_refreshes(scene: Scene, random: Random, wanted: int) -> Row:
    """Start two refreshes of one root: the second refuses, or comes after the first."""
    row = Row(fault="refresh, two on one root")
    for trial in range(wanted):
        scene.restore(scene.late[-2])
        children = [scene.start("second")]
        time.sleep(random.uniform(0, scene.seconds[scene.late[-2]]) if trial % 2 else 0)
        other = [*scene.arguments, *SECOND]
        children.append(command(other, scene.folder / "said2"))
        statuses = [child.wait() for child in children]
        if 0 not in statuses or set(statuses) - {0, 2}:
            row.lose(f"statuses {statuses}: {children[0].text()} {children[1].text()}")
        for child, status in zip(children, statuses, strict=True):
            if status == 2:
                check_failure(row, child, statuses=(2,), says="one refresh at a time")
        row.trials += 1
        check_state(row, scene)
        finish(row, scene, set())
    return row


def full_disk(scene: Scene, wanted: int) -> list[Row]:
    """Let the disk below the root run full at many sizes during the second refresh."""
    if not can_mount():
        return []
    row = Row(fault="refresh, disk full")
    shutil.rmtree(scene.root)
    with disk(scene.root, SPACE):
        scene.restore("first")
        before = used(scene.root)
        finished(scene, "second")
        need = used(scene.root) - before
        for trial in range(wanted):
            remount(scene.root, f"size={SPACE}")
            scene.restore("first")
            served = everything(scene.serving)
            free = max(4096, int(need * (trial + 0.2) / wanted) // 4096 * 4096)
            remount(scene.root, f"size={used(scene.root) + free}")
            check_failure(row, scene.start("second"), statuses=(1,))
            row.trials += 1
            if everything(scene.serving) != served:
                row.lose("what was served changed")
            check_state(row, scene)
            remount(scene.root, f"size={SPACE}")
            finish(row, scene, set())
    return [row]


def read_only(scene: Scene) -> Row:
    """Refresh a root that cannot be written."""
    row = Row(fault="refresh, read-only root")
    if not can_mount():
        return row
    with disk(scene.root, SPACE):
        scene.restore("first")
        served = everything(scene.serving)
        remount(scene.root, "ro")
        check_failure(row, scene.start("second"), statuses=(1, 2), says="Read-only")
        row.trials += 1
        if everything(scene.serving) != served:
            row.lose("what was served changed")
        remount(scene.root, "rw")
        finish(row, scene, set())
    return row


def _page(data: bytes, random: Random) -> bytes:
    """Return the file with one of its pages replaced by random bytes."""
    at = random.randrange(1, len(data) // 4096) * 4096
    return data[:at] + random.randbytes(4096) + data[at + 4096 :]


if __name__ == "__main__":
    run_part(measure, SEED)
