"""What a ``.keras`` file must look like before Keras may read it.

Keras unpacks the archive into memory and onto the disk. A file of kilobytes that unpacks to
gigabytes, or whose names leave the folder that it is unpacked into, is refused first. Code in it
(Lambda layers) is refused by Keras's own safe mode, which is never switched off for a file.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from schemas.errors import InputError
from schemas.plain_files import open_plain

MAX_RATIO = 100
"""Keras stores without packing; whoever packs a network of zeros again stays below this."""

MIN_LIMIT = 16 << 20
"""What a file may always unpack to, however small it is."""

MAX_CONFIG = 64 << 20
"""Bytes of ``config.json``: a description of layers."""

_CONFIG = "config.json"


def check_keras_file(path: str | Path) -> None:
    """Look at the table of contents of a ``.keras`` file.

    Raises:
        InputError: It cannot be read, is no such archive (a pickle, an HDF5 file), or is a bomb.
    """
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            packed = file.seek(0, 2)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{path}: cannot be loaded safely: a .keras file is a ZIP archive ({error})"
        ) from error
    names = [entry.filename for entry in entries]
    wrong = next((name for name in names if _leaves(name) or names.count(name) > 1), None)
    if wrong is not None:
        raise InputError(f"{path}: not a .keras file: it holds {wrong!r:.200}")
    if _CONFIG not in names:
        raise InputError(f"{path}: not a .keras file: it holds no {_CONFIG}")
    size, limit = sum(entry.file_size for entry in entries), max(MIN_LIMIT, MAX_RATIO * packed)
    config = next(entry.file_size for entry in entries if entry.filename == _CONFIG)
    if size > limit or config > MAX_CONFIG:
        raise InputError(
            f"{path}: {packed:,} bytes would unpack to {size:,} ({_CONFIG}: {config:,}); at most "
            f"{limit:,} ({MAX_CONFIG:,}) are read"
        )


def _leaves(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or ":" in name
