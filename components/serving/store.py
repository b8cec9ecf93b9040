"""The serving folder: its versions, the pointer to the live one, and how a version gets there.

A version is made in a temporary sibling, synced, and put in place by three renames: the bundle,
the version folder, ``CURRENT``. The second is the moment that counts: before it nothing is there
but a bundle that the next push removes; after it the version is complete with its bundle, and
`recover` finishes what a crash cut off. So no version ever lacks its bundle.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.serving.bundle import (
    bundle_folder,
    came_from_elsewhere,
    copy_plain,
    file_problems,
    has_bundle,
    published_event,
    read_bundle,
    seal_bundle,
    unwritten_event,
)
from components.serving.history import (
    PROMOTIONS,
    REFUSED,
    Event,
    History,
    actor,
    append_event,
    now,
    read_history,
)
from components.serving.signing import SigningKey, sign
from components.tree import TEMPORARY, sync, tree_digest, write_text
from schemas.errors import FailedError
from schemas.locks import held
from schemas.plain_files import open_plain, read_plain

CURRENT = "CURRENT"
RECORD = "push.json"
LOCK = ".push.lock"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
NOT_THE_MODEL = frozenset({RECORD})
PATIENCE = 60.0
"""Seconds that a reader waits for whoever pushes, rolls back or mirrors."""
_POLL = 0.05


@dataclass(frozen=True, kw_only=True)
class LiveModel:
    """A version of the serving folder, mostly the one that ``CURRENT`` names.

    Attributes:
        version: Its number.
        path: Its folder.
        digest: The digest over its files that it was pushed with.
        identity: What it is, see `components.push.push`.
        record: The whole ``push.json``.
    """

    version: int
    path: Path
    digest: str
    identity: str
    record: Mapping[str, Any]

    @property
    def intact(self) -> bool:
        """Whether files and bundle are those that were pushed (they are read).

        A version without a bundle is intact only where the history knows of none. One whose bundle
        is another than the history names is not, nor is what cannot be read.
        """
        try:
            return self.intact_by(read_history(self.path.parent))
        except FailedError:
            return False

    def intact_by(self, history: History) -> bool:
        """As `intact`, by a history that was read already."""
        serving, event = self.path.parent, history.of_version(self.version)
        try:
            if tree_digest(self.path, leave_out=NOT_THE_MODEL) != self.digest:
                return False
            if not has_bundle(serving, self.version):
                return event is None or event.bundle is None
            bundle = read_bundle(serving, self.version)
            other = event is not None and event.bundle != bundle.seal
            if other or came_from_elsewhere(bundle, history):
                return False
            return not file_problems(serving, bundle)
        except (OSError, FailedError):
            return False


def live_model(serving: Path) -> LiveModel | None:
    """Return the version that ``CURRENT`` names, or None where it names no readable one."""
    return version_at(serving, current_version(serving))


def current_version(serving: Path) -> int:
    """Return the number in ``CURRENT``, 0 where there is none or the file is a link."""
    try:
        text = read_plain(serving / CURRENT, links=False).decode("ascii").strip()
    except (OSError, ValueError):
        return 0
    return int(text) if _VERSION.fullmatch(text) else 0


def version_at(serving: Path, version: int) -> LiveModel | None:
    """Return that version, or None where there is no readable one."""
    path = serving / str(version)
    try:
        record = json.loads(read_plain(path / RECORD, links=False))
        found = LiveModel(
            version=version,
            path=path,
            digest=record["digest"],
            identity=record["identity"],
            record=record,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if type(found.digest) is type(found.identity) is str else None


def may_be_served(name: str) -> bool:
    """Whether TensorFlow Serving may take a folder of that name for a version."""
    return name.isdecimal()


def version_numbers(folder: Path) -> list[int]:
    """Return the numbers of the version folders (or of their bundles), ascending."""
    if not folder.is_dir():
        return []
    return sorted(int(one.name) for one in folder.iterdir() if _VERSION.fullmatch(one.name))


def next_version(serving: Path) -> int:
    """Return a number above every one that was ever given, whatever became of that version.

    Raises:
        FailedError: there is none of 18 digits, or the history cannot be read.
    """
    there = (*version_numbers(serving), *version_numbers(serving / PROMOTIONS))
    told = (event.version or 0 for event in read_history(serving).events)
    number = max((current_version(serving), *there, *told)) + 1
    if not _VERSION.fullmatch(str(number)):
        raise FailedError(
            f"{serving}: no number is left above {number - 1}: remove that version, or push to a "
            "new folder where the history names it"
        )
    return number


def is_serving_folder(path: str | Path) -> bool:
    """Whether a folder is one that models are pushed to."""
    # Path.is_file raises where a name is too long
    return os.path.isfile(os.path.join(path, CURRENT)) or os.path.isdir(
        os.path.join(path, PROMOTIONS)
    )


@contextlib.contextmanager
def locked(serving: Path) -> Iterator[None]:
    """Hold the serving folder; the lock goes with the process, however it ends. Others wait.

    Raises:
        InputError: its file system knows no locks.
        OSError: the lock file is a link, or cannot be written.
    """
    serving.mkdir(parents=True, exist_ok=True)
    with held(serving / LOCK):
        yield


@contextlib.contextmanager
def undisturbed(serving: Path, patience: float = PATIENCE) -> Iterator[bool]:
    """Keep writers out of the serving folder while it is read; others may read too.

    It takes no right to write: the lock file is only opened for reading.

    Yields:
        Whether that could be had: there may be no lock file (a copy), or none that may be read,
        the file system may know no locks, or somebody may hold it for longer than ``patience``.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_plain(serving / LOCK, links=False))
        except OSError:
            file = None
        yield file is not None and _shared(file.fileno(), time.monotonic() + patience)


