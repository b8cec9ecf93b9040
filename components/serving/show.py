"""Verdicts and histories as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.serving.bundle import unwritten_event
from components.serving.history import Event, read_history
from components.serving.store import version_numbers
from components.serving.verify import OK, ServingVerdict
from schemas.errors import printable


def verdict_lines(verdict: ServingVerdict) -> Iterator[str]:
    """Yield one line per version, every problem and note, and what it comes to."""
    for one in verdict.versions:
        state = "ok" if one.state == OK else one.state.upper()
        live = "live" if one.live else ""
        digest = (one.digest or "")[:12]
        head = f"version {one.version:<4} {state:<9} {live:<4} {one.event:<11} {digest:<12}"
        yield f"{printable(head)} signature {one.signature}"
        yield from (f"  {problem}" for problem in one.problems)
        yield from (f"  note: {note}" for note in one.notes)
    yield from verdict.problems
    yield from (f"note: {note}" for note in verdict.notes)
    if verdict.ok:
        many = len(verdict.versions)
        yield f"ok: {many} version{' is' if many == 1 else 's are'} what was promoted"
    else:
        count = len(verdict.problems) + sum(len(one.problems) for one in verdict.versions)
        whole = [one for one in verdict.versions if not one.live and not one.problems]
        fix = "`rollback` goes to a version that is ok" if whole else "no other version is ok"
        yield f"not ok: {count} problem{'' if count == 1 else 's'}; {fix}"


def events_of(serving: Path) -> list[Event]:
    """Return the history, with what a crash kept from being written down but a bundle knows.

    Raises:
        FailedError: it cannot be read.
    """
    history = read_history(serving)
    left = (unwritten_event(serving, one, history) for one in version_numbers(serving))
    return [*history.events, *(event for event in left if event is not None)]


def history_lines(serving: Path) -> Iterator[str]:
    """Yield two lines per event: when, what, which and who; and why."""
    for one in events_of(serving):
        which = f"version {one.version}" if one.version else ""
        if one.origin:
            which += f" (the model of version {one.origin})"
        if one.replaced:
            which += f", after version {one.replaced}"
        digest = (one.digest or "")[:12]
        line = f"{one.time}  {one.event:<11}  {which}  {digest}".rstrip()
        yield printable(f"{line}  by {one.by}")
        yield f"    {printable(one.reason)}"
    for problem in read_history(serving).problems:
        yield printable(f"note: {problem}")
