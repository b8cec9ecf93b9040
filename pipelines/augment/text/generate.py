"""Add a sentence that a language model of the document's own class makes up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Integers, Seed, Setting
from pipelines.augment.registry import text_op
from pipelines.augment.text.ngrams import ClassModels
from pipelines.augment.text.sentences import Sentence, join_sentences, split_sentences
from pipelines.augment.text.tokenize import Tokens

_NUMBERS = 256
"""Drawn per sentence: enough for a dozen of usual length, of which one should fit."""


@text_op(
    "generate_sentence",
    family="sentence",
    version=1,
    params={
        "count": Integers(low=1, high=1, identity=0, limits=(0, 8)),
        "seed": Seed(),
    },
    settings={
        "place": Setting("insert", choices=("insert", "append")),
        "min_words": Setting(4, limits=(1, 60)),
        "max_words": Setting(16, limits=(1, 60)),
    },
    needs=("labels", "ngrams"),
)
def generate_sentence(
    documents: Sequence[Tokens],
    *,
    count: NDArray[np.int64],
    seed: NDArray[np.int64],
    place: str,
    min_words: int,
    max_words: int,
    labels: NDArray[np.int64],
    ngrams: ClassModels,
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Add sentences made up by a trigram model of the document's own class.

    ``count`` sentences of ``min_words`` to ``max_words`` words are put after complete sentences:
    random ones (``place: insert``) or the last (``place: append``).
    """
    most = int(count.max(initial=0))
    draws = Draws.from_seeds(seed)
    bits = [
        (draws.stream(f"sentence{number}").bits(_NUMBERS + 1) >> np.uint64(32)).tolist()
        for number in range(most)
    ]
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    for row, tokens in enumerate(documents):
        result = tokens
        for number in range(int(count[row])):
            where, *numbers = bits[number][row]
            made = ngrams.sample(int(labels[row]), numbers, shortest=min_words, longest=max_words)
            added = None if made is None else _with_sentence(result, made, where, place)
            if added is not None:
                result = added
                edits[row] += 1
        edited.append(result)
    return edited, edits


def _with_sentence(tokens: Tokens, made: Tokens, where: int, place: str) -> Tokens | None:
    """Return the document with one more sentence, or None if none of its own is complete."""
    gaps, found = split_sentences(tokens)
    complete = [index for index, sentence in enumerate(found) if sentence.moves()]
    if not complete:
        return None
    after = complete[-1] if place == "append" else complete[where * len(complete) >> 32]
    *body, end = made
    found.insert(after + 1, Sentence("", tuple(body), end))
    gaps.insert(after + 1, " ")
    return join_sentences(gaps, found)
