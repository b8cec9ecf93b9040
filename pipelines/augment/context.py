"""What an op may know of the training split as a whole, made once by the survey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.augment.text.ngrams import ClassModels


@dataclass(frozen=True)
class Context:
    """Models of the training split, handed to ``Policy.apply``; None where nothing asks for it.

    Attributes:
        ngrams: One language model per class, for ops that need ``ngrams``.
    """

    ngrams: ClassModels | None = None
