"""Remove old versions, never the one that a roll-back needs."""

from __future__ import annotations

from pathlib import Path

from components.serving.earlier import earlier_models, identity_of, kept_versions, taken_away
from components.serving.history import (
    RETIRED,
    Event,
    History,
    actor,
    append_event,
    now,
    read_history,
)
from components.serving.store import current_version, discard, version_at, version_numbers


def retire(serving: Path, keep: int) -> list[int]:
    """Remove old versions; the caller holds the lock. Their bundles stay.

    Each is announced in the history, then renamed, then deleted: whatever cuts that off, the
    version is whole or gone, and `components.serving.store.recover` finishes what was announced.

    Args:
        serving: The serving folder.
        keep: How many versions stay. The live one always does, and so does one to go back to: the
            first intact one of `components.serving.earlier.earlier_models`; where there is none,
            that of the model that was taken away last.

    Returns:
        The versions that were removed.

    Raises:
        OSError: the disk is full or refuses; the versions that were not removed yet stay.
        FailedError: the history cannot be read.
    """
    current = current_version(serving)
    numbers = version_numbers(serving)
    stay = {current, *numbers[max(0, len(numbers) - keep) :]}
    other = _to_go_back_to(serving, read_history(serving), current)
    if other is not None:
        stay.add(other)
    gone = [version for version in numbers if version not in stay]
    for version in gone:
        found = version_at(serving, version)
        event = Event(
            event=RETIRED,
            time=now(),
            by=actor(),
            reason=f"keep {keep}",
            version=version,
            digest=found.digest if found else None,
        )
        append_event(serving, event)
        discard(serving, version)
    return gone


def _to_go_back_to(serving: Path, history: History, current: int) -> int | None:
    """Return the intact version of another model than the live one that is the best to keep."""
    for version in earlier_models(serving, history, current):
        found = version_at(serving, version)
        if found is not None and found.intact:
            return version
    live = identity_of(serving, history, current)
    away = [one for one in reversed(taken_away(serving, history)) if one != live]
    kept = (version for one in away for version in kept_versions(serving, history, one))
    return next(kept, None)
