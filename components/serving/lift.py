"""Let a model that was rolled back be pushed again, where no version that holds it is left."""

from __future__ import annotations

from pathlib import Path

from components.serving.earlier import identity_of, taken_away
from components.serving.history import (
    LIFTED,
    Event,
    actor,
    append_event,
    now,
    read_history,
    writable,
)
from components.serving.store import is_serving_folder, locked, recover
from schemas.errors import FailedError, InputError


def lift(serving: Path, version: int, *, reason: str) -> None:
    """Write down that the model of a version may be pushed again; what is live stays.

    Args:
        serving: The serving folder.
        version: One that held the model; it need not be there any more.
        reason: For the history; not empty.

    Raises:
        InputError: nobody took that model away, or there is no reason.
        FailedError: the disk is full or refuses; nothing is lifted.
    """
    if not reason.strip():
        raise InputError("lifting a roll-back needs a reason for the history: --reason TEXT")
    if not is_serving_folder(serving):
        raise InputError(f"{serving}: no serving folder: name the one that models are pushed to")
    try:
        with locked(serving):
            recover(serving)
            history = read_history(serving)
            away = taken_away(serving, history)
            identity = identity_of(serving, history, version)
            if identity not in away:
                known = sorted({event.replaced for event in away.values() if event.replaced})
                others = f"; rolled back were: {', '.join(map(str, known))}" if known else ""
                raise InputError(
                    f"the model of version {version} is not one that was rolled back, so there is "
                    f"nothing to lift{others}"
                )
            published = history.of_version(version)
            event = Event(
                event=LIFTED,
                time=now(),
                by=actor(),
                reason=writable(reason),
                version=version,
                digest=published.digest if published else None,
                identity=identity,
            )
            append_event(serving, event)
    except OSError as error:
        raise FailedError(f"{serving}: {error.strerror or error}; nothing was lifted") from error
