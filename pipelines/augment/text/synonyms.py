"""Replace words by WordNet synonyms that are good in most contexts, without a tagger.

Naive WordNet swaps are mostly wrong ("your time" -> "your clip"). Here a word is only replaced if
nearly all of its uses in WordNet's tagged texts have one part of speech, at least half of those
have one sense, and the synonym passes the same test with that very sense. How strict the test is,
is the op's setting ``strictness``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Seed, Setting, Uniform
from pipelines.augment.registry import text_op
from pipelines.augment.text.choose import choose_words
from pipelines.augment.text.inflect import inflections
from pipelines.augment.text.negation import is_protected
from pipelines.augment.text.tokenize import Tokens, is_compound, starts_sentence
from pipelines.augment.text.wordnet import NAME, Graded, WordNet, wordnet
from schemas.canonical import digest as canonical_digest
from schemas.errors import InputError, unknown_name

_VOWEL_SOUND = re.compile(r"(?!eu|one|uni|use|usu|uti)[aeiou]|heir|hono|hones|hour", re.IGNORECASE)


_NO_PLURALS = frozenset(
    ("his", "as", "us", "is", "its", "was", "has", "does", "this", "thus", "yes")
)
"""What looks like the plural of a noun of WordNet's ("hi", "a"), but is a word of grammar."""


@dataclass(frozen=True)
class Strictness:
    """What a word and its synonym must both fulfil.

    Attributes:
        part_percent: Least share of the word's uses that are of its main part of speech.
        sense_percent: Least share of those that are of the first sense.
        count: Least number of uses in WordNet's tagged texts.
    """

    part_percent: int
    sense_percent: int
    count: int

    def accepts(self, entry: Graded) -> bool:
        """Tell whether the word is common and unambiguous enough."""
        return (
            entry.total >= self.count
            and 100 * entry.in_part >= self.part_percent * entry.total
            and 100 * entry.in_first >= self.sense_percent * entry.in_part
        )


STRICTNESS: Mapping[str, Strictness] = {
    "strict": Strictness(part_percent=80, sense_percent=50, count=5),
    "medium": Strictness(part_percent=80, sense_percent=50, count=1),
    "loose": Strictness(part_percent=60, sense_percent=40, count=1),
}


def select_synonyms(
    source: WordNet, strictness: str, *, inflect: bool = False
) -> dict[str, tuple[str, ...]]:
    """Return word -> synonyms, all in lower case and sorted, for one strictness.

    Plural nouns are in it too, with plural synonyms, and with ``inflect`` the forms of verbs.

    Raises:
        InputError: ``strictness`` is unknown.
    """
    if strictness not in STRICTNESS:
        raise InputError(unknown_name("strictness", strictness, STRICTNESS))
    rule = STRICTNESS[strictness]
    accepted = {word for word, entry in source.entries.items() if rule.accepts(entry)}
    table = {
        word: tuple(other for other in source.entries[word].candidates if other in accepted)
        for word in sorted(accepted)
    }
    for word, plural in source.plurals.items():
        if word in table and plural not in source.entries and plural not in _NO_PLURALS:
            others = (source.plurals[o] for o in table[word] if o in source.plurals)
            table[plural] = tuple(sorted(others))
    if inflect:
        verbs = {word: others for word, others in table.items() if word in source.verb_forms}
        table |= inflections(verbs, source.verb_forms, source.words | table.keys())
    return {word: others for word, others in table.items() if others}


@lru_cache(maxsize=2 * len(STRICTNESS))
def synonym_table(strictness: str, inflect: bool = False) -> Mapping[str, tuple[str, ...]]:
    """Return ``select_synonyms`` of the installed WordNet, built once per process."""
    return select_synonyms(wordnet(), strictness, inflect=inflect)


def wordnet_digest(**settings: Any) -> dict[str, str]:
    """Return the digest of the WordNet in use: another WordNet is another augmentation."""
    digests = {NAME: wordnet().digest}
    if settings.get("inflect"):
        table = synonym_table(settings["strictness"], inflect=True)
        digests[f"{NAME} {settings['strictness']} verb forms"] = canonical_digest(table)
    return digests


def replaced(
    tokens: Tokens,
    index: int,
    *,
    pick: int,
    table: Mapping[str, tuple[str, ...]],
    collocations: frozenset[str],
    protect_names: bool = True,
) -> str | None:
    """Return the word to put in place of the one at ``index``, or None to keep it.

    Kept are protected words (see ``negation``), parts of hyphenated and of fixed multiword
    expressions ("motion picture"), and capitalised words inside a sentence, which are names.
    The synonym takes over the letter case and suits an "a" or "an" before it.

    Args:
        tokens: The document, unmutated.
        index: Of a word (odd).
        pick: 32-bit number that selects among the synonyms.
        table: Word -> synonyms, in lower case.
        collocations: Pairs of neighbouring words that belong together, in lower case.
        protect_names: False to replace capitalised words inside a sentence as well.
    """
    word = tokens[index]
    lowered = word.lower()
    options = table.get(lowered)
    if options is None or is_compound(tokens, index) or is_protected(tokens, index):
        return None
    before = tokens[index - 2].lower() if index > 2 else ""
    after = tokens[index + 2].lower() if index + 2 < len(tokens) else ""
    if f"{before} {lowered}" in collocations or f"{lowered} {after}" in collocations:
        return None
    if before in ("a", "an"):
        options = tuple(o for o in options if (before == "an") == bool(_VOWEL_SOUND.match(o)))
        if not options:
            return None
    synonym = options[pick * len(options) >> 32]
    if word == lowered:
        return synonym
    if word.isupper():
        return synonym.upper()
    placed = starts_sentence(tokens[index - 1]) or not protect_names
    return synonym.capitalize() if placed and word == lowered.capitalize() else None


@text_op(
    "synonym_replace",
    family="synonym",
    version=1,
    params={
        "rate": Uniform(low=0.3, high=0.3, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
    settings={
        "strictness": Setting("strict", choices=tuple(STRICTNESS)),
        "inflect": Setting(False, choices=(False, True), unnamed=False),
    },
    resources=wordnet_digest,
    needs=("protect_names",),
)
def synonym_replace(
    documents: Sequence[Tokens],
    *,
    rate: NDArray[np.float64],
    seed: NDArray[np.int64],
    strictness: str,
    inflect: bool = False,
    protect_names: bool = True,
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Replace a share of the words that have a safe WordNet synonym.

    ``rate`` is the share of eligible words: about 4 % of a review's words are eligible under
    ``strict``, 6 % under ``medium`` and 7 % under ``loose``. ``inflect`` adds the forms of verbs
    ("happened" -> "occurred") where those of both verbs are beyond doubt.
    """
    table = synonym_table(strictness, inflect)
    collocations = wordnet().collocations
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    choices = choose_words(documents, rate=rate, seed=seed)
    for row, (tokens, chosen) in enumerate(zip(documents, choices, strict=True)):
        result, count = list(tokens), 0
        for index, pick in chosen:
            word = replaced(
                tokens,
                index,
                pick=pick,
                table=table,
                collocations=collocations,
                protect_names=protect_names,
            )
            if word is not None:
                result[index] = word
                count += 1
        edited.append(result)
        edits[row] = count
    return edited, edits
