"""Which parts of a test split each example belongs to, see `components.acceptance.slices`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from components.acceptance.slices import Slices, image_slices, text_slices
from pipelines.augment.text.names import find_names
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.tokenize import tokenize, words
from schemas.features import Modality


def slices_of(modality: Modality, values: Iterable[Any]) -> Slices:
    """Return the names of the slices of each example, in the order given.

    Args:
        modality: What the values are.
        values: Images ``uint8[H, W, C]``, read once, one by one; or texts.
    """
    if modality == "image":
        return image_slices(values)
    return text_slices(list(values), negates=negates, entities=entities)


def negates(text: str) -> bool:
    """Tell whether a text holds a negation."""
    return any(map(is_negation, words(tokenize(text))))


def entities(text: str) -> int:
    """Return how many different people and cities a text names."""
    return len({name for _, name in find_names(tokenize(text)).values()})
