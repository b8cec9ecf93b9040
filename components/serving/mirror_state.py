"""What a mirror is to hold: the files of a serving folder, in the order of their writing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.artifact import MARKS
from components.serving.bundle import BUNDLE, bundle_folder, file_problems, has_bundle, read_bundle
from components.serving.history import PROMOTIONS, History, history_path, parse_history
from components.serving.store import RECORD, live_model, version_at, version_numbers
from components.tree import TEMPORARY, tree_files
from schemas.errors import FailedError, InputError

_LAST = (RECORD, BUNDLE)


@dataclass(frozen=True, kw_only=True)
class Local:
    """A serving folder as it is to be elsewhere.

    Attributes:
        current: The live version.
        history: The whole lines of the history.
        known: What they say.
        files: Name to path, in the order in which they are written; without history and pointer.
        versions: The versions that are there.
        damaged: Those, and kept bundles, that are not what was promoted.
    """

    current: int
    history: bytes
    known: History
    files: Mapping[str, Path]
    versions: frozenset[int]
    damaged: frozenset[int]


def read_local(serving: Path) -> Local:
    """Read what is here, and see that it is what was promoted; the caller holds the lock.

    Raises:
        InputError: nothing is live, or there is no history.
        FailedError: the live version or the history is damaged.
    """
    live = live_model(serving)
    if live is None:
        raise InputError(f"{serving}: no version is live, so there is nothing to mirror: push one")
    content = history_path(serving).read_bytes() if history_path(serving).is_file() else b""
    known = parse_history(content)
    if known.problems:
        raise FailedError(
            f"{serving}: not mirrored, for the history is damaged ({known.problems[0]}): put back "
            "the file as it was, from a copy or the mirror"
        )
    if not known.events:
        raise InputError(
            f"{serving}: no history says whose versions these are (an older program pushed them): "
            "push once more, then mirror"
        )
    versions = version_numbers(serving)
    bundles = version_numbers(serving / PROMOTIONS)
    damaged = frozenset(
        one for one in {*versions, *bundles} if _is_damaged(serving, one, one in versions, known)
    )
    if live.version in damaged:
        raise FailedError(
            f"{serving}: not mirrored, for version {live.version}, which is live, is not what was "
            "promoted (`verify` says what differs): push again or roll back first"
        )
    files: dict[str, Path] = {}
    for version in sorted({*versions, *bundles} - damaged):
        for place in (f"{PROMOTIONS}/{version}", str(version)):
            if (serving / place).is_dir():
                found = {f"{place}/{name}": path for name, path in tree_files(serving / place)}
                files |= {name: found[name] for name in sorted(found, key=when_written)}
    return Local(
        current=live.version,
        history=content[: known.size],
        known=known,
        files=files,
        versions=frozenset(versions),
        damaged=damaged,
    )


def _is_damaged(serving: Path, version: int, present: bool, known: History) -> bool:
    """Whether a version, or the bundle that is left of one, is not what was promoted.

    A bundle that the history does not name is not: every number stands for one set of files, here
    and at the mirror.
    """
    if present:
        found = version_at(serving, version)
        return found is None or not found.intact_by(known)
    event = known.of_version(version)
    if event is None or not has_bundle(serving, version):
        return True
    try:
        bundle = read_bundle(serving, version)
        problems = file_problems(serving, bundle)
    except FailedError:
        return True
    own = bundle_folder(serving, version).relative_to(serving).as_posix()
    return bundle.seal != event.bundle or any(one.startswith(own) for one in problems)


def when_written(name: str) -> tuple[int, str]:
    """Return a key that sorts a version's files: last what makes it loadable, and its record."""
    inside = name.removeprefix(f"{folder_of(name)}/")
    return (2 if inside in _LAST else 1 if inside in MARKS.values() else 0), name


def folder_of(name: str) -> str:
    """Return ``3`` or ``.promotions/3`` for what lies below it, else an empty string."""
    parts = name.split("/")
    depth = 2 if parts[0] == PROMOTIONS else 1
    return "/".join(parts[:depth]) if len(parts) > depth and parts[depth - 1].isdecimal() else ""


def version_of(name: str) -> int:
    """Return the version whose folder or bundle holds a file, 0 where none does."""
    return int(folder_of(name).rpartition("/")[2] or 0)


def is_temporary(name: str) -> bool:
    """Whether a killed write left it."""
    return any(part.startswith(TEMPORARY) for part in name.split("/"))
