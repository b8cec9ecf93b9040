"""Opening what is meant to be a plain file: never a pipe or a device, which would block or not end.

Files are handed to this program by others. A folder, a named pipe, a socket and a device are
refused before a byte is read.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_plain(path: str | Path, *, links: bool = True) -> io.BufferedReader:
    """Open a plain file for reading.

    Args:
        path: Where it is.
        links: Whether it may be a link to one.

    Raises:
        OSError: There is none, it cannot be read, or it is something else.
    """
    try:
        descriptor = os.open(path, _FLAGS | (0 if links else os.O_NOFOLLOW))
    except ValueError as error:  # a name with a NUL
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _not_plain(path) from error
        if error.errno == errno.ELOOP and not links:
            raise OSError(errno.ELOOP, "a link, not a plain file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_plain(path)
    return os.fdopen(descriptor, "rb")


def read_plain(path: str | Path, *, links: bool = True) -> bytes:
    """Return the content of a plain file; see `open_plain`."""
    with open_plain(path, links=links) as file:
        return file.read()


def leaves(path: str | Path, root: str | Path) -> bool:
    """Return whether a path, its links followed, lies outside a folder (which may be a link)."""
    real = os.path.realpath(root)
    return os.path.commonpath([os.path.realpath(path), real]) != real


def _not_plain(path: str | Path) -> OSError:
    return OSError(errno.EINVAL, "not a plain file", str(path))
