"""Remove old versions, never the one that a roll-back needs."""

from __future__ import annotations

from pathlib import Path

from components.serving.earlier import earlier_models
from components.serving.history import RETIRED, Event, actor, append_event, now, read_history
from components.serving.store import current_version, discard, version_at, version_numbers


def retire(serving: Path, keep: int) -> list[int]:
    """Remove old versions; the caller holds the lock. Their bundles stay.

    Each is announced in the history, then renamed, then deleted: whatever cuts that off, the
    version is whole or gone, and `components.serving.store.recover` finishes what was announced.

    Args:
        serving: The serving folder.
        keep: How many versions stay. The live one always does, and so does the one that a
            roll-back goes to: the first intact one of `components.serving.earlier.earlier_models`.

    Returns:
        The versions that were removed.

    Raises:
        OSError: the disk is full or refuses; the versions that were not removed yet stay.
        FailedError: the history cannot be read.
    """
    current = current_version(serving)
    numbers = version_numbers(serving)
    stay = {current, *numbers[max(0, len(numbers) - keep) :]}
    for version in earlier_models(serving, read_history(serving), current):
        found = version_at(serving, version)
        if found is not None and found.intact:
            stay.add(version)
            break
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
