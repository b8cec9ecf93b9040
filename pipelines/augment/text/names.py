"""Names: tell them from other words by their capitals, and exchange them within a document.

By default every text op leaves names alone. A name is

* a word with a capital inside a sentence, an acronym, or a word in mixed case ("iPhone");
* at the start of a sentence, where any word has a capital: a known given name, a title ("Mr."),
  the word after one, a possessive ("Spielberg's"), or the first of several such words.

"I", and words in capitals beside others ("THE WORST MOVIE"), are no names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed, Uniform
from pipelines.augment.registry import text_op
from pipelines.augment.text.name_table import (
    AMBIGUOUS_GIVEN,
    CITIES,
    GIVEN,
    NEUTRAL,
    SURNAMES,
    TITLES,
)
from pipelines.augment.text.tokenize import Tokens, is_compound, starts_sentence

_NO_NAMES = frozenset(
    "I I'm I've I'll I'd I’m I’ve I’ll I’d O OK Oh It's That's What's There's Here's He's She's "
    "Let's Who's Where's How's It’s That’s What’s There’s Here’s He’s She’s Let’s Who’s Where’s "
    "How’s".split()
)
_KNOWN_GIVEN = GIVEN | set(NEUTRAL) | AMBIGUOUS_GIVEN
_SURE_GIVEN = (GIVEN | set(NEUTRAL)) - AMBIGUOUS_GIVEN
_CITIES = frozenset(CITIES)
_PERSONAL = _KNOWN_GIVEN | TITLES
_REPLACEMENTS = {"given": NEUTRAL, "surname": SURNAMES, "city": CITIES}


@lru_cache(maxsize=1 << 16)
def _form(word: str) -> str:
    """Return how ``word`` is written: ``lower``, ``capital`` (Tom), ``upper`` or ``mixed``."""
    stem = possessor(word)
    if word == word.lower() or word in _NO_NAMES:
        return "lower"
    if stem == stem.upper() and len(stem) > 1:
        return "upper"
    return "capital" if stem[0].isupper() else "mixed"


def possessor(word: str) -> str:
    """Return ``word`` without a possessive ending ("Tom's", "Tom’s")."""
    return word[:-2] if word[-2:] in ("'s", "’s", "'S", "’S") else word


def is_name(tokens: Tokens, index: int) -> bool:
    """Tell whether the word at ``index`` (odd) is a name by its capitals and its place."""
    word = tokens[index]
    form = _form(word)
    if form == "lower":
        return False
    following = tokens[index + 2] if index + 2 < len(tokens) else ""
    previous = tokens[index - 2] if index > 2 else ""
    if form == "upper":
        return not ((following and following.isupper()) or (previous and previous.isupper()))
    if form == "mixed" or not _starts(tokens, index):
        return True
    stem = possessor(word)
    if stem != word or stem in TITLES or stem in _SURE_GIVEN:
        return True
    return bool(following) and tokens[index + 1] == " " and _form(following) == "capital"


def _starts(tokens: Tokens, index: int) -> bool:
    """Tell whether the capital at ``index`` may be there for the sentence's start alone."""
    separator = tokens[index - 1]
    abbreviated = separator == ". " and index > 2 and tokens[index - 2] in TITLES
    return starts_sentence(separator) and not abbreviated


def _runs(tokens: Tokens) -> Iterator[list[int]]:
    """Yield the indices of neighbouring capitalised words, with initials ("John F. Kennedy")."""
    run: list[int] = []
    for index in range(1, len(tokens), 2):
        if tokens[index][0].isupper() and _form(tokens[index]) == "capital":
            separator = tokens[index - 1]
            before = tokens[index - 2] if index > 2 else ""
            tied = separator == " " and possessor(before) == before
            tied |= separator == ". " and (len(before) == 1 or before in TITLES)
            if run and run[-1] == index - 2 and tied:
                run.append(index)
                continue
            if run:
                yield run
            run = [index]
    if run:
        yield run


