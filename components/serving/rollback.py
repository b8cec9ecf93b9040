"""Go back to an earlier version, by publishing its files again under the next number.

Numbers only grow: TensorFlow Serving serves the highest, so moving ``CURRENT`` back would leave it
at the bad model. The new version has the old one's files and digest, and a bundle that says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.serving.bundle import (
    BUNDLE,
    ORIGIN,
    SIGNATURE,
    bundle_folder,
    copy_plain,
    read_bundle,
    signature_of,
)
from components.serving.earlier import earlier_models, identity_of, taken_away
from components.serving.history import (
    REFUSED,
    ROLLED_BACK,
    Event,
    History,
    actor,
    append_event,
    now,
    read_history,
    writable,
)
from components.serving.signatures import check_key
from components.serving.signing import SigningKey, Trust
from components.serving.store import (
    current_version,
    is_serving_folder,
    live_model,
    locked,
    next_version,
    publish,
    recover,
    version_at,
    version_numbers,
)
from components.serving.verify import verify_version
from components.tree import tree_files
from schemas.errors import FailedError, GateRefusal, InputError


@dataclass(frozen=True, kw_only=True)
class RollbackResult:
    """A roll-back: the new version, the one whose model it holds, and the one it took over from."""

    version: int
    origin: int
    replaced: int
    path: Path
    digest: str


def rollback(
    serving: Path,
    *,
    reason: str,
    to: int | None = None,
    key: SigningKey | None = None,
    unsigned: bool = False,
    whose: Trust | None = None,
) -> RollbackResult:
    """Make the model of an earlier version live again, and write down why.

    Args:
        serving: The serving folder.
        reason: For the history; not empty.
        to: The version; by default the first of `components.serving.earlier.earlier_models`.
        key: What to sign the new version with.
        unsigned: Leave the new version unsigned though the old one is signed.
        whose: Whose signatures count; an unsigned or wrongly signed version is then refused.

    Raises:
        InputError: there is no such version, its model is live already, there is no reason, no key
            for a signed one, or one whose signature ``whose`` would not take.
        GateRefusal: the version does not verify; what is live stays, and the history says so.
        FailedError: the disk is full or refuses; what is live stays.
    """
    if not reason.strip():
        raise InputError("a roll-back needs a reason for the history: --reason TEXT")
    reason = writable(reason)
    if not is_serving_folder(serving):
        raise InputError(f"{serving}: no serving folder: name the one that models are pushed to")
    check_key(key, whose)
    try:
        with locked(serving):
            recover(serving)
            history = read_history(serving)
            current = current_version(serving)
            target = _target(serving, history, current, to)
            verdict = verify_version(serving, target, history=history, whose=whose)
            if verdict.problems:
                text = f"roll-back to {target} ({reason}): {'; '.join(verdict.problems)}"
                append_event(serving, Event(event=REFUSED, time=now(), by=actor(), reason=text))
                whole = _another_whole(serving, current, target, history, whose)
                raise GateRefusal(
                    f"version {target} does not verify, so it stays away: "
                    + "; ".join(verdict.problems)
                    + (f"; version {whole} does verify: --to {whole}" if whole else "")
                )
            if signature_of(serving, target) and key is None and not unsigned:
                raise InputError(
                    f"version {target} is signed, and a roll-back publishes it as a new version: "
                    "give --signing-key, or --unsigned to do without"
                )
            return _publish_again(serving, target, current, reason=reason, key=key)
    except OSError as error:
        raise FailedError(
            f"{serving}: {error.strerror or error}; version {current_version(serving)} is live"
        ) from error


def _another_whole(
    serving: Path, current: int, target: int, history: History, whose: Trust | None
) -> int | None:
    """Return the version that verifies and that a roll-back would go to without ``target``."""
    for version in earlier_models(serving, history, current):
        if version != target:
            verdict = verify_version(serving, version, history=history, whose=whose)
            if not verdict.problems:
                return version
    return None


def _publish_again(
    serving: Path, target: int, current: int, *, reason: str, key: SigningKey | None
) -> RollbackResult:
    bundle = read_bundle(serving, target)
    record = version_at(serving, target).record
    event = Event(
        event=ROLLED_BACK,
        time=now(),
        by=actor(),
        reason=reason,
        version=next_version(serving),
        digest=bundle.digest,
        replaced=current or None,
        origin=target,
        about=bundle.event.about,
    )

    def fill(folder: Path) -> None:
        source = bundle_folder(serving, target)
        for name, path in tree_files(source):
            if name not in (BUNDLE, SIGNATURE) and not name.startswith(f"{ORIGIN}/"):
                copy_plain(path, folder / name)
        (folder / ORIGIN).mkdir()
        for name in (BUNDLE, SIGNATURE):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / ORIGIN / name)

    publish(
        serving / str(target),
        serving,
        event=event,
        identity=bundle.identity,
        record={**record, "rolled_back_to": target},
        fill=fill,
        key=key,
    )
    return RollbackResult(
        version=event.version,
        origin=target,
        replaced=current,
        path=serving / str(event.version),
        digest=bundle.digest,
    )


def _target(serving: Path, history: History, current: int, to: int | None) -> int:
    """Return the version to go back to.

    Raises:
        InputError: there is none, it is not there, or its model is live.
    """
    numbers = version_numbers(serving)
    others = _others(serving, history, current, numbers)
    listed = ", ".join(map(str, others))
    shown = f"versions to go back to: {listed}" if others else _none_but(current, numbers)
    if to is not None:
        if to == current:
            raise InputError(f"version {to} is live already; {shown}")
        if to not in numbers:
            raise InputError(f"version {to} {_gone(serving, history, to)}; {shown}")
        if to not in others:
            raise InputError(
                f"the model of version {to} is live already, as version {current}; {shown}"
            )
        return to
    found = next(earlier_models(serving, history, current), None)
    if found is None:
        left = "what is left was rolled back, is newer, or holds the same model, and wants --to; "
        raise InputError(
            f"{serving}: there is no version before {current} that a roll-back goes to by itself: "
            f"{left if others else ''}{shown}"
        )
    return found


def _others(serving: Path, history: History, current: int, numbers: Sequence[int]) -> list[int]:
    """Return the versions that hold another model than the live one; any, where that is damaged."""
    live = live_model(serving)
    whole = live is not None and live.intact
    identity = identity_of(serving, history, current)
    return [
        one
        for one in numbers
        if one != current
        and not (whole and identity is not None and identity_of(serving, history, one) == identity)
    ]


def _none_but(current: int, numbers: Sequence[int]) -> str:
    if set(numbers) <= {current}:
        return "there is no other version"
    return "every other version holds the live model"


def _gone(serving: Path, history: History, version: int) -> str:
    if not history.retired(version):
        return "is not there"
    if identity_of(serving, history, version) not in taken_away(serving, history):
        return "was removed by retention"
    return (
        "was rolled back, and removed by retention since; to let the next refresh push its model "
        f"again: --lift {version}"
    )
