"""Faults while a model is refreshed: kills, full and read-only disks, two at once, bad metadata.

``python -m benchmarks.faults_refresh [--quick]`` prints its rows as JSON. Two refreshes of small
networks are told apart by a learning rate: the first is live, the second is cut off.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import os
import re
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

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
from benchmarks.faults_serving import everything
from components.serving.store import current_version, live_model
from components.serving.verify import verify_serving
from schemas.errors import FailedError
from schemas.recipe import load_recipe

SEED = 3
LOADED = (
    "pipelines.dataset.materialize",
    "pipelines.refresh",
    "components.shells",
    "components.stages",
    "tfx.v1",
    "tfx.dsl.compiler.compiler",
    "tfx.orchestration.local.runner_utils",
    "tfx.orchestration.portable.launcher",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
)
SPACE = 512 << 20
LATE = "Answers"
"""The first of the nodes that most kills happen in: what comes before them is in the cache."""
FITTING = {"epochs": 1, "batch_size": 64, "learning_rate": 0.05, "copies": 1, "model": {"width": 4}}
STAGES = [
    {"name": "teacher", "kind": "train", "config": FITTING},
    {"name": "student", "kind": "distill", "teacher": "teacher", "config": FITTING},
]
SECOND = [f"--set=refresh.stages.{number}.config.learning_rate=0.06" for number in (0, 1)]
_ENDED = re.compile(r"^\[ *\d+/\d+\] (.{18}) (done|cached) ", re.MULTILINE)
_STARTED = re.compile(r"^\[ *\d+/\d+\] (.{18}) \.\.\.$", re.MULTILINE)
_UNFINISHED = "select count(*) from Execution where last_known_state in (1, 2)"


@dataclass(kw_only=True)
class Scene:
    """A root with its two refreshes.

    Attributes:
        folder: Where all lies: ``root`` and its copies: ``first``, in which the first model is
            live, and one by the name of each late node, taken as the second refresh began it.
        arguments: The command of the first refresh.
        identities: Of the first and the second model.
        seconds: What each node of the second refresh takes, by name and in order.
        cached: The nodes whose results are taken from the cache.
        late: The nodes after the training, in order.
    """

    folder: Path
    arguments: list[str]
    identities: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    cached: frozenset[str] = frozenset()
    late: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The root of the refreshes."""
        return self.folder / "root"

    @property
    def serving(self) -> Path:
        """The serving folder."""
        return self.root / "faults-smoke" / "serving"

    @property
    def total(self) -> float:
        """Seconds of the whole second refresh."""
        return sum(self.seconds.values())

    def start(self, which: str, run: Callable[..., Child] = command) -> Child:
        """Start the refresh of the ``first`` or the ``second`` model."""
        return run([*self.arguments, *(SECOND if which == "second" else [])], self.folder / "said")

    def restore(self, name: str) -> None:
        """Bring the root to one of its copies."""
        for entry in self.root.iterdir() if self.root.exists() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.copytree(self.folder / name, self.root, symlinks=True, dirs_exist_ok=True)

    def keep(self, name: str) -> None:
        """Keep a copy of the root."""
        shutil.copytree(self.root, self.folder / name, symlinks=True)


def measure(folder: Path, random: Random, quick: bool) -> list[Row]:
    """Return one row per kind of fault; with ``quick`` none, for a refresh alone takes too long."""
    if quick:
        return []
    load()
    scene = prepared(folder)
    rows = [
        kills("refresh killed, last nodes", scene, "late", random, 40),
        kills("refresh killed", scene, "first", random, 12),
        kills("refresh killed, start-up too", scene, "first", random, 3, start=program),
        two_refreshes(scene, random, 4),
        damaged_metadata(scene, random),
    ]
    rows += full_disk(scene, 8)
    rows.append(read_only(scene))
    return rows


def load() -> None:
    """Load here, once, what a refresh loads: forks then have it. No session may have run yet."""
    for name in LOADED:
        importlib.import_module(name)


def prepared(folder: Path) -> Scene:
    """Run the first refresh, time the second, and keep the roots that faults begin with."""
    content = copy.deepcopy(load_recipe("digits").content)
    content |= {"name": "faults", "copies": 1, "slice_size": 2048}
    content["refresh"] = refresh_section()
    recipe = folder / "faults.yaml"
    recipe.write_text(json.dumps(content), "utf-8")
    arguments = ["refresh", str(recipe), "--profile", "smoke", "--root", str(folder / "root")]
    scene = Scene(folder=folder, arguments=[*arguments, "--output", str(folder / "datasets")])
    scene.identities["first"] = _finished(scene, "first")
    again = scene.start("first")
    again.wait()
    scene.cached = frozenset(
        name for name, state in ended(again.text()).items() if state == "cached"
    )
    scene.keep("first")
    child, starts, paused = scene.start("second"), {}, 0.0
    while child.poll() is None:
        for name in [one.strip() for one in _STARTED.findall(child.text())]:
            if name in starts:
                continue
            starts[name] = time.monotonic() - paused
            if name == LATE or scene.late:
                scene.late.append(name)
                os.killpg(child.pid, signal.SIGSTOP)
                scene.keep(name)
                os.killpg(child.pid, signal.SIGCONT)
                paused = time.monotonic() - starts[name]
        time.sleep(0.005)
    times = [*starts.values(), time.monotonic() - paused]
    scene.seconds = {
        name: end - start for name, start, end in zip(starts, times, times[1:], strict=False)
    }
    scene.identities["second"] = _finished(scene, "second")
    if not scene.late:
        raise FailedError(f"no node is called {LATE}: {list(starts)}")
    return scene


def refresh_section() -> dict[str, Any]:
    """Return the ``refresh`` section of two small networks that pass every gate."""
    return {
        "model": "image_resnet",
        "stages": copy.deepcopy(STAGES),
        "push": "student",
        "gates": {
            "floors": {"accuracy": 0.01},
            "ceilings": {"bytes": 10_000_000},
            "against_live": {"tolerated_loss": 0.9},
        },
        "robustness": {"examples": 5},
    }


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
            random.uniform(0, scene.total), since=lambda: bool(_STARTED.search(child.text()))
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
    for path in (scene.root / "faults-smoke").rglob("report*/*.json"):
        try:
            json.loads(path.read_text("utf-8"))
        except ValueError:
            row.expose(f"{path} is not whole")


def finish(row: Row, scene: Scene, done: set[str]) -> None:
    """Run the second refresh to its end: it must go live, and nothing may be left over."""
    child = scene.start("second")
    if child.wait():
        row.lose(f"the next refresh fails: {child.text()[-1500:]}")
        return
    check_run(row, scene, child, done)
    check_state(row, scene)
    live = live_model(scene.serving)
    if live is None or live.identity != scene.identities["second"]:
        row.lose("what is live is not what an undisturbed refresh makes live")
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
        _finished(scene, "second")
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


def ended(text: str) -> dict[str, str]:
    """Return the nodes that a run reported as done or cached."""
    return {name.strip(): state for name, state in _ENDED.findall(text)}


def _page(data: bytes, random: Random) -> bytes:
    """Return the file with one of its pages replaced by random bytes."""
    at = random.randrange(1, len(data) // 4096) * 4096
    return data[:at] + random.randbytes(4096) + data[at + 4096 :]


def _finished(scene: Scene, which: str) -> str:
    child = scene.start(which)
    live = None if child.wait() else live_model(scene.serving)
    if live is None:
        raise FailedError(f"a refresh without a fault failed: {child.text()}")
    return live.identity


if __name__ == "__main__":
    run_part(measure, SEED)
