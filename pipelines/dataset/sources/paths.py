"""Paths that a user writes: found from the current folder, kept inside one, hashed exactly."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipelines.dataset import files
from schemas.errors import InputError

_THREADS = 8
_WILD = frozenset("*?[")


def full_path(path: str) -> str:
    """Return a URI as it is, a local path absolute (``~`` is the home folder)."""
    return path if files.is_remote(path) else os.path.abspath(os.path.expanduser(path))


def matching_files(path: str) -> list[tuple[str, str]]:
    """Return the files that a path or a pattern (``data/*.csv``) names, by code point.

    Returns:
        Name and full path of each. The name is stable: the file's own, or, of a pattern, the path
        below the last folder without a wildcard.

    Raises:
        InputError: There is none.
    """
    full = full_path(path)
    if files.exists(full):
        return [(full.rsplit("/", 1)[1], full)]
    if not files.is_remote(full) and os.path.isdir(full):
        raise InputError(f"{full} is a folder; name a file, or a pattern such as {path}/*.")
    parts = full.split("/")
    fixed = next((i for i, part in enumerate(parts) if _WILD & set(part)), None)
    if fixed is None:
        raise InputError(f"{full}: no such file.")
    root = "/".join(parts[:fixed])
    names = _below(root, parts[fixed:])
    if not names:
        raise InputError(f"no file matches {full}.")
    return [(name, files.join(root, name)) for name in sorted(names)]


def _below(root: str, pattern: list[str]) -> list[str]:
    if not files.is_remote(root):
        found = glob.glob("/".join(pattern), root_dir=root or "/", recursive=True)
        return [name for name in found if os.path.isfile(os.path.join(root or "/", name))]
    return [
        name
        for name in files.sizes(root)
        if len(parts := name.split("/")) == len(pattern)
        and all(map(fnmatch.fnmatchcase, parts, pattern))
    ]


def inside(folder: str, relative: str) -> str | None:
    """Return the full path of ``relative`` below ``folder``; None where it leaves the folder."""
    parts = relative.replace("\\", "/").split("/")
    if "\0" in relative or relative.startswith(("/", "\\", "~")) or "://" in relative:
        return None
    if ".." in parts:
        return None
    path = files.join(folder, relative)
    if not files.is_remote(path) and not is_below(path, folder):
        return None
    return path


def is_below(path: str, folder: str) -> bool:
    """Return whether a local path, its links followed, lies in a folder."""
    real = os.path.realpath(folder)
    return os.path.commonpath([os.path.realpath(path), real]) == real


def digests(paths: Sequence[str]) -> list[str]:
    """Return the SHA-256 of every file's content; a store is asked for several at a time.

    Local files are read one by one: for small ones threads take twice as long.

    Raises:
        InputError: One cannot be read.
    """
    if not any(map(files.is_remote, paths)):
        return [digest_of(path) for path in paths]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(digest_of, paths))


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return files.file_sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: OSError) -> InputError:
    """Return the error for a file of the source that is there, but cannot be read."""
    return InputError(f"{path}: cannot be read ({error.strerror or error}).")


def label_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names in their natural order: whole numbers by value, others by code point."""
    found = list(names)
    if all(name.removeprefix("-").isdecimal() and name.isascii() for name in found):
        return tuple(sorted(found, key=lambda name: (int(name), name)))
    return tuple(sorted(found))
