"""Take words for others: homophones, misspellings, slips of the keyboard and of scanners.

Negations and what they refer to stay, names stay, and no word becomes a negation ("know" is
never taken for "no").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Seed, Setting, Uniform
from pipelines.augment.registry import text_op
from pipelines.augment.text.choose import choose_words
from pipelines.augment.text.confusion_table import HOMOPHONES, KEYBOARD_ROWS, MISSPELLINGS, OCR
from pipelines.augment.text.names import is_name
from pipelines.augment.text.negation import is_negation, is_protected
from pipelines.augment.text.tokenize import Tokens, is_compound
from schemas.canonical import sha256
from schemas.errors import InputError

Table = Mapping[str, tuple[str, ...]]
Confusion = Callable[[str, int], str | None]
"""From a word and a 32-bit number to what it is taken for, or None."""

_MASK = 0xFFFFFFFF
_SPREAD = 0x9E3779B1  # odd: a bijection of the 32-bit numbers
_SHORTEST_SLIP = 4


def _homophones() -> Table:
    table: dict[str, tuple[str, ...]] = {}
    for group in HOMOPHONES:
        for word in group:
            others = [*table.get(word, ()), *(other for other in group if other != word)]
            table[word] = tuple(sorted(set(others)))
    return table


def _neighbours() -> Mapping[str, str]:
    """Return letter -> the letters of the keys that touch its key."""
    places = {
        letter: (row, 2 * column + row)
        for row, letters in enumerate(KEYBOARD_ROWS)
        for column, letter in enumerate(letters)
    }
    return {
        letter: "".join(
            other
            for other, (row, at) in places.items()
            if other != letter and abs(row - place[0]) <= 1 and abs(at - place[1]) <= 2
        )
        for letter, place in places.items()
    }


_SHAPES: Mapping[str, list[tuple[str, str]]] = {
    letter: [pair for pair in OCR if pair[0][0] == letter]
    for letter in {pair[0][0] for pair in OCR}
}
HOMOPHONE_TABLE = MappingProxyType(_homophones())
NEIGHBOURS = MappingProxyType(_neighbours())


def homophone(word: str, number: int) -> str | None:
    """Return a word that sounds like ``word``, in its letter case."""
    return _looked_up(HOMOPHONE_TABLE, word, number)


def misspelling(word: str, number: int) -> str | None:
    """Return a common misspelling of ``word``, in its letter case."""
    return _looked_up(MISSPELLINGS, word, number)


def keyboard_slip(word: str, number: int) -> str | None:
    """Return ``word`` with one slip behind its first letter.

    By turns a neighbouring key, two letters exchanged, one left out, or one typed twice.
    """
    if len(word) < _SHORTEST_SLIP or not (word.isascii() and word.isalpha()):
        return None
    kind, number = number & 3, number >> 2
    at = 1 + number % (len(word) - 2)
    letter = word[at]
    if kind == 0:
        keys = NEIGHBOURS[letter.lower()]
        typed = keys[(number >> 8) % len(keys)]
        return word[:at] + (typed.upper() if letter.isupper() else typed) + word[at + 1 :]
    if kind == 1 and word[at + 1] != letter:
        return word[:at] + word[at + 1] + letter + word[at + 2 :]
    if kind == 2:
        return word[:at] + word[at + 1 :]
    return word[:at] + letter + word[at:]


def scanner_slip(word: str, number: int) -> str | None:
    """Return ``word`` with one of the shapes in ``OCR`` misread."""
    if len(word) < _SHORTEST_SLIP or not word.isalpha():
        return None
    places = [
        (at, shape, read)
        for at, letter in enumerate(word)
        for shape, read in _SHAPES.get(letter, ())
        if len(shape) == 1 or word.startswith(shape, at)
    ]
    if not places:
        return None
    at, shape, read = places[number * len(places) >> 32]
    return word[:at] + read + word[at + len(shape) :]


_KINDS: Mapping[str, Confusion] = MappingProxyType(
    {
        "homophones": homophone,
        "misspellings": misspelling,
        "keyboard": keyboard_slip,
        "scanner": scanner_slip,
    }
)


@lru_cache(maxsize=8)
def read_table(path: str) -> tuple[Table, str]:
    """Return a user's confusion table and the SHA-256 of its content, read once per process.

    Each line holds a word, a tab, and what it may be taken for, several by further tabs. Empty
    lines and lines that begin with ``#`` are skipped; letter case is ignored in the first column.

    Raises:
        InputError: The file cannot be read, or a line has no tab.
    """
    try:
        content = Path(path).read_bytes()
        lines = content.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"confuse_words: file must be a UTF-8 file of words and tabs, {path!r} cannot be "
            f"read: {error}",
            path=("file",),
        ) from error
    table: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        word, *others = (part.strip() for part in line.split("\t"))
        others = [other for other in others if other]
        if not word or not others:
            raise InputError(
                f"{path}:{number}: a line must be a word, a tab and what it is taken for, "
                f"got {line!r}",
                path=("file",),
            )
        table[word.lower()] = (*table.get(word.lower(), ()), *others)
    return table, sha256(content)


def table_digest(*, file: str, **_settings: float) -> dict[str, str]:
    """Return the digest of the user's file, if there is one."""
    return {f"confusions {file}": read_table(file)[1]} if file else {}


