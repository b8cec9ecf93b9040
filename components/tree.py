"""Files and folders: one digest over everything below a folder, and writes that survive a crash."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import FailedError

TEMPORARY = ".tmp-"
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


def write_text(path: Path, text: str) -> None:
    """Replace a file's content so that a crash leaves the old or the new one (UTF-8)."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content so that a crash leaves the old or the new one."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_bytes(content)
        sync(temporary)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Force a file or folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
