"""Find and read the files of NLTK's corpora. NLTK only finds them; nothing is downloaded here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zipfile import BadZipFile

from schemas.errors import InputError

CORPUS_COMMAND = "make corpora"


def installed(places: Sequence[str], *, need: str) -> Any:
    """Return NLTK's pointer to the first of ``places`` that it finds.

    Args:
        places: Paths as NLTK wants them, unpacked or inside a zip file.
        need: What needs which corpus, the start of the error message.

    Raises:
        InputError: It finds none, or one that is damaged.
    """
    import nltk.data

    for path in nltk.data.path:  # path by path, as a folder must not hide an earlier zip file
        for place in places:
            try:
                return nltk.data.find(place, paths=[path])
            except LookupError:
                continue
            except (OSError, BadZipFile) as error:
                raise InputError(unreadable(f"{path}/{place}", error)) from error
    raise InputError(
        f"{need}, which is in none of NLTK's folders "
        f"({', '.join(nltk.data.path)}). Fetch it with: {CORPUS_COMMAND}"
    )


def read(folder: Any, name: str) -> bytes:
    """Return a file of an ``installed`` folder; ``nltk`` refuses links that leave its folders.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with folder.join(name).open() as file:
            return bytes(file.read())
    except (OSError, ValueError, BadZipFile) as error:
        raise InputError(unreadable(f"{folder}/{name}", error)) from error


def unreadable(path: str, error: Exception) -> str:
    """Return the message for a corpus that is there, but damaged."""
    return (
        f"the corpus cannot be read at {path}: {error}. Remove it, then fetch it again with: "
        f"{CORPUS_COMMAND}"
    )
