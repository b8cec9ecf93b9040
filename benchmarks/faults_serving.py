"""Faults while models are pushed, rolled back and refused: kills, bad disks, several writers.

``python -m benchmarks.faults_serving [--quick]`` prints its rows as JSON.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
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
    fork,
    remount,
    run_part,
    seen,
    strike,
    used,
)
from components.push import push
from components.serving.bundle import Decision, Promotion
from components.serving.history import PUBLISHED, REFUSED, history_path
from components.serving.rollback import rollback
from components.serving.show import events_of
from components.serving.store import (
    current_version,
    live_model,
    record_refusal,
    version_numbers,
)
from components.serving.verify import verify_serving
from schemas.errors import FailedError, InputError, RefineryError
from schemas.report import Check, GateDecision

SEED = 2
CHECK = Check(measure="parts", kind="at_least", limit=1, value=1)
KEEP = 3
FILES, FILE_BYTES = 12, 40_000
ABOUT = {"recipe": "faults", "text": "x" * 3600}
"""Long enough that the line of a push takes the page that the old ``CURRENT`` gives back."""
SPACE = 64 << 20
PAGE = 4096
"""Bytes that a small disk (tmpfs) hands out at a time."""
_LOG = "acts.jsonl"
ACTIONS = ("push", "push", "rollback", "refuse")


def measure(folder: Path, random: Random, quick: bool) -> list[Row]:
    """Return one row per kind of fault."""
    rows = [kills(folder, random, 5 if quick else 200)]
    rows += full_disk(folder, 2 if quick else 12)
    rows.append(read_only(folder))
    rows.append(two_writers(folder, 1 if quick else 5))
    return rows


def kills(folder: Path, random: Random, wanted: int) -> Row:
    """Kill a process that pushes, rolls back and notes refusals; what it acknowledged must stay.

    The folder grows through ten kills, each healed by the next push; then a new one follows.
    """
    row, seconds = Row(fault="push, roll-back, refusal killed"), _seconds(folder)
    missed = 0
    while row.kills < wanted:
        if missed > wanted:
            raise FailedError(f"{row.fault}: {missed} commands ended before their moment came")
        root = folder / f"served{row.kills}"
        serving = root / "serving"
        _finished(fork(lambda root=root: act(root, ["push", "push"]), folder / "said"))
        for _ in range(10):
            (root / _LOG).unlink()
            actions = [random.choice(ACTIONS) for _ in range(20)]
            before = live_model(serving), refusals(serving)
            child = fork(lambda root=root, todo=actions: act(root, todo), folder / "said")
            if strike(child, moment(root, random, seconds), tick=0.0):
                row.kills += 1
            else:  # the machine had other things to do
                missed += 1
                _finished(child)
            check_state(row, root, *before)
            heal(row, root, folder)
    return row


def act(root: Path, actions: list[str]) -> int:
    """Do one thing after the other; begin and end of each are noted in a log, beside the folder."""
    serving = root / "serving"
    root.mkdir(exist_ok=True)
    descriptor = os.open(root / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(**what: Any) -> None:
        os.write(descriptor, (json.dumps(what) + "\n").encode())

    for number, action in enumerate(actions):
        text = f"{time.time_ns()}-{number}"
        model = write_model(root / "model", text) if action == "push" else None
        note(begin=action)
        if model is not None:
            push_model(root, model)
        elif action == "refuse" or not _gone_back(serving, text):
            record_refusal(serving, text, {})
            note(refused=text)
        note(end=action, live=current_version(serving))
    return 0


def write_model(folder: Path, text: str) -> Path:
    """Write the files of a model that no other one equals."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        block = f"{text} {number} ".encode()
        (folder / f"part{number}").write_bytes(block * (FILE_BYTES // len(block)))
    return folder


def push_model(root: Path, model: Path, keep: int | None = KEEP) -> None:
    """Push a model with a decision and its evidence."""
    shown = root / "predictions.parquet"
    if not shown.exists():
        shown.write_bytes(bytes(FILE_BYTES))
    decision = Decision(
        record=GateDecision(gate="accuracy", checks=(CHECK,)).to_json(),
        evidence={"predictions": shown},
    )
    promotion = Promotion(about=ABOUT, decisions=(decision,), reason="faults")
    push(model, root / "serving", record={"recipe": "faults"}, promotion=promotion, keep=keep)


def moment(root: Path, random: Random, seconds: float) -> Callable[[], bool]:
    """Return a random moment: by the clock, or when something appears in the folder."""
    serving, log = root / "serving", root / _LOG
    version = current_version(serving) + random.randint(1, 2)
    appears: list[Callable[[], bool]] = [
        lambda: seen(serving, f".tmp-{version}-*"),
        lambda: seen(serving, f".tmp-{version}-*/{version}/part{FILES // 2}"),
        lambda: seen(serving, f".tmp-{version}-*/.promotions/{version}/bundle.json"),
        lambda: (serving / ".promotions" / str(version)).exists(),
        lambda: (serving / str(version)).exists(),
        lambda: current_version(serving) >= version,
    ]
    by_clock = after(random.uniform(0, 4 * seconds), since=log.exists)
    if random.random() < 0.5:
        return by_clock
    first, late = random.choice(appears), after(20 * seconds, since=log.exists)
    then = after(random.choice((0.0, random.uniform(0, seconds / 4))), since=first)
    return lambda: then() or late()


def check_state(row: Row, root: Path, live_before: Any, refused_before: int) -> None:
    """Look at the serving folder as a server would, and hold it to what was acknowledged."""
    serving = root / "serving"
    notes = list(_notes(root))
    acknowledged = [one for one in notes if "end" in one]
    running = notes[-1].get("begin") if notes else None
    least = acknowledged[-1]["live"] if acknowledged else live_before.version
    live = live_model(serving)
    if live is None or not live.intact:
        row.expose(f"the live version {current_version(serving)} is not whole")
        return
    if live.version < least:
        row.lose(f"version {least} was acknowledged, {live.version} is live")
    if live.version > least + (running in ("push", "rollback")):
        row.expose(f"version {live.version} is live, {least} was acknowledged")
    verdict = verify_serving(serving)
    if not verdict.ok or any(one.event == "unknown" for one in verdict.versions):
        row.expose(f"{verdict.problems} {[one.problems for one in verdict.versions]}")
    newest = max(version_numbers(serving))
    events = events_of(serving)
    known = {one.version for one in events if one.event in PUBLISHED}
    if set(range(1, newest + 1)) - known:
        row.lose(f"the history lacks versions {set(range(1, newest + 1)) - known}")
    if refusals(serving) < refused_before + sum("refused" in one for one in notes):
        row.lose("a refusal is missing in the history")


def heal(row: Row, root: Path, folder: Path) -> None:
    """Push once more: it must end well, and nothing of the crash may stay."""
    serving = root / "serving"
    before = current_version(serving)
    child = fork(lambda: act(root, ["push"]), folder / "said")
    if child.wait():
        row.lose(f"the next push fails: {child.text()[-1000:]}")
        return
    verdict = verify_serving(serving)
    if not verdict.ok or verdict.notes or current_version(serving) <= before:
        row.expose(f"after the next push: {verdict.problems} {verdict.notes}")
    if left := [str(one) for one in serving.rglob(".tmp-*")]:
        row.expose(f"left behind: {left}")


def full_disk(folder: Path, wanted: int) -> list[Row]:
    """Let the disk run full at many sizes while a model is pushed or rolled back to.

    Each push finds as many versions as stay, so that it removes the oldest. A push that has room
    stands, also where none is left to note which version goes; that moment is sought by itself.
    """
    if not can_mount():
        return []
    rows = [Row(fault="push, disk full"), Row(fault="roll-back, disk full")]
    place = folder / "small"
    growth, lines = _room_of_a_push(place, folder)
    retained = 0
    for row in rows:
        spread = [int(growth * (trial + 0.5) / wanted) // PAGE * PAGE for trial in range(wanted)]
        # what a push needs is one page more at times, by the text of its times
        for free in (*spread, *(growth + pages * PAGE for pages in range(-2, 3))):
            with disk(place, SPACE):
                retained += _on_a_full_disk(row, place, folder, free, lines)
    if not retained:
        raise FailedError("no disk ran full while a push removed an old version")
    return rows


def _on_a_full_disk(row: Row, place: Path, folder: Path, free: int, lines: tuple[int, int]) -> int:
    """Push or roll back with so many bytes free; return whether only retention lacked room."""
    root = place / "root"
    serving = root / "serving"
    pushes = row.fault.startswith("push")
    model = _full_serving(root, folder, lines)
    before, version = everything(serving), current_version(serving)
    remount(place, f"size={used(place) + free}")

    def again() -> Child:
        if pushes:
            return fork(lambda: _told(lambda: push_model(root, model)), folder / "said")
        return command(["rollback", str(serving), "--reason", "full"], folder / "said")

    child = again()
    done = child.wait() == 0
    row.trials += 1
    if not done:
        check_failure(row, child, statuses=(1,), says="No space left")
        if everything(serving) != before or current_version(serving) != version:
            row.lose("the old state")
    elif current_version(serving) != version + 1:
        row.lose("a push that said it went well")
    if not verify_serving(serving).ok:
        row.expose(f"{verify_serving(serving)}")
    kept = done and pushes and len(version_numbers(serving)) > KEEP
    remount(place, f"size={SPACE}")
    if pushes or not done:
        _finished(again())
    verdict = verify_serving(serving)
    if current_version(serving) != version + 1 or not verdict.ok or verdict.notes:
        row.lose(f"with space it does not work again: {verdict}")
    if pushes and version_numbers(serving) != list(range(version + 2 - KEEP, version + 2)):
        row.lose(f"with space the versions that stay are {version_numbers(serving)}")
    return int(kept)


def _full_serving(root: Path, folder: Path, lines: tuple[int, int]) -> Path:
    """Push as many versions as stay, and return a further model.

    The history is filled up so that the line of its push ends within the last bytes of a page and
    the line of the version that goes needs another, where ``lines`` says how long they are.
    """
    serving = root / "serving"
    _finished(fork(lambda: act(root, ["push"] * KEEP), folder / "said"))
    model = write_model(root / "model", "a further one")
    pushed, retired = lines
    if pushed:
        size = history_path(serving).stat().st_size
        record_refusal(serving, "", {})
        line = history_path(serving).stat().st_size - size
        text = -(size + 2 * line + pushed + retired // 2) % PAGE
        record_refusal(serving, "x" * text, {})
    return model


def _room_of_a_push(place: Path, folder: Path) -> tuple[int, tuple[int, int]]:
    """Return the bytes of disk that a push takes, and those of its line and of a removed version's.

    Measured on a disk with room, without retention and then with it.
    """
    root = place / "root"
    history = history_path(root / "serving")
    with disk(place, SPACE):
        model = _full_serving(root, folder, (0, 0))
        start = history.stat().st_size
        _finished(fork(lambda: _told(lambda: push_model(root, model)), folder / "said"))
        pushed, retired, *more = history.read_bytes()[start:].splitlines(keepends=True)
        if more:
            raise FailedError(f"a push wrote {len(more)} lines more than its own and of retention")
        lines = len(pushed), len(retired)
    with disk(place, SPACE):
        model = _full_serving(root, folder, lines)
        start = used(place)
        _finished(fork(lambda: _told(lambda: push_model(root, model, None)), folder / "said"))
        return used(place) - start, lines


def read_only(folder: Path) -> Row:
    """Roll back and push on a disk that cannot be written; reading it still works."""
    row, place = Row(fault="push and roll-back, read-only output"), folder / "locked"
    if not can_mount():
        return row
    root = place / "root"
    serving = root / "serving"
    with disk(place, SPACE):
        _finished(fork(lambda: act(root, ["push", "push"]), folder / "said"))
        model = write_model(root / "model", "third")
        before = everything(serving)
        remount(place, "ro")
        attempts = [
            command(["rollback", str(serving), "--reason", "locked"], folder / "said"),
            fork(lambda: _told(lambda: push_model(root, model)), folder / "said2"),
        ]
        for child in attempts:
            check_failure(row, child, statuses=(1,), says="Read-only file system")
            row.trials += 1
        for name in ("verify", "history"):
            _finished(command([name, str(serving)], folder / "said"))
        if everything(serving) != before:
            row.lose("the old state")
    return row


def two_writers(folder: Path, wanted: int) -> Row:
    """Several processes push, roll back and refuse at once: each waits, and nothing is lost."""
    row = Row(fault="push and roll-back, four writers")
    for trial in range(wanted):
        roots = [folder / f"writers{trial}" / str(number) for number in range(4)]
        serving = folder / f"writers{trial}" / "serving"
        for root in roots:
            root.mkdir(parents=True)
            (root / "serving").symlink_to(serving)
        serving.mkdir()
        todo = ["push", "rollback", "refuse", "push"]
        children = [
            fork(lambda root=root, todo=todo: act(root, todo), folder / f"said{number}")
            for number, root in enumerate(roots)
        ]
        for child in children:
            if child.wait():
                row.lose(f"a writer failed: {child.text()[-1000:]}")
        row.trials += 1
        ends = [one["live"] for root in roots for one in _notes(root) if one.get("end") == "push"]
        versions = [one.version for one in events_of(serving) if one.event in PUBLISHED]
        if versions != list(range(1, len(versions) + 1)) or len(ends) != 2 * len(roots):
            row.lose(f"versions {versions}")
        if not verify_serving(serving).ok or current_version(serving) != versions[-1]:
            row.expose(f"{verify_serving(serving)}")
    return row


def refusals(serving: Path) -> int:
    """Return how many refusals the history holds."""
    return sum(one.event == REFUSED for one in events_of(serving))


def everything(serving: Path) -> dict[str, bytes]:
    """Return all files with their contents but the lock's."""
    return {
        str(path.relative_to(serving)): path.read_bytes()
        for path in serving.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def _told(call: Callable[[], None]) -> int:
    """Run a call and say an error as the command line does."""
    try:
        call()
    except (OSError, RefineryError) as error:
        print(f"error: {error}", flush=True)
        return 1
    return 0


def _gone_back(serving: Path, reason: str) -> bool:
    """Roll back, where there is a version to go back to."""
    try:
        rollback(serving, reason=reason)
    except InputError:
        return False
    return True


def _notes(root: Path) -> Iterator[dict[str, Any]]:
    path = root / _LOG
    for line in path.read_text().splitlines() if path.exists() else []:
        yield json.loads(line)


def _seconds(folder: Path) -> float:
    """Return what a push takes."""
    root = folder / "timed"
    _finished(fork(lambda: act(root, ["push"] * 2), folder / "said"))
    start = time.monotonic()
    _finished(fork(lambda: act(root, ["push"] * 10), folder / "said"))
    return (time.monotonic() - start) / 10


def _finished(child: Child) -> None:
    if child.wait():
        raise FailedError(f"what has no fault failed: {child.text()}")


if __name__ == "__main__":
    run_part(measure, SEED)
