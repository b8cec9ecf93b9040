"""Near-duplicates among examples, by content: sketches, an index to query, pairs in a set.

Pure functions on arrays; `pipelines.dataset.survey` and the shard tasks wire them into Beam.
"""

from __future__ import annotations

from typing import Any

from pipelines.dataset.near.images import ImageSketcher
from pipelines.dataset.near.index import (
    Entries,
    Index,
    Matches,
    Pair,
    Sketcher,
    find_pairs,
    groups,
    spread,
)
from pipelines.dataset.near.texts import TextSketcher
from schemas.features import Modality

__all__ = [
    "Entries",
    "ImageSketcher",
    "Index",
    "Matches",
    "Pair",
    "Sketcher",
    "TextSketcher",
    "find_pairs",
    "groups",
    "sketcher",
    "spread",
]


def sketcher(modality: Modality) -> Sketcher:
    """Return how examples of a modality are sketched and compared."""
    kinds: dict[str, Any] = {"image": ImageSketcher, "text": TextSketcher}
    made: Sketcher = kinds[modality]()
    return made
