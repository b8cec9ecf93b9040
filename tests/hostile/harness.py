"""Runs the command line over hostile input and says what a user would see, and what is left."""

import contextlib
import hashlib
import os
import re
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import beam_runner
from pipelines.dataset.sources import tfds

SECONDS = 30
"""Far above what any case takes (a whole small dataset takes 0.3 s), far below a hang."""

MAX_LINE = 4_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# What may stand on standard error beside the one error: argparse's hint, and progress.
_BESIDE = re.compile(r"try: |resuming: |the dataset is damaged |new schema |[\r ]*\d+ of \d+ ")


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        make: Called in an empty current folder: lays the input out there.
        argv: The command.
        says: What the message (or, where the verdict is the output, the output) must hold.
        status: Exit statuses that are right; with 0 among them the input is strange but harmless.
        late: The input is only found bad while the dataset is built: what was built stays for a
            resume, and it is never a finished dataset.
        verdict: `verify` prints what it found on standard output; there is no error.
    """

    make: Callable[[], None]
    argv: tuple[str, ...]
    says: str = ""
    status: tuple[int, ...] = (2,)
    late: bool = False
    verdict: bool = False


@dataclass(frozen=True)
class Seen:
    """What a run of the command line left."""

    status: int
    out: str
    err: str
    added: frozenset[str]
    changed: frozenset[str]


class TooSlow(BaseException):
    """Raised by the watchdog; no handler of the program catches it."""


@contextlib.contextmanager
def watchdog(seconds=SECONDS):
    """Interrupt what takes longer: a blocked read, an endless loop."""

    def bark(signum, frame):
        raise TooSlow(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def snapshot(root):
    """Return every path below a folder with its kind, size and content."""
    found = {}
    for folder, folders, names in os.walk(root):
        if folder.count("/") > 20:  # a case of its own; nothing is written there
            folders.clear()
        for name in folders + names:
            path = os.path.normpath(os.path.join(folder, name))
            mode = os.lstat(path).st_mode
            what, content = stat.S_IFMT(mode), ""
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            elif stat.S_ISREG(mode):
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            found[path] = (what, content)
    return found


def run(argv, capture, root="."):
    """Run a command in this process, in the current folder.

    Args:
        argv: Its arguments.
        capture: pytest's ``capfd``.
        root: The folder that is looked at before and after.
    """
    tfds._load.cache_clear()  # keyed by path, and these files change
    before = snapshot(root)
    capture.readouterr()
    with watchdog():
        status = beam_runner.main(list(argv))
    out, err = capture.readouterr()
    after = snapshot(root)
    return Seen(
        status,
        out,
        err,
        frozenset(after.keys() - before.keys()),
        frozenset(path for path in before if after.get(path) != before[path]),
    )


def problems(seen, case):
    """Return what is wrong with how a bad input was met; empty where nothing is."""
    found = []
    if seen.status not in case.status:
        found.append(f"exit status {seen.status}, not {case.status}")
    if seen.status == 0:
        return found if 0 in case.status else found + [f"accepted: {seen.out[:300]}"]
    found += _clear(seen, case)
    lasting = {path for path in seen.added | seen.changed if not _is_lock(path, seen)}
    if case.late:
        lasting = {path for path in lasting if path.endswith("manifest.json")} | {
            path for path in lasting if not path.startswith(("out", "mine.pbtxt"))
        }
    if lasting:
        found.append(f"written: {sorted(lasting)[:5]}")
    return found


def _clear(seen, case):
    """Look at the text: one line says what is wrong, without a traceback or control characters."""
    found = []
    lines = seen.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if case.verdict:
        if errors or "not ok: " not in seen.out:
            found.append(f"no verdict: {seen.out[-300:]!r} {seen.err[:300]!r}")
    elif len(errors) != 1:
        found.append(f"{len(errors)} error lines: {seen.err[:600]!r}")
    other = [line for line in lines if line not in errors and not _BESIDE.match(line)]
    if other:
        found.append(f"other lines: {other[:3]!r:.600}")
    text = seen.err + seen.out
    for word in ("Traceback", "error: unexpected", "Error('", "<class '"):
        if word in text:
            found.append(f"{word!r}: {text[:600]!r}")
    if _CONTROL.search(text):
        found.append(f"control characters: {text[:600]!r}")
    if any(len(line) > MAX_LINE for line in text.splitlines()):
        found.append(f"a line of {max(map(len, text.splitlines()))} characters")
    if case.says not in text:
        found.append(f"does not say {case.says!r}: {text[:600]!r}")
    return found


def _is_lock(path, seen):
    """Documented: ``.lock`` in an output folder, ``.push.lock`` in a serving folder, both empty."""
    return os.path.basename(path) in (".lock", ".push.lock") and not os.path.getsize(path)
