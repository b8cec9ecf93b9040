"""Files below a folder: what they are, what they weigh, one digest over them all."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import FailedError

_CHUNK = 1 << 20


def tree_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield ``(relative POSIX path, path)`` of every file below ``folder``, sorted by the former.

    Raises:
        FailedError: ``folder`` is missing, or holds a link or anything else that is no plain file.
    """
    if not folder.is_dir():
        raise FailedError(f"a model is a folder of files; {str(folder)!r} is not a folder")
    for path in sorted(folder.rglob("*"), key=lambda one: one.relative_to(folder).as_posix()):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path.relative_to(folder).as_posix(), path
        elif not stat.S_ISDIR(mode):
            raise FailedError(
                f"a model holds plain files and folders only; {str(path)!r} is neither: "
                "put the file itself there"
            )


def tree_bytes(folder: Path) -> int:
    """Return the sum of the sizes of all files below ``folder``."""
    return sum(path.stat().st_size for _, path in tree_files(folder))


def tree_digest(folder: Path, *, leave_out: frozenset[str] = frozenset()) -> str:
    """Return one SHA-256 (hex) over the names and contents of all files below ``folder``.

    Args:
        folder: Where the files lie.
        leave_out: Relative paths that do not count.
    """
    total = hashlib.sha256()
    for name, path in tree_files(folder):
        if name not in leave_out:
            total.update(f"{file_digest(path)}  {name}\n".encode())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
