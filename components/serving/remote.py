"""Where a mirror lies: a folder, or an object store that fsspec reaches (``gs://``, ``s3://``).

All that a mirror asks of a place is that one write is atomic: a reader sees the old content of a
name or the new one. A folder has that by a rename. Google Cloud Storage and S3 have it by
themselves, for an object becomes visible when its upload is complete, and both read what was
written last (https://cloud.google.com/storage/docs/consistency,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from components.tree import TEMPORARY, file_digest, sync, tree_files
from schemas.errors import FailedError, InputError
from schemas.mirror import FOLDER, OBJECT_STORES, MirrorPlace, parse_mirror

Answer = TypeVar("Answer")

_MD5 = re.compile(r"[0-9a-f]{32}")
_CHUNK = 1 << 20
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a place says about a file: its bytes, and its MD5 (hex) if it states one."""

    bytes: int
    md5: str | None = None


class Remote(Protocol):
    """Files by name, POSIX paths below the place; every write of one is atomic.

    Every method raises FailedError where the place cannot be reached or refuses.
    """

    @property
    def url(self) -> str:
        """What the place is called."""

    def listing(self) -> dict[str, Stored]:
        """Return every file that is there."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def digest(self, name: str) -> str:
        """Return the SHA-256 (hex) of a file's content, which is read."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one; return whether it was written."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it."""

    def upload(self, name: str, path: Path) -> None:
        """Write a file, or replace it, by the content of a local one."""

    def delete(self, name: str) -> None:
        """Remove a file."""


