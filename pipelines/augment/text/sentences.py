"""Split documents into sentences without losing a character; shuffle and drop sentences.

A sentence ends with a full stop, an exclamation or question mark (and a quotation mark or bracket
that closes after it), followed by white space and no lower-case letter; or with an HTML or line
break. A full stop after a title ("Mr."), an abbreviation ("etc.") or an initial ends none.

The first and the last sentence stay: they set the scene and give the verdict. So does a sentence
without a full stop of its own, or with half of a pair of quotation marks or brackets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed, Uniform
from pipelines.augment.registry import text_op
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.tokenize import Tokens, join

_FINAL = re.compile(r"[.!?…]+[\"'”’)\]*]*\Z")
_SPACE = re.compile(r"\s|<[bB][rR]")
_OPENING = re.compile(r"[\"'“‘(\[*]+\Z")
_WITHIN = frozenset((" ", ", ", "-", "; ", ": "))
"""The most frequent separators that end no sentence."""
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr vs etc cf approx dept est feat gen gov hon lt capt sgt col maj "
    "rev mt vol pp ft inc ltd co corp".split()
)


@dataclass(frozen=True)
class Sentence:
    """A sentence with its punctuation, without what parts it from its neighbours.

    Attributes:
        opening: Marks before its first word.
        body: Words and what separates them: odd length, words at the even positions.
        end: Marks after its last word.
    """

    opening: str
    body: tuple[str, ...]
    end: str

    def moves(self) -> bool:
        """Tell whether it is complete: ended by a mark, with all marks in pairs."""
        text = self.opening + join(list(self.body)) + self.end
        return (
            _FINAL.search(self.end) is not None
            and text.count('"') % 2 == 0
            and text.count("(") == text.count(")")
            and text.count("“") == text.count("”")
        )

    def denies(self) -> bool:
        """Tell whether it holds a negation."""
        return any(map(is_negation, self.body[::2]))


def split_sentences(tokens: Tokens) -> tuple[list[str], list[Sentence]]:
    """Return a document's n + 1 gaps (white space and breaks) and the n sentences between them.

    ``join_sentences`` gives the document back.
    """
    if len(tokens) == 1:
        return list(tokens), []
    _, lead, opening = _cut(tokens[0], at_start=True)
    gaps, found = [lead], []
    first, final = 1, len(tokens) - 2
    candidates = [i for i in range(1, final, 2) if tokens[i + 1] not in _WITHIN]
    for last in (*candidates, final):
        ends = last == final
        if ends or _ends_sentence(tokens, last):
            end, gap, next_opening = _cut(tokens[last + 1])
            if ends:  # nothing follows to be opened
                gap, next_opening = gap + next_opening, ""
            found.append(Sentence(opening, tuple(tokens[first : last + 1]), end))
            gaps.append(gap)
            first, opening = last + 2, next_opening
    return gaps, found


def join_sentences(gaps: Sequence[str], found: Sequence[Sentence]) -> Tokens:
    """Return the document of n sentences with n + 1 gaps around them."""
    tokens = [gaps[0]]
    for sentence, gap in zip(found, gaps[1:], strict=True):
        tokens[-1] += sentence.opening
        tokens += sentence.body
        tokens.append(sentence.end + gap)
    return tokens


def _cut(separator: str, *, at_start: bool = False) -> tuple[str, str, str]:
    """Split what stands between two sentences: ``'." "'`` is ``'."'``, ``' '``, ``'"'``."""
    space = _SPACE.search(separator)
    if at_start:
        middle = 0
    elif space is None:
        return separator, "", ""
    else:
        middle = space.start()
    rest = separator[middle:]
    opening = _OPENING.search(rest)
    start = len(rest) if opening is None else opening.start()
    return separator[:middle], rest[:start], rest[start:]


def _ends_sentence(tokens: Tokens, index: int) -> bool:
    """Tell whether the separator after the word at ``index``, not the last, ends a sentence."""
    separator = tokens[index + 1]
    if "<" in separator or "\n" in separator:
        return True
    end, gap, _ = _cut(separator)
    if not gap or _FINAL.search(end) is None or tokens[index + 2][0].islower():
        return False
    word = tokens[index]
    shortened = word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper())
    return end != "." or not shortened or word == "I"


@text_op(
    "sentence_shuffle",
    family="sentence",
    version=1,
    params={
        "rate": Uniform(low=0.4, high=0.4, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
)
def sentence_shuffle(
    documents: Sequence[Tokens], *, rate: NDArray[np.float64], seed: NDArray[np.int64]
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Let some sentences change places; the first, the last and what parts them stay.

    ``rate`` is the share of the sentences between the first and the last that are drawn; those
    take one another's places in random order. Paragraphs keep their number of sentences.
    """
    parts = [split_sentences(tokens) for tokens in documents]
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    for row, ((gaps, found), drawn) in enumerate(
        zip(parts, _drawn_sentences(parts, rate, seed), strict=True)
    ):
        places = [place for place, _ in drawn if found[place].moves()]
        number = dict(drawn)
        result = list(found)
        for place, source in zip(places, sorted(places, key=number.__getitem__), strict=True):
            result[place] = found[source]
            edits[row] += place != source
        edited.append(join_sentences(gaps, result))
    return edited, edits


@text_op(
    "sentence_drop",
    family="sentence",
    version=1,
    params={
        "rate": Uniform(low=0.1, high=0.1, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
)
def sentence_drop(
    documents: Sequence[Tokens], *, rate: NDArray[np.float64], seed: NDArray[np.int64]
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Drop some sentences, never the first, the last, or one with a negation.

    ``rate`` is the share of the sentences between the first and the last that are drawn.
    """
    parts = [split_sentences(tokens) for tokens in documents]
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    for row, ((gaps, found), drawn) in enumerate(
        zip(parts, _drawn_sentences(parts, rate, seed), strict=True)
    ):
        left, spaces = list(found), list(gaps)
        for place, _ in reversed(drawn):
            if found[place].moves() and not found[place].denies():
                del left[place]
                # Of the gaps on both sides the one that parts more, a break, is left.
                spaces[place : place + 2] = [max(spaces[place : place + 2], key=len)]
        edited.append(join_sentences(spaces, left))
        edits[row] = len(found) - len(left)
    return edited, edits


def _drawn_sentences(
    parts: Sequence[tuple[list[str], list[Sentence]]],
    rate: NDArray[np.float64],
    seed: NDArray[np.int64],
) -> list[list[tuple[int, int]]]:
    """Return, per document, which inner sentences are drawn, each with a 32-bit number."""
    counts = np.array([max(len(found) - 2, 0) for _, found in parts], dtype=np.int64)
    bits = Draws.from_seeds(seed).ragged(counts).tolist()
    limits = (rate * 2.0**32).astype(np.uint64).tolist()
    drawn, start = [], 0
    for count, limit in zip(counts.tolist(), limits, strict=True):
        numbers = enumerate(bits[start : start + count], start=1)
        drawn.append([(place, n & 0xFFFFFFFF) for place, n in numbers if n >> 32 < limit])
        start += count
    return drawn
