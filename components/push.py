"""Put a model where it is served, so that a crash at any moment leaves the old or the new one.

Layout of a serving folder: one numeric folder per version, as TensorFlow Serving expects it, with
``push.json`` inside; and ``CURRENT``, a file that names the live version. A version is copied to a
temporary sibling whose name is not numeric, synced, and renamed; then ``CURRENT`` is replaced.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from components.tree import TEMPORARY, sync, tree_digest, tree_files, write_text
from schemas.errors import FailedError

CURRENT = "CURRENT"
RECORD = "push.json"
# Properties that the Pusher sets on its output artifact beside TFX's own.
PUSHED_DIGEST = "pushed_digest"
PUSHED_NOW = "pushed_now"
_LOCK = ".push.lock"
_NOT_THE_MODEL = frozenset({RECORD})


@dataclass(frozen=True, kw_only=True)
class LiveModel:
    """The version that ``CURRENT`` names.

    Attributes:
        version: Its number.
        path: Its folder.
        digest: The digest over its files that it was pushed with.
        identity: What it is, see `push`.
        record: The whole ``push.json``.
    """

    version: int
    path: Path
    digest: str
    identity: str
    record: Mapping[str, Any]

    @property
    def intact(self) -> bool:
        """Whether the files still have the digest they were pushed with (they are read)."""
        return tree_digest(self.path, leave_out=_NOT_THE_MODEL) == self.digest


@dataclass(frozen=True, kw_only=True)
class PushResult:
    """Where a model is live, and whether this push put it there or found it there."""

    version: int
    path: Path
    digest: str
    pushed: bool


def push(
    model: Path, serving: Path, *, record: Mapping[str, Any], identity: str | None = None
) -> PushResult:
    """Make ``model`` the live version of ``serving``.

    Nothing is pushed when the live version is intact and has the same identity. A complete version
    that an interrupted push of the same model left above the live one is taken over. Otherwise the
    model becomes the next version: numbers only grow, a version folder never changes.

    Args:
        model: Folder whose files are to be served (a SavedModel).
        serving: The serving folder; created where missing. Pushes to it wait for one another.
        record: What ``push.json`` says beside version, digest and identity; plain JSON values.
        identity: Equal for models that answer alike although their files differ, as two exports
            of one network do (a SavedModel holds a random number). By default the files' digest.

    Raises:
        FailedError: ``model`` holds something else than plain files and folders.
        OSError: the disk is full or refuses; the old version stays live.
    """
    digest = tree_digest(model, leave_out=_NOT_THE_MODEL)
    identity = identity or digest
    serving.mkdir(parents=True, exist_ok=True)
    with FileLock(serving / _LOCK):
        for leftover in serving.glob(f"{TEMPORARY}*"):
            _remove(leftover)
        live = live_model(serving)
        if live is not None and live.identity == identity and live.intact:
            return PushResult(
                version=live.version, path=live.path, digest=live.digest, pushed=False
            )
        current = _current(serving)
        version = max([current, *_versions(serving)])
        newest = _version_at(serving, version) if version > current else None
        if newest is None or newest.identity != identity or not newest.intact:
            version += 1
            own = {"version": version, "digest": digest, "identity": identity}
            _publish(model, serving, version, {**record, **own})
        write_text(serving / CURRENT, f"{version}\n")
        live = live_model(serving)
    if live is None:
        raise FailedError(f"what was just pushed to {serving} cannot be read back; push again")
    return PushResult(version=version, path=live.path, digest=live.digest, pushed=True)


def live_model(serving: Path) -> LiveModel | None:
    """Return the version that ``CURRENT`` names, or None where it names no readable one."""
    return _version_at(serving, _current(serving))


def pushed_models(serving: Path) -> Iterator[LiveModel]:
    """Yield the live version, then the older ones, newest first."""
    for version in range(_current(serving), 0, -1):
        found = _version_at(serving, version)
        if found is not None:
            yield found


def _current(serving: Path) -> int:
    """Return the number in ``CURRENT``, 0 where there is none."""
    try:
        return int((serving / CURRENT).read_text())
    except (OSError, ValueError):
        return 0


def _version_at(serving: Path, version: int) -> LiveModel | None:
    path = serving / str(version)
    try:
        record = json.loads((path / RECORD).read_text())
        return LiveModel(
            version=version,
            path=path,
            digest=record["digest"],
            identity=record["identity"],
            record=record,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _versions(serving: Path) -> list[int]:
    return [int(entry.name) for entry in serving.iterdir() if entry.name.isdecimal()]


def _publish(model: Path, serving: Path, version: int, record: Mapping[str, Any]) -> None:
    """Copy beside, sync every file and folder, rename."""
    temporary = serving / f"{TEMPORARY}{version}-{uuid.uuid4().hex[:8]}"
    try:
        temporary.mkdir()
        for name, source in tree_files(model):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            sync(target)
        (temporary / RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
        sync(temporary / RECORD)
        for folder in [*filter(Path.is_dir, temporary.rglob("*")), temporary]:
            sync(folder)
        os.rename(temporary, serving / str(version))
    except OSError:
        _remove(temporary)
        raise
    sync(serving)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