class FolderRemote:
    """A folder, here or on a network file system; renames in it are atomic."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def listing(self) -> dict[str, Stored]:
        """See `Remote`; what a killed write left is listed too."""
        if not self.folder.exists():
            return {}
        return self._try(
            "list it",
            lambda: {
                name: Stored(bytes=path.stat().st_size) for name, path in tree_files(self.folder)
            },
        )

    def read(self, name: str) -> bytes:
        """See `Remote`."""
        return self._try(f"read {name}", (self.folder / name).read_bytes)

    def digest(self, name: str) -> str:
        """See `Remote`."""
        return self._try(f"read {name}", lambda: file_digest(self.folder / name))

    def create(self, name: str, content: bytes) -> bool:
        """See `Remote`; a kill may leave the start of the content."""
        path = self.folder / name

        def create() -> bool:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = path.open("xb")
            except FileExistsError:
                return False
            with file:
                file.write(content)
            sync(path)
            return True

        return self._try(f"write {name}", create)

    def write(self, name: str, content: bytes) -> None:
        """See `Remote`."""
        self._put(name, lambda path: path.write_bytes(content))

    def upload(self, name: str, path: Path) -> None:
        """See `Remote`."""
        self._put(name, lambda target: shutil.copyfile(path, target))

    def delete(self, name: str) -> None:
        """See `Remote`; folders that are empty by it go too."""

        def delete() -> None:
            path = self.folder / name
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.folder or any(folder.iterdir()):
                    break
                folder.rmdir()

        self._try(f"remove {name}", delete)

    def _put(self, name: str, fill: Callable[[Path], Any]) -> None:
        path = self.folder / name
        temporary = path.with_name(f"{TEMPORARY}{path.name}")

        def put() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            fill(temporary)
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)

        self._try(f"write {name}", put)

    def _try(self, what: str, action: Callable[[], Answer]) -> Answer:
        try:
            return action()
        except PermissionError as error:
            raise FailedError(
                f"{self.url}: no permission to {what}: give {_user()} the rights to that folder"
            ) from error
        except OSError as error:
            raise FailedError(
                f"{self.url}: cannot {what} ({error.strerror or error}): put that right and run "
                "it again"
            ) from error


class ObjectRemote:
    """A folder of an object store.

    Args:
        url: What it is called.
        filesystem: A ``fsspec.AbstractFileSystem`` on which a written file is there at once, whole
            or not at all, and which keeps no listings.
        root: ``bucket/folder``.
    """

    def __init__(self, url: str, filesystem: Any, root: str) -> None:
        self.url = url
        self._files = filesystem
        self._root = root.rstrip("/")

    def listing(self) -> dict[str, Stored]:
        """See `Remote`."""

        def find() -> dict[str, Stored]:
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
            start = len(str(self._files._strip_protocol(self._root))) + 1
            return {
                path[start:]: Stored(bytes=int(info["size"]), md5=_stated_md5(info))
                for path, info in found.items()
                if info["type"] == "file" and not path.endswith("/")
            }

        try:
            return self._try("list it", find)
        except FileNotFoundError:  # no object yet
            return {}

    def read(self, name: str) -> bytes:
        """See `Remote`."""
        return bytes(self._call(f"read {name}", "cat_file", name))

    def digest(self, name: str) -> str:
        """See `Remote`."""

        def digest() -> str:
            total = hashlib.sha256()
            with self._files.open(self._path(name), "rb") as file:
                while piece := file.read(_CHUNK):
                    total.update(piece)
            return total.hexdigest()

        return self._try(f"read {name}", digest, missing=True)

    def create(self, name: str, content: bytes) -> bool:
        """See `Remote`; the store must know conditional writes."""
        try:
            self._call(f"write {name}", "pipe_file", name, content, mode="create")
        except FailedError:
            if name in self.listing():
                return False
            raise
        return True

    def write(self, name: str, content: bytes) -> None:
        """See `Remote`."""
        self._call(f"write {name}", "pipe_file", name, content)

    def upload(self, name: str, path: Path) -> None:
        """See `Remote`."""
        self._try(
            f"write {name}", lambda: self._files.put_file(str(path), self._path(name)), missing=True
        )

    def delete(self, name: str) -> None:
        """See `Remote`."""
        self._call(f"remove {name}", "rm_file", name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _call(self, what: str, method: str, name: str, *args: Any, **settings: Any) -> Any:
        return self._try(
            what,
            lambda: getattr(self._files, method)(self._path(name), *args, **settings),
            missing=True,
        )

    def _try(self, what: str, action: Callable[[], Answer], *, missing: bool = False) -> Answer:
        """Carry out ``action``; every client has exceptions of its own, so all are caught.

        Args:
            what: What it does, for the message.
            action: What calls the client.
            missing: Whether FileNotFoundError is an error too.
        """
        try:
            return action()
        except FileNotFoundError as error:
            if not missing:
                raise
            self._fail(f"cannot {what}", error, "see that the bucket is there, and create it first")
        except PermissionError as error:
            self._fail(
                f"no permission to {what}",
                error,
                "give this account the rights to list, read, write and delete objects there",
            )
        except Exception as error:
            self._fail(
                f"cannot {what}",
                error,
                "see that bucket, network and credentials are right, and run it again",
            )

    def _fail(self, what: str, error: Exception, fix: str) -> NoReturn:
        said = " ".join(str(error).split())[:_SHOWN]
        raise FailedError(f"{self.url}: {what} ({type(error).__name__}: {said}): {fix}") from error


def open_remote(url: str) -> Remote:
    """Return the place that a URL names; nothing is written yet.

    Raises:
        InputError: the URL is nonsense, or the package that reaches it is not installed.
        FailedError: its client cannot start.
    """
    place = parse_mirror(url)
    if place.scheme == FOLDER:
        folder = Path(place.path).absolute()
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{place.url}: a mirror is a folder, and this is none: name a folder")
        return FolderRemote(place.url, folder)
    kind = _client(place)
    try:
        # Listings that the client kept would hide what others wrote meanwhile.
        filesystem = kind(use_listings_cache=False, skip_instance_cache=True)
    except Exception as error:
        said = " ".join(str(error).split())[:_SHOWN]
        raise FailedError(
            f"{place.url}: {type(error).__name__}: {said}: see that the credentials are right"
        ) from error
    return ObjectRemote(place.url, filesystem, place.path)


def check_place(url: str) -> None:
    """See, before anything else is done, that a URL makes sense and its package is there.

    Raises:
        InputError: as `open_remote`.
    """
    place = parse_mirror(url)
    if place.scheme != FOLDER:
        _client(place)


def _client(place: MirrorPlace) -> Any:
    """Return the class that reaches an object store."""
    package = OBJECT_STORES[place.scheme]
    try:
        import fsspec

        return fsspec.get_filesystem_class(place.scheme)
    except ImportError as error:
        raise InputError(
            f"{place.scheme}:// is reached by the package {package}, which is not installed: pip "
            f"install {package}"
        ) from error


def _stated_md5(info: Mapping[str, Any]) -> str | None:
    """Return the MD5 (hex) that Google Cloud Storage or S3 states in a listing, or None.

    An ETag of S3 is the MD5 of an object that was written at once and not encrypted by a key of
    KMS; of others it is something else. So only an equal one says anything.
    """
    try:
        if info.get("md5Hash"):
            return base64.b64decode(info["md5Hash"], validate=True).hex()
    except ValueError:
        return None
    tag = str(info.get("ETag", "")).strip('"')
    return tag if _MD5.fullmatch(tag) else None


def _user() -> str:
    return f"the user with number {os.getuid()}"
