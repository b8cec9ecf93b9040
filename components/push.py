"""Put a model where it is served, so that a crash at any moment leaves the old or the new one.

Layout of a serving folder: one numeric folder per version, as TensorFlow Serving expects it, with
``push.json`` inside; ``CURRENT``, a file that names the live version; and ``.promotions``, with
what each version can show for itself and the history. How it gets there: `components.serving`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.acceptance.predictions import FILES
from components.serving.bundle import Promotion, write_promotion
from components.serving.earlier import kept_versions, taken_away
from components.serving.history import PUSHED, Event, History, actor, now, read_history
from components.serving.retention import retire
from components.serving.signing import SigningKey
from components.serving.store import (
    NOT_THE_MODEL,
    LiveModel,
    complete_history,
    current_version,
    live_model,
    locked,
    next_version,
    publish,
    recover,
    version_at,
    version_numbers,
)
from components.tree import tree_digest
from schemas.errors import FailedError, GateRefusal

__all__ = [
    "PUSHED_DIGEST",
    "PUSHED_NOW",
    "LiveModel",
    "PushResult",
    "live_model",
    "push",
    "pushed_models",
]

# Properties that the Pusher sets on its output artifact beside TFX's own.
PUSHED_DIGEST = "pushed_digest"
PUSHED_NOW = "pushed_now"


@dataclass(frozen=True, kw_only=True)
class PushResult:
    """Where a model is live, and whether this push put it there or found it there."""

    version: int
    path: Path
    digest: str
    pushed: bool


def push(
    model: Path,
    serving: Path,
    *,
    record: Mapping[str, Any],
    identity: str | None = None,
    promotion: Promotion | None = None,
    key: SigningKey | None = None,
    keep: int | None = None,
    instead_of: int | None = None,
) -> PushResult:
    """Make ``model`` the live version of ``serving``.

    Nothing is pushed when the live version is intact and has the same identity. What an
    interrupted push left is finished or removed first. Otherwise the model becomes the next
    version: numbers only grow, a version folder never changes.

    Args:
        model: Folder whose files are to be served (a SavedModel).
        serving: The serving folder; created where missing. Pushes to it wait for one another.
        record: What ``push.json`` says beside version, digest and identity; plain JSON values.
        identity: Equal for models that answer alike although their files differ, as two exports
            of one network do (a SavedModel holds a random number). By default the files' digest.
        promotion: What goes into the version's bundle.
        key: What to sign version and bundle with; None leaves them unsigned.
        keep: How many versions stay; None: all. See `components.serving.retention.retire`. Where
            the disk refuses that, more stay until the next push.
        instead_of: The version that must be live, 0 where none: the one that the model was
            compared with. None: whatever is live.

    Raises:
        FailedError: ``model`` holds something else than plain files and folders, or a decision of
            ``promotion`` is a refusal or was made on other files.
        GateRefusal: this very model was rolled back, and nobody made it live again since; or
            another version went live than the one it was compared with.
        OSError: the disk is full or refuses; the old version stays live.
    """
    digest = tree_digest(model, leave_out=NOT_THE_MODEL)
    identity = identity or digest
    promotion = promotion or Promotion()
    with locked(serving):
        recovered = recover(serving)
        live = live_model(serving)
        fresh = live is None or live.identity != identity or not live.intact
        if fresh:
            _check_judged(model, digest, promotion)
            current = current_version(serving)
            if instead_of is not None and current != instead_of:
                raise GateRefusal(
                    f"this model was compared with version {instead_of or 'none'}, and version "
                    f"{current or 'none'} is live by now: run the refresh again"
                )
            _check_not_taken_away(serving, read_history(serving), identity)
            event = Event(
                event=PUSHED,
                time=now(),
                by=actor(),
                reason=promotion.reason,
                version=next_version(serving),
                digest=digest,
                replaced=current or None,
                about=dict(promotion.about),
            )
            publish(
                model,
                serving,
                event=event,
                identity=identity,
                record=record,
                fill=lambda folder: write_promotion(folder, promotion),
                key=key,
            )
            version, pushed = event.version, True
        else:
            version, digest, pushed = live.version, live.digest, recovered == live.version
        if keep is not None:
            # The model is live. What is announced `recover` removes, and fails if it cannot; the
            # rest is up to the next push. A history that lacks the line of the push gets no other.
            with contextlib.suppress(OSError, FailedError):
                complete_history(serving)
                retire(serving, keep)
    return PushResult(version=version, path=serving / str(version), digest=digest, pushed=pushed)


def _check_not_taken_away(serving: Path, history: History, identity: str) -> None:
    """Refuse a model that was rolled back, and say what makes it live all the same."""
    undone = taken_away(serving, history).get(identity)
    if undone is None:
        return
    kept = list(kept_versions(serving, history, identity))
    version = undone.replaced if undone.replaced in kept else next(iter(kept), None)
    way = (
        f"to make it live all the same, roll back to it: --to {version}"
        if version is not None
        else "no whole version holds it any more; to let the next refresh push it all the same: "
        f"`rollback --lift {undone.replaced}`; another seed trains another model"
    )
    raise GateRefusal(
        f"this model was version {undone.replaced} until {undone.by} rolled it back at "
        f"{undone.time} ({undone.reason}); {way}"
    )


def _check_judged(model: Path, digest: str, promotion: Promotion) -> None:
    """Refuse files that differ from those that a gate judged: its verdict may be a cached one."""
    for one in promotion.decisions:
        if one.record.get(FILES, digest) != digest:
            raise FailedError(
                f"the gate {one.record['gate']!r} judged other files than those in {model}: they "
                "were changed since; remove the model directory that they lie in, and the next "
                "refresh makes the model anew"
            )


def pushed_models(serving: Path) -> Iterator[LiveModel]:
    """Yield the live version, then the older ones, newest first, without those rolled back."""
    current = current_version(serving)
    away = taken_away(serving, read_history(serving))
    for version in reversed(version_numbers(serving)):
        found = version_at(serving, version) if version <= current else None
        if found is not None and found.identity not in away:
            yield found
