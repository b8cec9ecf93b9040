"""Commands in process groups of their own, ended by SIGKILL; and disks that are full or read-only.

A command runs in a fork of this process, which has its imports: the very code of `beam_runner`,
without the seconds that Python needs to load it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import beam_runner
from benchmarks.timing import PROJECT
from schemas.errors import FailedError

DEADLINE = 300.0
"""Seconds after which a command counts as hung."""
TICK = 0.002


@dataclass(kw_only=True)
class Row:
    """What came of one kind of fault.

    Attributes:
        fault: What was done to whom.
        kills: Processes ended by SIGKILL.
        trials: Faults of another kind.
        lost: Results that were complete and were not there afterwards, or had to be made again.
        half_visible: States that a reader could take for a result and that were none.
        message: What the command said, where it said anything.
        found: What ``lost`` and ``half_visible`` counted, one line each.
    """

    fault: str
    kills: int = 0
    trials: int = 0
    lost: int = 0
    half_visible: int = 0
    message: str = ""
    found: list[str] = field(default_factory=list)

    def lose(self, what: str) -> None:
        """Count something that is not there any more."""
        self.lost += 1
        self._note(f"lost: {what}")

    def expose(self, what: str) -> None:
        """Count something that a reader could mistake for a result."""
        self.half_visible += 1
        self._note(f"half visible: {what}")

    def _note(self, line: str) -> None:
        self.found.append(line)
        print(f"{self.fault}: {line}", file=sys.stderr, flush=True)


@dataclass
class Child:
    """A command in a process group of its own; ``status`` is its exit status once it has ended."""

    pid: int
    output: Path
    status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def wait(self) -> int:
        """Return the exit status.

        Raises:
            FailedError: It does not end.
        """
        end = time.monotonic() + DEADLINE
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise FailedError(f"no end after {DEADLINE:g} s: {self.text()[-1000:]}")
            time.sleep(TICK)
        return status

    def kill(self) -> None:
        """End the whole group at once, as an operating system short of memory or power does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        while self.poll() is None or members(self.pid):
            time.sleep(TICK)

    def text(self) -> str:
        """Return what it has printed."""
        return self.output.read_text("utf-8", errors="replace") if self.output.exists() else ""


def fork(call: Callable[[], int], output: Path) -> Child:
    """Run ``call`` in a new process group; what it prints goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    output.write_bytes(b"")  # here, so that nobody reads what an earlier command said
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # it has done so itself, or has ended
            os.setpgid(pid, pid)
        return Child(pid, output)
    status = 70
    try:
        os.setpgid(0, 0)
        sink = os.open(output, os.O_WRONLY | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(sink, descriptor)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as it lives
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        status = call()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def command(arguments: Sequence[str], output: Path) -> Child:
    """Run ``beam_runner.py ARGUMENTS`` in a fork of this process."""
    return fork(lambda: beam_runner.main(list(arguments)), output)


def program(arguments: Sequence[str], output: Path) -> Child:
    """Run ``beam_runner.py ARGUMENTS`` as a program of its own, start-up included."""
    line = [sys.executable, str(PROJECT / "beam_runner.py"), *arguments]
    return fork(lambda: os.execv(sys.executable, line), output)  # noqa: S606 - without a shell


def members(group: int) -> list[int]:
    """Return the processes of a group that still live."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            state, _, its_group = text.rsplit(")", 1)[1].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(entry))
    return found


def strike(child: Child, due: Callable[[], bool], tick: float = TICK) -> bool:
    """Kill the command as soon as ``due`` says so; False where it had ended before."""
    while not due():
        if child.poll() is not None:
            return False
        time.sleep(tick)
    if child.poll() is not None:
        return False
    child.kill()
    return True


def after(seconds: float, since: Callable[[], bool] = lambda: True) -> Callable[[], bool]:
    """Return a moment: so long after ``since`` was first true."""
    start: list[float] = []

    def due() -> bool:
        if not start and since():
            start.append(time.monotonic())
        return bool(start) and time.monotonic() >= start[0] + seconds

    return due


def seen(folder: Path, pattern: str) -> bool:
    """Whether something of that pattern is in a folder that others are at work in."""
    try:
        return any(folder.glob(pattern))
    except FileNotFoundError:  # it went while it was looked at
        return False


def errors_of(text: str) -> list[str]:
    """Return the lines of an output that name an error."""
    return [line for line in text.splitlines() if line.startswith("error: ")]


def check_failure(row: Row, child: Child, *, statuses: Sequence[int], says: str = "") -> None:
    """Hold a failure to its form: that status, one line that begins with ``error:``."""
    status, text = child.wait(), child.text()
    lines = errors_of(text)
    if status not in statuses or len(lines) != 1 or says not in text or "Traceback" in text:
        raise FailedError(
            f"{row.fault}: status {status}, not of {list(statuses)}, or without {says!r}:\n"
            f"{text[-2000:]}"
        )
    row.message = row.message or lines[0]


@contextlib.contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a small disk (tmpfs) of ``size`` bytes at a folder.

    Raises:
        PermissionError: It takes root, and the right to mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def remount(folder: Path, options: str) -> None:
    """Change a mounted disk: ``size=…``, ``ro`` or ``rw``."""
    _mount("-o", f"remount,{options}", str(folder))


def can_mount() -> bool:
    """Whether this process may mount a disk."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with disk(Path(folder), 1 << 20):
                return True
        except PermissionError:
            return False


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise PermissionError(f"mount: {error}") from error
    if done.returncode:
        raise PermissionError(done.stderr.strip())


def used(folder: Path) -> int:
    """Return the bytes that a disk holds."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def run_part(measure: Callable[[Path, Random, bool], list[Row]], seed: int) -> None:
    """Measure a part as a program of its own; ``--quick`` or not; rows as JSON on the last line."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        rows = measure(Path(folder), Random(seed), "--quick" in sys.argv[1:])
    print(json.dumps([asdict(row) for row in rows]), flush=True)
