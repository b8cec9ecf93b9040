"""How positive or negative a text's words are, by a lexicon: fast enough for every text.

``vader``: the 7,500 words of VADER with strengths (Hutto and Gilbert, ICWSM 2014). ``opinion``:
the 6,800 words of Hu and Liu (KDD 2004), all of strength 1. VADER's own scorer looks at every word
several times and saturates on long texts; here strengths are added up and divided by their sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from pipelines.augment.text import corpora
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.tokenize import ends_clause, tokenize
from schemas.canonical import sha256
from schemas.errors import InputError, unknown_name

LEXICONS = ("vader", "opinion")
NEGATED = -0.74
"""What a negation makes of a word's strength (VADER's figure)."""
_REACH = 3
"""How many words before a word a negation reaches it from (VADER's figure)."""

_VADER_LINE = re.compile(r"^([a-z'-]+)\t(-?\d+\.?\d*)\t", re.MULTILINE)
_OPINION_LINE = re.compile(r"^([a-z'-]+)\s*$", re.MULTILINE)

Lexicon = Mapping[str, float]


@lru_cache(maxsize=len(LEXICONS))
def lexicon(name: str) -> tuple[Lexicon, str]:
    """Return word -> strength (positive or negative) and the SHA-256 of its files.

    Raises:
        InputError: The lexicon is unknown or not installed.
    """
    if name not in LEXICONS:
        raise InputError(unknown_name("lexicon", name, LEXICONS), path=("lexicon",))
    place = {"vader": "sentiment/vader_lexicon", "opinion": "corpora/opinion_lexicon"}[name]
    folder_in_zip = f"{place}.zip/{place.split('/')[1]}/"
    need = f"the sentiment guard needs NLTK's {place.split('/')[1]}"
    folder = corpora.installed((place, folder_in_zip), need=need)
    if name == "vader":
        data = corpora.read(folder, "vader_lexicon.txt")
        pairs = _VADER_LINE.findall(data.decode("utf-8"))
        words = {word: float(strength) for word, strength in pairs}
    else:
        halves = [corpora.read(folder, f"{half}-words.txt") for half in ("negative", "positive")]
        data = b"".join(halves)
        words = {
            word: sign
            for sign, half in zip((-1.0, 1.0), halves, strict=True)
            for word in _OPINION_LINE.findall(half.decode("latin-1"))
        }
    table = {word: strength for word, strength in words.items() if not is_negation(word)}
    return table, sha256(data)


def polarity(text: str, words: Lexicon) -> float:
    """Return how much of the strength of a text's words is positive: -1 (none) to 1 (all).

    A negation up to three words before a word in the same clause turns it round. 0 if the text
    has no word of the lexicon.
    """
    tokens = tokenize(text.lower())
    positive = negative = 0.0
    for place, word in enumerate(tokens[1::2]):
        strength = words.get(word)
        if strength is None:
            continue
        if _is_negated(tokens, 2 * place + 1):
            strength *= NEGATED
        if strength > 0:
            positive += strength
        else:
            negative -= strength
    total = positive + negative
    return (positive - negative) / total if total else 0.0


def _is_negated(tokens: list[str], index: int) -> bool:
    for earlier in range(index - 2, max(index - 2 * _REACH, 1) - 1, -2):
        if ends_clause(tokens[earlier + 1]):
            return False
        if is_negation(tokens[earlier]):
            return True
    return False
