"""What a source is: numbered records per split, readable by slice, on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from schemas.features import Modality

MAX_CLASSES = 100_000
"""More are not labels of a classifier, but a damaged or hostile file."""


@dataclass(frozen=True, slots=True)
class Record:
    """One example as its source holds it, not yet decoded.

    Attributes:
        key: Stable identity, unique in the source, never derived from the content.
        index: Position in the source split.
        value: An encoded image or UTF-8 text as bytes, or pixels uint8[H, W, C].
        label: Class index, not yet range-checked.
    """

    key: str
    index: int
    value: bytes | np.ndarray
    label: int


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot become an example, and why.

    Attributes:
        key: Stable identity.
        index: Position in the source split.
        reason: One clause without a full stop.
        raw: The record's bytes, to be kept in quarantine.
    """

    key: str
    index: int
    reason: str
    raw: bytes


class Source(Protocol):
    """Frozen and picklable; holds names and numbers, opens files when read.

    Attributes:
        modality: ``image`` or ``text``.
        label_names: Class names in label order.
        image_shape: Shape of every image; a side is None where sizes vary. None for text.
        sizes: Number of records per source split.
    """

    @property
    def modality(self) -> Modality: ...  # noqa: D102
    @property
    def label_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def image_shape(self) -> tuple[int | None, int | None, int] | None: ...  # noqa: D102
    @property
    def sizes(self) -> Mapping[str, int]: ...  # noqa: D102

    def identity(self) -> dict[str, Any]:
        """Return what the data is, as JSON: name, version, content digest; no local paths."""
        ...

    def read(self, split: str, start: int, stop: int) -> Iterator[Record | BadRecord]:
        """Yield records ``start`` to ``stop`` of a split in their stable order."""
        ...

    def place_of(self, label: str) -> str:
        """Say where examples of a class of ``label_names`` are found, for messages."""
        ...


def key_of(split: str, index: int) -> str:
    """Return the key of a record that has no name of its own: split and position."""
    return f"{split}-{index:08d}"
