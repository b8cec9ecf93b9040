"""Mirror a serving folder: bring another folder, or one of an object store, to the same state.

An object store has no rename of folders, so the three renames of a push become an order of single
writes, each atomic by itself (`components.serving.remote`): bundle and files of each missing
version, with what makes it loadable near the end and ``push.json`` as the last; what was written
is compared; the history; ``CURRENT``; and only then old versions go. Whoever reads ``CURRENT``
finds a complete version at every moment, and a mirror that was cut off goes on at the next call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.serving.history import HISTORY, PROMOTIONS, parse_history
from components.serving.mirror_state import (
    Local,
    folder_of,
    is_temporary,
    read_local,
    version_of,
    when_written,
)
from components.serving.remote import FolderRemote, Remote, Stored, open_remote
from components.serving.store import CURRENT, is_serving_folder, locked, may_be_served, recover
from components.tree import file_digest
from schemas.errors import FailedError, InputError

_HISTORY = f"{PROMOTIONS}/{HISTORY}"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class MirrorResult:
    """What a mirror did.

    Attributes:
        url: The place.
        version: The version that its ``CURRENT`` names now.
        moved: Whether it named another one, or none, before.
        copied: Versions of whose folder files were missing there, ascending.
        bundles: Versions that retention removed here, and of whose kept bundle files were missing
            there.
        repaired: Files that were there with another content.
        removed: Versions that retention had removed here, and that are gone there too.
        tidied: Files removed that belong to no version: of a killed mirror, or put in.
        files: How many files were written.
        bytes: How many bytes these have.
        notes: What was left alone, and why.
    """

    url: str
    version: int
    moved: bool
    copied: tuple[int, ...]
    bundles: tuple[int, ...]
    repaired: tuple[str, ...]
    removed: tuple[int, ...]
    tidied: tuple[str, ...]
    files: int
    bytes: int
    notes: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was written or removed there."""
        return bool(self.files or self.removed or self.tidied)


def mirror(serving: Path, url: str) -> MirrorResult:
    """Bring the place of ``url`` to the state of ``serving``; equal ones are left as they are.

    Pushes and roll-backs wait meanwhile. One serving folder may write to a place; another one is
    refused.

    Args:
        serving: The serving folder.
        url: A folder, ``gs://BUCKET/FOLDER`` or ``s3://BUCKET/FOLDER``; created where missing (a
            bucket is not).

    Raises:
        InputError: ``serving`` is no serving folder or serves nothing, the URL is nonsense, or
            the place belongs to another history.
        FailedError: the live version or the history is damaged here, or the place cannot be
            reached or refuses; what its ``CURRENT`` names is as complete as before.
    """
    remote = open_remote(url)
    if isinstance(remote, FolderRemote):
        here, there = serving.resolve(), remote.folder.resolve()
        if here == there or here in there.parents or there in here.parents:
            raise InputError(
                f"a mirror lies apart from its serving folder, which {remote.url} does not: name "
                "another folder"
            )
    return mirror_to(serving, remote)


def mirror_to(serving: Path, remote: Remote) -> MirrorResult:
    """Bring ``remote`` to the state of ``serving``, see `mirror`."""
    if not is_serving_folder(serving):
        raise InputError(f"{serving}: no serving folder: name the one that models are pushed to")
    try:
        with locked(serving):
            recover(serving)
            return _bring(read_local(serving), remote)
    except OSError as error:
        raise FailedError(
            f"{serving}: cannot be read or locked ({error.strerror or error}): mirror as the user "
            "that pushes there"
        ) from error


def result_lines(result: MirrorResult) -> list[str]:
    """Say what a mirror did, a line each."""
    lines = [f"note: {one}" for one in result.notes]
    if not result.changed:
        return [*lines, f"nothing to do: {result.url} has version {result.version} live"]
    lines += [f"copied version {one}" for one in result.copied]
    if result.bundles:
        numbers = ", ".join(str(one) for one in result.bundles)
        lines.append(f"copied the bundles alone of versions that are removed here: {numbers}")
    lines += [f"repaired {one}" for one in result.repaired]
    lines += [f"removed version {one}" for one in result.removed]
    lines += [f"removed {one}, which belongs to no version" for one in result.tidied]
    state = "is live now" if result.moved else "stays live"
    return [
        *lines,
        f"version {result.version} {state} at {result.url} "
        f"({result.files:,} files, {result.bytes:,} bytes written)",
    ]


