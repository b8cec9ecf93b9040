"""Trigram language models, one per class, learned from the training split and sampled by draws.

``count`` takes a slice's texts, ``merge`` joins slices, ``ClassModels.of`` makes the models. What
is counted are the units of a sentence (a word with the marks before it); names, quotations and
very long sentences are left out, so that a generated sentence claims nothing about anybody.

Bounded and independent of the slicing: of each class, the ``SAMPLE`` distinct sentences with the
smallest hash are kept, which is a uniform sample (bottom-k; Cohen and Kaplan, PODC 2007).
``nltk.lm`` was not taken: it draws from Python's generator, 0.3 ms a word, and does not merge.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipelines.augment.text.names import is_name
from pipelines.augment.text.sentences import Sentence, split_sentences
from pipelines.augment.text.tokenize import Tokens, tokenize
from schemas.errors import InputError

SAMPLE = 20_000
SHORTEST, LONGEST = 4, 30
"""Words of a sentence that is counted."""

_START, _END = "", "\0"
_SEPARATORS = frozenset((" ", ", ", "; ", ": ", " - ", " & ", "-"))

Units = tuple[str, ...]
"""The units of a sentence: a word after a space as it is, any other with its marks before it, and
last the marks that end it."""


@dataclass(frozen=True)
class Counts:
    """A sample of each class's sentences.

    Attributes:
        sentences: Label -> (hash, units) in rising order, at most ``SAMPLE``.
    """

    sentences: Mapping[int, tuple[tuple[int, Units], ...]]


def count(texts: Iterable[str], labels: Iterable[int]) -> Counts:
    """Return the counts of some documents.

    Args:
        texts: Documents of the training split.
        labels: Their class indices.
    """
    found: defaultdict[int, dict[Units, int]] = defaultdict(dict)
    for text, label in zip(texts, labels, strict=True):
        _, sentences = split_sentences(tokenize(text))
        for sentence in sentences:
            units = units_of(sentence)
            if units is not None:
                found[int(label)][units] = _hash(units)
    return Counts(
        {
            label: tuple(heapq.nsmallest(SAMPLE, ((number, u) for u, number in units.items())))
            for label, units in sorted(found.items())
        }
    )


def merge(parts: Iterable[Counts]) -> Counts:
    """Return the counts of all documents of ``parts`` together, in whatever order they come."""
    merged: defaultdict[int, set[tuple[int, Units]]] = defaultdict(set)
    for part in parts:
        for label, sentences in part.sentences.items():
            merged[label].update(sentences)
    return Counts(
        {
            label: tuple(heapq.nsmallest(SAMPLE, sentences))
            for label, sentences in sorted(merged.items())
        }
    )


def to_bytes(counts: Counts) -> bytes:
    """Return the counts as JSON, a line per sentence; equal counts give equal bytes."""
    lines = [
        json.dumps([label, *units], ensure_ascii=False)
        for label, sentences in sorted(counts.sentences.items())
        for _, units in sentences
    ]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def from_bytes(data: bytes) -> Counts:
    """Return the counts that ``to_bytes`` wrote.

    Raises:
        InputError: It did not write these.
    """
    found: defaultdict[int, list[tuple[int, Units]]] = defaultdict(list)
    for number, line in enumerate(data.decode("utf-8").split("\n")[:-1], start=1):
        try:
            label, *units = json.loads(line)
            found[int(label)].append((_hash(tuple(units)), tuple(units)))
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"line {number} of the n-gram counts must be a list of a label and words, got "
                f"{line[:60]!r}: make the dataset's survey again"
            ) from error
    return Counts({label: tuple(sorted(sentences)) for label, sentences in sorted(found.items())})


def units_of(sentence: Sentence) -> Units | None:
    """Return the units of a sentence, or None if it is not fit to be learned from."""
    words = (len(sentence.body) + 1) // 2
    if not SHORTEST <= words <= LONGEST or sentence.opening or sentence.end not in (".", "!", "?"):
        return None
    if not set(sentence.body[1::2]) <= _SEPARATORS or not sentence.body[0][0].isupper():
        return None
    tokens: Tokens = ["", *sentence.body, sentence.end]
    if any(is_name(tokens, index) for index in range(1, len(tokens), 2)):
        return None
    units = [sentence.body[0]]
    for separator, word in zip(sentence.body[1::2], sentence.body[2::2], strict=True):
        units.append(word if separator == " " else separator + word)
    return (*units, sentence.end)


@dataclass(frozen=True)
class ClassModels:
    """For each class: two units -> the units that follow, with the running sum of their counts."""

    models: Mapping[int, Mapping[tuple[str, str], tuple[Units, tuple[int, ...]]]]

    @classmethod
    def of(cls, counts: Counts) -> ClassModels:
        """Return the models of the counts."""
        return cls({label: _model(found) for label, found in counts.sentences.items()})

    def sample(
        self, label: int, numbers: Sequence[int], *, shortest: int, longest: int
    ) -> Tokens | None:
        """Return one sentence of a class as ``[word, separator, ..., word, end]``.

        Args:
            label: The class.
            numbers: 32-bit numbers, one for each unit; a sentence that turns out too short or too
                long is given up and the next one starts with the number after it.
            shortest: Least number of words.
            longest: Greatest number of words.

        Returns:
            None if the class has no model, or the numbers end before a sentence fits.
        """
        model = self.models.get(label)
        if model is None:
            return None
        units: list[str] = []
        context = (_START, _START)
        for number in numbers:
            following, sums = model[context]
            unit = following[bisect_right(sums, number * sums[-1] >> 32)]
            if unit[0] == _END:
                if shortest <= len(units) <= longest:
                    return _tokens(units, unit[1:])
            elif len(units) < longest:
                units.append(unit)
                context = (context[1], unit)
                continue
            units, context = [], (_START, _START)
        return None


def _model(
    sentences: Sequence[tuple[int, Units]],
) -> dict[tuple[str, str], tuple[Units, tuple[int, ...]]]:
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for _, (*units, end) in sentences:
        context = (_START, _START)
        for unit in (*units, _END + end):
            counts[context][unit] += 1
            context = (context[1], unit)
    model = {}
    for context, following in counts.items():
        ranked = sorted(following)
        model[context] = (tuple(ranked), tuple(accumulate(following[unit] for unit in ranked)))
    return model


def _tokens(units: Sequence[str], end: str) -> Tokens:
    tokens = [units[0]]
    for unit in units[1:]:
        marks = next((mark for mark in _SEPARATORS if unit.startswith(mark)), "")
        tokens += [marks or " ", unit[len(marks) :]]
    return [*tokens, end]


def _hash(units: Units) -> int:
    digest = hashlib.blake2b("\0".join(units).encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