def find_names(tokens: Tokens) -> dict[int, tuple[str, str]]:
    """Return the index of each known name with its kind (given, surname, city) and its bare form.

    Known are the given names and cities of ``name_table``, and as surnames what follows a given
    name or a title; such a surname is known in the whole document.
    """
    found: dict[int, tuple[str, str]] = {}
    alone: list[int] = []
    for run in _runs(tokens):
        if len(run) > 1 and _starts(tokens, run[0]) and tokens[run[0]] not in _PERSONAL:
            run = run[1:]  # "With Tom Hanks"
        stems = [possessor(tokens[index]) for index in run]
        titles = next((i for i, stem in enumerate(stems) if stem not in TITLES), len(stems))
        person = [index for index in run[titles:] if len(tokens[index]) > 1]
        if not person:
            continue
        first, last = person[0], person[-1]
        given = possessor(tokens[first]) in _KNOWN_GIVEN
        if len(run) == 1 and not (given and _is_given_alone(tokens, first)):
            alone.append(first)
            continue
        if given:
            found[first] = ("given", possessor(tokens[first]))
            last = person[min(1, len(person) - 1)]  # "Theodore Sturgeon Award"
        if last not in found and (given or titles):
            found[last] = ("surname", possessor(tokens[last]))
    if not found and not alone:
        return found
    surnames = {stem for kind, stem in found.values() if kind == "surname"}
    written = set(tokens[1::2])
    for index in alone:
        stem = possessor(tokens[index])
        if stem in surnames and not (_starts(tokens, index) and stem.lower() in written):
            found[index] = ("surname", stem)
        elif stem in _CITIES:
            found[index] = ("city", stem)
    return found


def _is_given_alone(tokens: Tokens, index: int) -> bool:
    return possessor(tokens[index]) in _SURE_GIVEN or not _starts(tokens, index)


@text_op(
    "entity_swap",
    family="entity",
    version=1,
    params={
        "rate": Uniform(low=1.0, high=1.0, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
)
def entity_swap(
    documents: Sequence[Tokens], *, rate: NDArray[np.float64], seed: NDArray[np.int64]
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Exchange the names of people and cities, each name for the same one in all its places.

    ``rate`` is the share of the distinct names that are exchanged. Different names stay
    different. Titles of films and other names that ``name_table`` does not know stay.
    """
    found = [find_names(tokens) for tokens in documents]
    distinct = [{stem: kind for kind, stem in reversed(names.values())} for names in found]
    counts = np.array([len(names) for names in distinct], dtype=np.int64)
    bits = Draws.from_seeds(seed).ragged(counts).tolist()
    limits = (rate * 2.0**32).astype(np.uint64).tolist()
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    start = 0
    for row, (tokens, names) in enumerate(zip(documents, found, strict=True)):
        drawn = bits[start : start + len(distinct[row])]
        start += len(drawn)
        chosen = _replacements(distinct[row], drawn, limits[row], written=tokens)
        result, count = list(tokens), 0
        for index, (_, stem) in names.items():
            if stem in chosen and not is_compound(tokens, index):
                word = tokens[index]
                result[index] = chosen[stem] + word[len(possessor(word)) :]
                count += 1
        edited.append(result)
        edits[row] = count
    return edited, edits


def _replacements(
    kinds: dict[str, str], bits: list[int], limit: int, *, written: Tokens
) -> dict[str, str]:
    """Return a name that does not occur in the document for each name in ``kinds`` if drawn."""
    taken = {possessor(word) for word in written[1::2] if word[0].isupper()} if kinds else set()
    chosen = {}
    for (stem, kind), number in zip(kinds.items(), bits, strict=True):
        if number >> 32 >= limit:
            continue
        table = _REPLACEMENTS[kind]
        place = (number & 0xFFFFFFFF) * len(table) >> 32
        free = (name for i in range(len(table)) if (name := table[(place + i) % len(table)]))
        replacement = next((name for name in free if name not in taken), None)
        if replacement is not None:
            taken.add(replacement)
            chosen[stem] = replacement
    return chosen
