"""Token ids: what a text model reads, by the rule of `schemas.text`, in plain Python.

The serving graph computes the same ids with ``tf.strings`` and a lookup table; a test compares
the two on arbitrary texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError, unknown_name
from schemas.text import OOV, OOV_ID, PADDING_ID, tokens

TRUNCATIONS = ("head", "tail")
PADDINGS = ("left", "right")


def vocabulary_ids(lines: Sequence[str]) -> dict[str, int]:
    """Return word -> id for the lines of a vocabulary file (line *n*, from 0, has id n + 1).

    Raises:
        InputError: The first line is not ``<OOV>``, or a word occurs twice.
    """
    if not lines or lines[0] != OOV:
        raise InputError(f"the first line of a vocabulary must be {OOV}, got {lines[:1]}")
    ids = {word: number for number, word in enumerate(lines, start=OOV_ID)}
    if len(ids) != len(lines):
        twice = sorted(word for word in ids if list(lines).count(word) > 1)
        raise InputError(f"a vocabulary must name each word once, got {twice[:5]} more than once")
    return ids


def token_ids(
    text: str,
    vocabulary: Mapping[str, int],
    *,
    length: int,
    truncate: Literal["head", "tail"] = "head",
    pad: Literal["left", "right"] = "right",
) -> NDArray[np.int64]:
    """Return the token ids of a text, ``int64[length]``.

    A served model with the same settings computes the same ids.

    Args:
        text: Any text.
        vocabulary: Word -> id, see ``vocabulary_ids``; other words get the id of ``<OOV>``.
        length: Number of ids, 1 or more.
        truncate: Whether a longer text keeps its first words (``head``) or its last (``tail``).
        pad: On which side a shorter text is filled up with 0.

    Raises:
        InputError: A setting is not allowed.
    """
    if length < 1:
        raise InputError(f"length must be 1 or more, got {length}")
    if truncate not in TRUNCATIONS:
        raise InputError(unknown_name("truncation", truncate, TRUNCATIONS))
    if pad not in PADDINGS:
        raise InputError(unknown_name("padding", pad, PADDINGS))
    words = tokens(text)
    kept = words[:length] if truncate == "head" else words[-length:]
    start = 0 if pad == "right" else length - len(kept)
    ids = np.full(length, PADDING_ID, dtype=np.int64)
    ids[start : start + len(kept)] = [vocabulary.get(word, OOV_ID) for word in kept]
    return ids