def _shared(descriptor: int, deadline: float) -> bool:
    """Lock a file as one of several readers (`locked` does so as the only one); False if late."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        except OSError:
            return False
        else:
            return True


def recover(serving: Path) -> int | None:
    """Finish or undo what a crash cut off; the caller holds the lock.

    Temporary folders go: nobody else can be at work in them. A bundle without a version goes. A
    complete version that a crash kept from going live goes live, and its line into the history. A
    version that retention had begun to remove goes. A damaged history, and a version that no push
    put there, are left as they are: `verify` names them.

    Returns:
        The version that went live by this, or None.
    """
    history = read_history(serving)  # first: it refuses a folder whose parts are links
    for folder in (serving, serving / PROMOTIONS):
        for leftover in folder.glob(f"{TEMPORARY}*"):
            remove(leftover)
    current = current_version(serving)
    present = version_numbers(serving)
    for version in version_numbers(serving / PROMOTIONS):
        known = history.of_version(version) is not None
        if version > current and version not in present and not known:
            remove(bundle_folder(serving, version))
    for version in present:
        if history.retired(version) and version != current:
            discard(serving, version)
    went_live = _roll_forward(serving, history, current)
    complete_history(serving)
    return went_live


def _roll_forward(serving: Path, history: History, current: int) -> int | None:
    """Point ``CURRENT`` at the newest version that a crash kept from going live."""
    newest = max(version_numbers(serving), default=0)
    found = version_at(serving, newest) if newest > current else None
    if found is None or not has_bundle(serving, newest):
        return None
    if history.of_version(newest) is not None:
        if current:  # somebody set the pointer back by hand: it stays
            return None
    elif unwritten_event(serving, newest, history) is None:
        return None
    if not found.intact_by(history):
        return None
    write_text(serving / CURRENT, f"{newest}\n")
    return newest


def complete_history(serving: Path) -> None:
    """Write the lines that a crash or a full disk kept from the history.

    Raises:
        OSError: the disk is full or refuses.
        FailedError: the history cannot be read.
    """
    history = read_history(serving)
    for version in version_numbers(serving):
        event = unwritten_event(serving, version, history)
        if event is not None:
            append_event(serving, event)
            history = read_history(serving)


def publish(
    model: Path,
    serving: Path,
    *,
    event: Event,
    identity: str,
    record: Mapping[str, Any],
    fill: Callable[[Path], None],
    key: SigningKey | None = None,
) -> None:
    """Make the files of ``model`` the version that ``event`` names, and that one live.

    Args:
        model: Folder whose files are to be served.
        serving: The serving folder, whose lock the caller holds.
        event: The line for the history, with version and digest.
        identity: What the model is.
        record: Further entries of ``push.json``.
        fill: Writes what the bundle holds beside ``bundle.json`` into a folder of that name.
        key: What to sign with, or None.

    Raises:
        FailedError: the model's files changed while they were copied, or the bundle is refused.
        OSError: the disk is full or refuses; the old version stays live.
    """
    version = event.version
    staging = serving / f"{TEMPORARY}{version}-{uuid.uuid4().hex[:8]}"
    bundle = bundle_folder(staging, version)
    try:
        staging.mkdir()
        copy_plain(model, staging / str(version))
        (staging / str(version) / RECORD).unlink(missing_ok=True)
        if tree_digest(staging / str(version)) != event.digest:
            raise FailedError(f"{model} changed while it was copied; push again")
        own = {"version": version, "digest": event.digest, "identity": identity}
        text = json.dumps({**record, **own}, indent=2, sort_keys=True) + "\n"
        (staging / str(version) / RECORD).write_text(text, "utf-8")
        bundle.mkdir(parents=True)
        fill(bundle)
        sealed = seal_bundle(staging, event, identity=identity, history=read_history(serving).head)
        if key is not None:
            sign(staging, version, key)
        # From here on nothing is written any more, only renamed: a full disk shows before.
        (staging / CURRENT).write_text(f"{version}\n")
        _sync_tree(staging)
        (serving / PROMOTIONS).mkdir(exist_ok=True)
        os.rename(bundle, bundle_folder(serving, version))
        sync(serving / PROMOTIONS)
        os.rename(staging / str(version), serving / str(version))
        sync(serving)
        os.replace(staging / CURRENT, serving / CURRENT)
    except BaseException:
        with contextlib.suppress(OSError):
            _take_back(serving, version)
        raise
    finally:
        with contextlib.suppress(OSError):  # `recover` removes it
            remove(staging)
    with contextlib.suppress(OSError, FailedError):  # it is live; `recover` does what is missing
        sync(serving)
        append_event(serving, published_event(serving, sealed))


def _take_back(serving: Path, version: int) -> None:
    """Remove what a push that failed put in place, unless it went live at the last moment.

    ``CURRENT`` tells, not how far the push got: an interrupt may come between the rename and
    whatever would note that it is done.

    Raises:
        OSError: ``CURRENT`` cannot be read, or the disk refuses; `recover` decides then.
    """
    pointer = serving / CURRENT
    ours = pointer.exists() and not pointer.is_symlink()  # no push writes a link
    if ours and read_plain(pointer, links=False) == f"{version}\n".encode():
        return
    if (serving / str(version)).exists():
        discard(serving, version)
    remove(bundle_folder(serving, version))


def discard(serving: Path, version: int) -> None:
    """Take a version away at once, then delete it."""
    doomed = serving / f"{TEMPORARY}{version}-{uuid.uuid4().hex[:8]}"
    os.rename(serving / str(version), doomed)
    sync(serving)
    remove(doomed)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder; one that is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def record_refusal(serving: Path, reason: str, about: Mapping[str, Any]) -> None:
    """Note in the history that a model was not pushed, and why.

    Raises:
        FailedError: it cannot be written.
    """
    try:
        with locked(serving):
            recover(serving)
            live = current_version(serving) or None
            about = {**about, "live": live}
            append_event(
                serving,
                Event(event=REFUSED, time=now(), by=actor(), reason=reason, about=about),
            )
    except OSError as error:
        raise FailedError(
            f"{serving}: the refusal cannot be written down ({error.strerror or error}): {reason}"
        ) from error


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        sync(path)