def _bring(local: Local, remote: Remote) -> MirrorResult:
    there = remote.listing()
    first = _claim(local, remote, there)
    missing = {name for name in local.files if name not in there}
    differing = {
        name
        for name, path in local.files.items()
        if name in there and not _same(remote, name, there[name], path)
    }
    written = {name: path for name, path in local.files.items() if name in missing | differing}
    for name, path in written.items():
        remote.upload(name, path)
    now = remote.listing() if written else there
    for name, path in written.items():
        if name not in now or not _same(remote, name, now[name], path):
            raise FailedError(
                f"{remote.url}: {name} is not what was written a moment ago, so CURRENT stays "
                "where it was: see who else writes there, and run it again"
            )
    history = first != local.history and _write_changed(remote, _HISTORY, local.history, there)
    pointer = f"{local.current}\n".encode()
    moved = _write_changed(remote, CURRENT, pointer, there)
    removed, tidied = _remove(local, remote, now)
    texts = [first, *([local.history] if history else []), *([pointer] if moved else [])]
    return MirrorResult(
        url=remote.url,
        version=local.current,
        moved=moved,
        copied=tuple(sorted({version_of(name) for name in missing if _serves(name)})),
        bundles=tuple(sorted({version_of(name) for name in missing} - local.versions)),
        repaired=tuple(sorted(differing)),
        removed=removed,
        tidied=tidied,
        files=len(written) + len([one for one in texts if one]),
        bytes=sum(path.stat().st_size for path in written.values()) + sum(map(len, texts)),
        notes=_notes(local, remote, there),
    )


def _claim(local: Local, remote: Remote, there: Mapping[str, Stored]) -> bytes:
    """See that a place is ours; make an empty one ours by the first line of the history.

    Returns:
        What was written: that line, or nothing.

    Raises:
        InputError: the place belongs to somebody else.
    """
    others = [name for name in there if not is_temporary(name) and name != _HISTORY]
    content = remote.read(_HISTORY) if _HISTORY in there else b""
    seals = parse_history(content).seals
    foreign = seals - local.known.seals
    if foreign and seals & local.known.seals:
        raise InputError(
            f"{remote.url}: went on without this serving folder: {len(foreign)} lines of its "
            "history are not in ours: copy it back and serve that, or mirror to another folder"
        )
    if foreign or not (seals or others or local.history.startswith(content)):
        raise InputError(
            f"{remote.url}: belongs to another serving folder, whose history it holds: mirror to "
            "an empty folder"
        )
    if others and not seals:
        raise InputError(
            f"{remote.url}: holds {others[0]}, and no {_HISTORY} that shows whose it is: mirror "
            "to an empty folder, or put that file back"
        )
    for top in sorted({name.split("/")[0] for name in others if "/" in name}):
        if may_be_served(top) and not _is_known(local, top):
            raise InputError(
                f"{remote.url}: holds {top}/, and no version {top} was ever pushed here; whoever "
                "serves the highest number would serve it: remove it there"
            )
    if seals:
        return b""
    line = local.history[: local.history.index(b"\n") + 1]
    if _HISTORY in there:  # the start of that line, left by a kill
        remote.write(_HISTORY, line)
    elif not remote.create(_HISTORY, line):
        raise InputError(
            f"{remote.url}: another serving folder began to be mirrored there at this moment: "
            "mirror to another folder"
        )
    return line


def _is_known(local: Local, top: str) -> bool:
    version = int(top)
    ours = version in local.versions or local.known.of_version(version) is not None
    return top == str(version) and ours


def _write_changed(remote: Remote, name: str, content: bytes, there: Mapping[str, Stored]) -> bool:
    """Write a small file where it differs; return whether it did."""
    if name in there and remote.read(name) == content:
        return False
    remote.write(name, content)
    return True


def _remove(
    local: Local, remote: Remote, now: Mapping[str, Stored]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Remove the versions that retention removed here, and what belongs to no version.

    Returns:
        Those versions, and the names of the other files.
    """
    ours = {folder_of(name) for name in local.files}
    retired, others = [], []
    for name in now:
        version = version_of(name)
        if is_temporary(name):
            others.append(name)
        elif _serves(name) and _is_retired(local, version):
            retired.append(name)
        elif folder_of(name) in ours and name not in local.files:
            others.append(name)
    # What makes a version loadable goes first, so that half of one never passes for a whole.
    for name in sorted([*retired, *others], key=when_written, reverse=True):
        remote.delete(name)
    return tuple(sorted({version_of(name) for name in retired})), tuple(sorted(others))


def _serves(name: str) -> bool:
    """Whether a file lies in a version's folder, not in its bundle."""
    return folder_of(name) == str(version_of(name))


def _is_retired(local: Local, version: int) -> bool:
    """Whether retention removed a version; one that is here never counts as such."""
    return version not in local.versions and local.known.retired(version)


def _notes(local: Local, remote: Remote, there: Mapping[str, Stored]) -> tuple[str, ...]:
    damaged = [
        f"{'' if one in local.versions else 'the bundle of '}version {one} is damaged here: not "
        f"copied, and left at {remote.url} as it is"
        for one in sorted(local.damaged)
    ]
    served = {version_of(name) for name in there if _serves(name)}
    lost = [
        f"version {one} is missing here, though nothing removed it; {remote.url} still has it"
        for one in sorted(served - local.versions)
        if not local.known.retired(one)
    ]
    return (*damaged, *lost)


def _same(remote: Remote, name: str, stored: Stored, path: Path) -> bool:
    """Whether a place has the content of a local file: by bytes, then by MD5 or SHA-256."""
    if stored.bytes != path.stat().st_size:
        return False
    if stored.md5 is not None and stored.md5 == _md5(path):
        return True
    return remote.digest(name) == file_digest(path)


def _md5(path: Path) -> str:
    total = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()
