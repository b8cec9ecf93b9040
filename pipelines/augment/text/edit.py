"""Swap and delete words at random, after EDA, but without touching negations.

Source: Wei and Zou, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text
Classification Tasks", EMNLP 2019. Unlike there, only words in lower case are moved or removed, so
names, numbers (ratings such as "9/10") and the capitals of sentences stay in place, and so do
hyphenated words and whatever a negation may refer to (see ``negation``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed, Uniform
from pipelines.augment.registry import text_op
from pipelines.augment.text.choose import choose_words, word_counts
from pipelines.augment.text.negation import is_protected
from pipelines.augment.text.tokenize import Tokens, is_compound, starts_sentence

_PUNCTUATION = (".", ",", ";", ":", "!", "?")


def is_movable(tokens: Tokens, index: int, *, protect_names: bool = True) -> bool:
    """Tell whether the word at ``index`` (odd) may be moved or removed."""
    word = tokens[index]
    as_name = not protect_names and word.istitle() and not starts_sentence(tokens[index - 1])
    return (
        (word.islower() or as_name)
        and not is_compound(tokens, index)
        and not is_protected(tokens, index)
    )


def closed_gap(before: str, after: str) -> str | None:
    """Return the separator that is left when the word between two separators goes.

    None if the word should stay, because it stands in quotes or brackets or between two
    punctuation marks, which would be left side by side.
    """
    if before and not before[-1].isspace():
        return None
    if not after:
        return before.rstrip()
    if after[0].isspace():
        return before + after[1:]
    return after if after.startswith(_PUNCTUATION) and before.isspace() else None


def without(
    tokens: Tokens, indices: Sequence[int], *, may_go: Callable[[Tokens, int], bool]
) -> Tokens:
    """Return ``tokens`` less the words at ``indices`` (odd, in order) that may go.

    The last word of all, and one that no gap can close over (see ``closed_gap``), is kept.
    """
    result = list(tokens)
    # From the end, so that the indices and the words before each one are still the original.
    for index in reversed(indices):
        if len(result) == 3:
            break
        if may_go(result, index):
            gap = closed_gap(result[index - 1], result[index + 1])
            if gap is not None:
                result[index - 1 : index + 2] = [gap]
    return result


@text_op(
    "random_swap",
    family="edit",
    version=1,
    params={
        "rate": Uniform(low=0.03, high=0.03, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
    needs=("protect_names",),
)
def random_swap(
    documents: Sequence[Tokens],
    *,
    rate: NDArray[np.float64],
    seed: NDArray[np.int64],
    protect_names: bool = True,
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Swap randomly chosen pairs of words, leaving negations and what they refer to.

    ``rate`` is the number of pairs drawn as a share of the number of words, at least one pair;
    a pair that holds a word which must stay is passed over. Punctuation stays in place.
    """
    counts = word_counts(documents)
    pairs = np.where(rate > 0, np.maximum((rate * counts).astype(np.int64), 1), 0)
    pairs[counts < 2] = 0
    upper = Draws.from_seeds(seed).ragged(2 * pairs) >> np.uint64(32)
    spans = np.repeat(counts, 2 * pairs).astype(np.uint64)
    positions = (2 * ((upper * spans) >> np.uint64(32)) + np.uint64(1)).tolist()
    edited, start = [], 0
    edits = np.zeros(len(documents), dtype=np.int64)
    for row, (tokens, stop) in enumerate(
        zip(documents, np.cumsum(2 * pairs).tolist(), strict=True)
    ):
        result, count = list(tokens), 0
        drawn = positions[start:stop]
        for left, right in zip(drawn[::2], drawn[1::2], strict=True):
            if left != right and all(
                is_movable(result, index, protect_names=protect_names) for index in (left, right)
            ):
                result[left], result[right] = result[right], result[left]
                count += 1
        edited.append(result)
        edits[row] = count
        start = stop
    return edited, edits


@text_op(
    "random_delete",
    family="edit",
    version=1,
    params={
        "rate": Uniform(low=0.05, high=0.05, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
    needs=("protect_names",),
)
def random_delete(
    documents: Sequence[Tokens],
    *,
    rate: NDArray[np.float64],
    seed: NDArray[np.int64],
    protect_names: bool = True,
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Delete each word with a small probability, never a negation, never the last word left.

    ``rate`` is the probability; words which must stay are kept.
    """
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    may_go = partial(is_movable, protect_names=protect_names)
    choices = choose_words(documents, rate=rate, seed=seed)
    for row, (tokens, chosen) in enumerate(zip(documents, choices, strict=True)):
        result = without(tokens, [index for index, _ in chosen], may_go=may_go)
        edited.append(result)
        edits[row] = (len(tokens) - len(result)) // 2
    return edited, edits
