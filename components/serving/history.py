"""What happened to a serving folder: one JSON line per event, each chained to the one before.

``.promotions/history.jsonl`` only grows. A line is written by one system call and synced; a last
line without its end is what a crash left, is passed over, and is cut off by the next append. What
such a crash lost is in the version's bundle, see `components.serving.store.recover`.
"""

from __future__ import annotations

import dataclasses
import datetime
import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.serving.seals import SEAL, one_line, sealed, unsealed
from components.tree import sync
from schemas.errors import FailedError
from schemas.plain_files import read_plain

PROMOTIONS = ".promotions"
HISTORY = "history.jsonl"
PUSHED, ROLLED_BACK, REFUSED, RETIRED = "pushed", "rolled back", "refused", "retired"
LIFTED = "lifted"
PUBLISHED = (PUSHED, ROLLED_BACK)
BY = "BEAM_REFINERY_BY"
MAX_VERSION = 2**63 - 1
"""TensorFlow Serving's."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the history.

    Attributes:
        event: ``pushed``, ``rolled back``, ``refused``, ``retired`` or ``lifted``.
        time: UTC, ISO 8601.
        by: Who: ``user@machine``, or what the environment variable of `BY` says.
        reason: Why, in words.
        version: The version that it made or removed, or whose model may be pushed again; None for
            a refusal.
        digest: Digest of the model's files, where there is one.
        replaced: The version that was live before, or None.
        origin: For a roll-back, the version whose model is live again.
        bundle: The seal of that version's bundle.
        signature: SHA-256 of its signature, or None where it is unsigned.
        identity: What that version's model is, see `components.push.push`.
        about: Anything else: recipe, profile, run.
    """

    event: str
    time: str
    by: str
    reason: str
    version: int | None = None
    digest: str | None = None
    replaced: int | None = None
    origin: int | None = None
    bundle: str | None = None
    signature: str | None = None
    identity: str | None = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class History:
    """The history as read.

    Attributes:
        events: In order.
        problems: Lines that were changed, lost or put in between; each named.
        torn: Whether the last line lacks its end.
        head: The seal of the last line, or None.
        size: Bytes up to the end of the last whole line.
        seals: The seal of every readable line.
    """

    events: tuple[Event, ...] = ()
    problems: tuple[str, ...] = ()
    torn: bool = False
    head: str | None = None
    size: int = 0
    seals: frozenset[str] = frozenset()

    def of_version(self, version: int) -> Event | None:
        """Return the event that published a version, or None."""
        found = (e for e in self.events if e.version == version and e.event in PUBLISHED)
        return next(found, None)

    def retired(self, version: int) -> bool:
        """Whether retention removed that version."""
        return any(e.version == version and e.event == RETIRED for e in self.events)


def history_path(serving: Path) -> Path:
    """Return where the history of a serving folder lies."""
    return serving / PROMOTIONS / HISTORY


def read_history(serving: Path) -> History:
    """Read the history; a folder without one has an empty history.

    Raises:
        FailedError: it cannot be read.
    """
    path = history_path(serving)
    if path.parent.is_symlink():  # what is removed as a leftover would be somebody else's
        raise FailedError(f"{path.parent} is a link; a serving folder holds its own {PROMOTIONS}")
    try:
        content = read_plain(path, links=False)
    except FileNotFoundError:
        return History()
    except OSError as error:
        raise FailedError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_history(content)


def parse_history(content: bytes) -> History:
    """Read the bytes of a history."""
    size = content.rfind(b"\n") + 1
    events, problems, seals = [], [], []
    previous: str | None = None
    known = True  # whether the line before could be read
    for number, line in enumerate(content[:size].splitlines(keepends=True), start=1):
        try:
            value = unsealed(line.decode("utf-8"), one_line)
            chained = value.pop("previous")
            seal = value.pop(SEAL)
            event = event_from(value)
        except (ValueError, KeyError, TypeError) as error:
            problems.append(f"{PROMOTIONS}/{HISTORY}: line {number}: {error}")
            known = False
            continue
        if known and chained != previous:
            problems.append(
                f"{PROMOTIONS}/{HISTORY}: line {number}: does not follow the line before it: "
                "lines were removed or put in"
            )
        events.append(event)
        seals.append(seal)
        previous, known = seal, True
    return History(
        events=tuple(events),
        problems=tuple(problems),
        torn=size != len(content),
        head=previous,
        size=size,
        seals=frozenset(seals),
    )


def event_from(value: Mapping[str, Any]) -> Event:
    """Return an event as it was read.

    Raises:
        ValueError: A value is missing, unknown or of another type.
    """
    try:
        event = Event(**value)
    except TypeError as error:
        raise ValueError(f"not an event ({error})") from error
    for name in ("event", "time", "by", "reason"):
        if type(getattr(event, name)) is not str:
            raise ValueError(f"not an event ({name} is no text)")
    for name in ("digest", "bundle", "signature", "identity"):
        if type(getattr(event, name)) not in (str, type(None)):
            raise ValueError(f"not an event ({name} is no text)")
    for name in ("version", "replaced", "origin"):
        number = getattr(event, name)
        if number is not None and (type(number) is not int or not 0 <= number <= MAX_VERSION):
            raise ValueError(f"not an event ({name} is no version)")
    if not isinstance(event.about, dict):
        raise ValueError("not an event (about is no mapping)")
    return event


def append_event(serving: Path, event: Event) -> None:
    """Add one event; the caller holds the lock of the serving folder.

    Raises:
        OSError: the disk is full or refuses; what was there stays.
    """
    path = history_path(serving)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = read_history(serving)
    line = one_line(sealed({**event.to_json(), "previous": found.head})).encode("utf-8")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(descriptor, found.size)
        os.lseek(descriptor, 0, os.SEEK_END)
        if os.write(descriptor, line) != len(line):
            os.ftruncate(descriptor, found.size)
            raise OSError(f"{path}: the disk took only a part of a line")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync(path.parent)


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def actor() -> str:
    """Return who acts: ``BEAM_REFINERY_BY``, or ``user@machine``; see `writable`."""
    named = os.environ.get(BY)
    if named:
        return writable(named)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return writable(f"{user}@{socket.gethostname()}")


def writable(text: str) -> str:
    r"""Return text as the history can hold it: bytes from outside that are no UTF-8 as ``\udcf6``.

    Python hands them on as lone surrogates, from the environment, arguments and names of files.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
