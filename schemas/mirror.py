"""Where a serving folder is mirrored to: the ``refresh.mirror`` setting and the command's URL."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.errors import InputError, unknown_name

FOLDER = "file"
# Scheme of an object store to the package that reaches it.
OBJECT_STORES = {"gs": "gcsfs", "s3": "s3fs"}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_LOST_SLASH = re.compile(r"(gs|s3|file):(?!//)")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True)
class MirrorPlace:
    """A place that was read from a URL.

    Attributes:
        url: As written, without a slash at the end.
        scheme: ``file``, ``gs`` or ``s3``.
        path: A folder, or ``bucket/folder``.
    """

    url: str
    scheme: str
    path: str


def parse_mirror(text: str) -> MirrorPlace:
    """Read ``gs://BUCKET/FOLDER``, ``s3://BUCKET/FOLDER``, ``file:///FOLDER`` or a plain path.

    Raises:
        InputError: it is none of them, or holds what may be a secret.
    """
    if not text.strip() or text != text.strip() or any(not one.isprintable() for one in text):
        raise InputError(
            f"mirror is a folder, gs://BUCKET/FOLDER or s3://BUCKET/FOLDER, not {text!r}"
        )
    found = _SCHEME.fullmatch(text)
    if found is None:
        return _folder(text, text)
    scheme, rest = found[1], found[2].rstrip("/")
    if scheme == FOLDER:
        if not found[2].startswith("/"):
            raise InputError(f"a file URL has three slashes, file:///FOLDER, not {text!r}")
        return _folder(text, rest or "/")
    if scheme not in OBJECT_STORES:
        raise InputError(
            f"{unknown_name('scheme of a mirror', scheme, [FOLDER, *OBJECT_STORES])} On others it "
            "is not known whether a write is atomic; mirror to a folder, and copy that"
        )
    if any(one in rest for one in "@?#"):  # not shown: it may be a key
        raise InputError(
            f"the URL of a mirror holds no credentials, options or parts after # and ?: write "
            f"{scheme}://BUCKET/FOLDER, and let the environment name the credentials"
        )
    bucket, *folders = rest.split("/")
    if not _BUCKET.fullmatch(bucket) or any(one in ("", ".", "..") for one in folders):
        raise InputError(f"mirror is {scheme}://BUCKET/FOLDER, not {text!r}")
    return MirrorPlace(url=text.rstrip("/"), scheme=scheme, path=rest)


def _folder(text: str, path: str) -> MirrorPlace:
    if path == text and _LOST_SLASH.match(text):
        raise InputError(f"a URL has two slashes after the colon; {text!r} has not")
    if path.startswith("~"):
        raise InputError(f"mirror is a whole path, not {text!r}: write out the home folder")
    return MirrorPlace(url=text.rstrip("/") or "/", scheme=FOLDER, path=path)
