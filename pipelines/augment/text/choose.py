"""Draw which words of each document an op tries to edit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.text.tokenize import Tokens

_HALF = np.uint64(32)
_LOWER = np.uint64(0xFFFFFFFF)

Choice = list[tuple[int, int]]
"""Per chosen word, in order: its index in the tokens, and an independent 32-bit number."""


def word_counts(documents: Sequence[Tokens]) -> NDArray[np.int64]:
    """Return ``int64[N]``: how many words each document has."""
    return np.array([len(tokens) // 2 for tokens in documents], dtype=np.int64)


def choose_words(
    documents: Sequence[Tokens], *, rate: NDArray[np.float64], seed: NDArray[np.int64]
) -> list[Choice]:
    """Choose each word with its document's ``rate``, independently of all other words.

    The upper half of a word's 64 bits decides, the lower half is handed on.

    Args:
        documents: N documents.
        rate: ``float64[N]`` in [0, 1], multiples of 2**-16.
        seed: ``int64[N]``, see ``params.Seed``.
    """
    counts = word_counts(documents)
    bits = Draws.from_seeds(seed).ragged(counts)
    limits = np.repeat((rate * 2.0**32).astype(np.uint64), counts)
    hits = np.flatnonzero((bits >> _HALF) < limits)
    numbers = (bits[hits] & _LOWER).tolist()
    ends = np.cumsum(counts)
    rows = np.searchsorted(ends, hits, side="right")
    indices = (2 * (hits - (ends - counts)[rows]) + 1).tolist()
    bounds = np.searchsorted(hits, ends).tolist()
    pairs = list(zip(indices, numbers, strict=True))
    return [pairs[start:stop] for start, stop in zip([0, *bounds], bounds, strict=False)]
