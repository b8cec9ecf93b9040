"""Files on the local disk or on any store pyarrow knows (``gs://``, ``s3://``), written whole.

A local file is written under a temporary name, synced and renamed; an object store makes an
object visible only when its upload is complete. So a reader never sees half a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from schemas.errors import FailedError, InputError
from schemas.plain_files import open_plain

TEMPORARY = ".tmp-"
_BLOCK = 1 << 22


def is_remote(path: str) -> bool:
    """Return whether ``path`` is a URI of an object store rather than a local path."""
    return "://" in path and not path.startswith("file://")


def join(root: str, *parts: str) -> str:
    """Return ``root`` and ``parts`` joined by ``/``."""
    return "/".join([root.rstrip("/"), *parts])


def read_bytes(path: str) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotFoundError: There is no such file.
    """
    with open_input(path) as file:
        data: bytes = file.read()
    return data


def open_input(path: str) -> IO[bytes] | Any:
    """Open a file for reading at any position.

    Raises:
        OSError: There is none, or it is a folder, a pipe or a device.
    """
    if not is_remote(path):
        return open_plain(path)
    filesystem, inner = _remote(path)
    return filesystem.open_input_file(inner)


def open_arrow(path: str) -> Any:
    """Open a file for Arrow: its threads may still hold a Python one when the program ends."""
    import pyarrow as pa

    if is_remote(path):
        return open_input(path)
    open_plain(path).close()  # Arrow would wait for a pipe
    return pa.OSFile(path)


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file's content, read in blocks, as 64 hex digits."""
    hasher = hashlib.sha256()
    with open_input(path) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def write_atomic(
    path: str, data: bytes | memoryview, *, sync: bool = True, staging: str | None = None
) -> None:
    """Write a whole file: afterwards ``path`` holds all of ``data``, or what it held before.

    Args:
        path: Where.
        data: The content.
        sync: Wait until the disk holds it, so that it outlives a power failure. Without, `sync`
            does that later for many files at once.
        staging: Folder of the same file system that the temporary file goes to; it must be there.
            By default the file's own folder, which is made where missing.

    Raises:
        FailedError: The file cannot be written (disk full, no permission, no such ``staging``).
    """
    try:
        if is_remote(path):
            filesystem, inner = _remote(path)
            with filesystem.open_output_stream(inner) as stream:
                stream.write(data)
            return
        _write_local(path, data, sync=sync, staging=staging)
    except OSError as error:
        raise FailedError(f"cannot write {path}: {error.strerror or error}.") from error


def sync(paths: Iterable[str]) -> None:
    """Wait until the disk holds these local files and the folders that name them.

    Raises:
        FailedError: One is gone, or the disk refuses.
    """
    local = [path for path in paths if not is_remote(path)]
    for path in [*local, *sorted({os.path.dirname(path) for path in local})]:
        try:
            _sync_local(path)
        except OSError as error:
            raise FailedError(f"cannot sync {path}: {error.strerror or error}.") from error


def make_folder(path: str) -> None:
    """Create a folder and its parents.

    Raises:
        InputError: It cannot be created there.
    """
    if is_remote(path):
        return  # object stores have no folders
    try:
        os.makedirs(path, exist_ok=True)
    except (OSError, ValueError) as error:  # the latter: a name with a NUL
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot create the folder {path}: {reason}. Name a writable place."
        ) from error


def is_writable(folder: str) -> bool:
    """Return whether files can be made in a folder; of an object store that shows when it is done.

    A disk may be mounted read-only, which root cannot write to either.
    """
    return is_remote(folder) or os.access(folder, os.W_OK)


def exists(path: str) -> bool:
    """Return whether a file is there."""
    if not is_remote(path):
        return os.path.isfile(path)
    import pyarrow.fs

    filesystem, inner = _remote(path)
    return bool(filesystem.get_file_info(inner).type == pyarrow.fs.FileType.File)


def sizes(folder: str) -> dict[str, int]:
    """Return every file below ``folder``: relative path (with ``/``) to size in bytes."""
    if not is_remote(folder):
        return dict(sorted(_local_sizes(folder, "")))
    import pyarrow.fs

    filesystem, inner = _remote(folder)
    selector = pyarrow.fs.FileSelector(inner, recursive=True, allow_not_found=True)
    return {
        PurePosixPath(info.path).relative_to(inner).as_posix(): info.size
        for info in filesystem.get_file_info(selector)
        if info.type == pyarrow.fs.FileType.File
    }


def remove(path: str) -> None:
    """Delete a file; a missing one is fine."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        filesystem, inner = _remote(path)
        filesystem.delete_file(inner)


def remove_tree(folder: str) -> None:
    """Delete a folder and all below it; a missing one is fine."""
    import shutil

    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for name in sizes(folder):
        remove(join(folder, name))


def _local_sizes(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _local_sizes(entry.path, f"{prefix}{entry.name}/")
                else:
                    with contextlib.suppress(FileNotFoundError):  # renamed since it was listed
                        yield f"{prefix}{entry.name}", entry.stat(follow_symlinks=False).st_size
    except (FileNotFoundError, NotADirectoryError):
        return


def _sync_local(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_local(
    path: str, data: bytes | memoryview, *, sync: bool, staging: str | None = None
) -> None:
    folder, name = os.path.split(path)
    if staging is None:
        os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(staging or folder, f"{TEMPORARY}{uuid.uuid4().hex}-{name}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if staging is not None:
            os.makedirs(folder, exist_ok=True)
        os.replace(temporary, path)
        if sync:
            _sync_local(folder)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _remote(path: str) -> tuple[Any, str]:
    import pyarrow
    import pyarrow.fs

    try:
        filesystem, inner = pyarrow.fs.FileSystem.from_uri(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"cannot open the store of {path}: {error}.") from error
    return filesystem, inner
