"""Which models somebody took away, and which versions a roll-back goes to.

`rollback` and retention ask here, so that what the one goes to is what the other keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.serving.bundle import read_bundle
from components.serving.history import LIFTED, PUBLISHED, ROLLED_BACK, Event, History
from components.serving.store import version_at, version_numbers
from schemas.errors import FailedError


def earlier_models(serving: Path, history: History, current: int) -> Iterator[int]:
    """Yield the versions that a roll-back goes to by itself, the best first.

    They hold another model than the live one, and one that nobody took away. Those before the
    version that the live model was first pushed as come first, newest first; then the others,
    which somebody went past by ``--to``.

    Args:
        serving: The serving folder; only versions that are there are yielded.
        history: Its history.
        current: The live version.
    """
    live = identity_of(serving, history, current)
    first = _first_pushed_as(history, current)
    away = taken_away(serving, history)
    numbers = [one for one in version_numbers(serving) if one < current]
    for version in sorted(numbers, key=lambda one: (one < first, one), reverse=True):
        identity = identity_of(serving, history, version)
        if identity is None or (identity != live and identity not in away):
            yield version


def taken_away(serving: Path, history: History) -> dict[str, Event]:
    """Return the models that a roll-back took away and nobody made live again since, by identity.

    A roll-back to a model that was taken away (``--to``) makes it live again; one that somebody
    lifted the verdict of (``--lift``) may be pushed again. The last one taken away comes last.
    """
    found: dict[str, Event] = {}
    for event in history.events:
        if event.event == LIFTED:
            found.pop(event.identity or "", None)
        if event.event not in PUBLISHED:
            continue
        replaced = event.replaced if event.event == ROLLED_BACK else None
        identity = identity_of(serving, history, replaced) if replaced is not None else None
        if identity is not None:
            found.pop(identity, None)
            found[identity] = event
        found.pop(identity_of(serving, history, event.version or 0) or "", None)
    return found


def kept_versions(serving: Path, history: History, identity: str) -> Iterator[int]:
    """Yield the intact versions that hold a model, the newest first."""
    for version in reversed(version_numbers(serving)):
        found = version_at(serving, version)
        if identity_of(serving, history, version) == identity and found and found.intact:
            yield version


def identity_of(serving: Path, history: History, version: int) -> str | None:
    """Return what the model of a version is, or None where nothing tells.

    The history tells, whatever became of the version; lines of older programs do not, and there
    the bundle does, or ``push.json``.
    """
    event = history.of_version(version)
    if event is not None and event.identity is not None:
        return event.identity
    try:
        return read_bundle(serving, version).identity
    except FailedError:
        found = version_at(serving, version)
        return found.identity if found else None


def _first_pushed_as(history: History, version: int) -> int:
    """Return the version whose model a roll-back, or one after the other, made live as this one."""
    event = history.of_version(version)
    while event is not None and event.origin is not None and event.origin < version:
        version = event.origin
        event = history.of_version(version)
    return version
