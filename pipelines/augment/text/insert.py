"""Insert synonyms of a document's words at random places, after EDA (Wei and Zou, 2019).

Unlike there, the synonyms are the safe ones of ``synonyms``, and no place is used that would part
a negation from what it may refer to, an article from its noun, or a fixed expression.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Seed, Setting, Uniform
from pipelines.augment.registry import text_op
from pipelines.augment.text.choose import choose_words
from pipelines.augment.text.negation import is_protected
from pipelines.augment.text.synonyms import STRICTNESS, synonym_table, wordnet_digest
from pipelines.augment.text.tokenize import Tokens
from pipelines.augment.text.wordnet import wordnet

_TRIES = 8
_SPREAD = 0x9E3779B1  # odd: a bijection of the 32-bit numbers
_BINDING = frozenset("a an the to of in on at by for with from and or very so too as i".split())


def is_open_gap(tokens: Tokens, index: int) -> bool:
    """Tell whether a word may be inserted before the word at ``index`` (odd, not the first)."""
    before, after = tokens[index - 2], tokens[index]
    return (
        tokens[index - 1] == " "
        and before.islower()
        and after.islower()
        and before not in _BINDING
        and not is_protected(tokens, index - 2)
        and not is_protected(tokens, index)
        and f"{before} {after}" not in wordnet().collocations
    )


@text_op(
    "random_insert",
    family="synonym",
    version=1,
    params={
        "rate": Uniform(low=0.3, high=0.3, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
    settings={"strictness": Setting("strict", choices=tuple(STRICTNESS))},
    resources=wordnet_digest,
)
def random_insert(
    documents: Sequence[Tokens],
    *,
    rate: NDArray[np.float64],
    seed: NDArray[np.int64],
    strictness: str,
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Insert safe synonyms of some words at random places, away from negations.

    ``rate`` is the share of the words with a synonym (see ``synonym_replace``) that get one of
    them inserted, each at the first suitable place from a random one on.
    """
    table = synonym_table(strictness)
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    choices = choose_words(documents, rate=rate, seed=seed)
    for row, (tokens, chosen) in enumerate(zip(documents, choices, strict=True)):
        count = len(tokens) // 2
        inserted: dict[int, str] = {}
        for index, pick in chosen:
            options = table.get(tokens[index])
            if options is None or is_protected(tokens, index):
                continue
            place = (pick * _SPREAD & 0xFFFFFFFF) * count >> 32
            for step in range(_TRIES):
                at = 2 * ((place + step) % count) + 1
                if at > 1 and at not in inserted and is_open_gap(tokens, at):
                    inserted[at] = options[pick * len(options) >> 32]
                    break
        result = list(tokens)
        for at in sorted(inserted, reverse=True):
            result[at:at] = [inserted[at], " "]
        edited.append(result)
        edits[row] = len(inserted)
    return edited, edits