@text_op(
    "confuse_words",
    family="noise",
    version=1,
    params={
        "rate": Uniform(low=0.03, high=0.03, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
    settings={kind: Setting(1.0, limits=(0.0, 1000.0)) for kind in _KINDS} | {"file": Setting("")},
    resources=table_digest,
    needs=("protect_names",),
)
def confuse_words(
    documents: Sequence[Tokens],
    *,
    rate: NDArray[np.float64],
    seed: NDArray[np.int64],
    file: str,
    protect_names: bool = True,
    **weights: float,
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Take words for homophones, common misspellings, and slips of keyboards and scanners.

    ``rate`` is the share of the words that are drawn. A drawn word is changed by a kind that is
    drawn in proportion to the weights ``homophones``, ``misspellings``, ``keyboard`` and
    ``scanner`` (0 turns a kind off), or else by the next kind that can. Words in ``file`` (see
    ``read_table``) are changed by it alone.
    """
    own = read_table(file)[0] if file else {}
    kinds = [(_KINDS[kind], weight) for kind, weight in weights.items() if weight > 0]
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    choices = choose_words(documents, rate=rate, seed=seed)
    for row, (tokens, chosen) in enumerate(zip(documents, choices, strict=True)):
        result = list(tokens)
        for index, pick in chosen:
            if is_compound(tokens, index) or is_protected(tokens, index):
                continue
            if protect_names and is_name(tokens, index):
                continue
            word = _looked_up(own, tokens[index], pick) or _confused(tokens[index], pick, kinds)
            if word is not None and word != tokens[index] and not is_negation(word):
                result[index] = word
                edits[row] += 1
        edited.append(result)
    return edited, edits


def _confused(word: str, pick: int, kinds: Sequence[tuple[Confusion, float]]) -> str | None:
    """Return what the kind drawn by weight, or else the next that can, makes of ``word``."""
    point = pick / 2.0**32 * sum(weight for _, weight in kinds)
    number = pick * _SPREAD & _MASK
    first = 0
    while first < len(kinds) - 1 and point >= kinds[first][1]:
        point -= kinds[first][1]
        first += 1
    for kind, _ in (*kinds[first:], *kinds[:first]):
        made = kind(word, number)
        if made is not None:
            return made
    return None


def _looked_up(table: Table, word: str, number: int) -> str | None:
    """Return one of the entries for ``word`` in its letter case."""
    options = table.get(word.lower())
    if not options:
        return None
    made = options[number * len(options) >> 32]
    if word.isupper() and len(word) > 1:
        return made.upper()
    return made[0].upper() + made[1:] if word[0].isupper() else made
