"""Lock files: one process at a time works in a folder; a lock ends with the process that held it.

That is what ``flock`` does. Where a file system lacks it, `filelock` would by default take the mere
existence of the file for a lock, which a killed process leaves behind for ever; here it is refused.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from schemas.errors import InputError

_NO_LOCKS = frozenset((errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK))


@contextlib.contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file, created where missing.

    Args:
        path: The file; its folder exists.
        wait: Whether to wait for another process that holds it.

    Raises:
        filelock.Timeout: another process holds it, and nobody waits.
        InputError: the file system knows no locks.
        OSError: it is a link, or cannot be opened.
    """
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=wait)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise InputError(
            f"{path.parent} must lie on a file system with file locks (flock), for one process at "
            f"a time may write there; this one has none ({error.strerror}). Choose a folder on a "
            "local disk, or mount the file system with locks."
        ) from error
    try:
        yield
    finally:
        lock.release()
