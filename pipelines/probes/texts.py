"""Families of text corruptions: slips of the keyboard, letter case, other names, other words.

After Belinkov and Bisk, "Synthetic and natural noise both break neural machine translation" (ICLR
2018), for misspellings, and Ribeiro et al., "Beyond accuracy: behavioral testing of NLP models with
CheckList" (ACL 2020), for the tests that leave the label as it is. Negations stay, and so does what
they refer to; only letter case may change everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed
from pipelines.augment.text.backtranslate import RoundTrip, engine_digest, round_trips
from pipelines.augment.text.confuse import confuse_words
from pipelines.augment.text.names import entity_swap
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.sentences import Sentence, join_sentences
from pipelines.augment.text.tokenize import Tokens, join, starts_sentence, tokenize
from pipelines.probes.family import Family, check_severity
from schemas.errors import InputError

ENGINE: Mapping[str, Any] = {"engine": "apertium", "forward": "eng-spa", "backward": "spa-eng"}

TYPO_RATES = (0.03, 0.06, 0.12, 0.25, 0.5)
NAME_RATES = (0.2, 0.4, 0.6, 0.8, 1.0)
SENTENCE_RATES = (0.2, 0.4, 0.6, 0.8, 1.0)
CAPITAL_RATES = (0.0, 0.0, 0.25, 0.5, 1.0)

_PLAIN = frozenset(("not", "no", "cannot"))


def typos(texts: Sequence[str], severity: int, draws: Draws) -> list[str]:
    """Spoil words by slips of the keyboard and misspellings.

    3, 6, 12, 25 or 50 % of the words are drawn. About half of them stay: words of less than four
    letters, names, negations and what they refer to.
    """
    rate = np.full(len(texts), TYPO_RATES[_index(severity)])
    documents, _ = confuse_words(
        [tokenize(text) for text in texts],
        rate=rate,
        seed=_seeds(draws),
        file="",
        keyboard=1.0,
        misspellings=1.0,
    )
    return [join(tokens) for tokens in documents]


def casing(texts: Sequence[str], severity: int, draws: Draws) -> list[str]:
    """Change the case of letters, from lost capitals to capitals alone.

    By severity: sentences begin in lower case; no capitals; a quarter of the words in capitals; a
    half of the letters; all. A letter stays whose other case is not one letter that leads back
    ("ß", "İ").
    """
    rate = CAPITAL_RATES[_index(severity)]
    documents = [tokenize(text) for text in texts]
    if severity == 1:
        documents = [_without_first_capitals(tokens) for tokens in documents]
    elif severity in (2, 5):
        change = _lower if severity == 2 else _upper
        documents = [_changed(tokens, change) for tokens in documents]
    elif severity == 3:
        chosen = _chosen(draws.stream("words"), [len(one) // 2 for one in documents], rate)
        documents = [_some_upper(*pair) for pair in zip(documents, chosen, strict=True)]
    else:
        chosen = _chosen(draws.stream("letters"), [len(text) for text in texts], rate)
        documents = [_some_letters(*pair) for pair in zip(documents, chosen, strict=True)]
    return [join(tokens) for tokens in documents]


def swapped_entities(texts: Sequence[str], severity: int, draws: Draws) -> list[str]:
    """Exchange 20, 40, 60, 80 or 100 % of the people and cities that a text names."""
    rate = np.full(len(texts), NAME_RATES[_index(severity)])
    documents, _ = entity_swap([tokenize(text) for text in texts], rate=rate, seed=_seeds(draws))
    return [join(tokens) for tokens in documents]


def paraphrase(texts: Sequence[str], severity: int, draws: Draws) -> list[str]:
    """Replace 20, 40, 60, 80 or 100 % of the sentences by their translation there and back.

    A second round trip changes next to nothing more, so severity is how many sentences are drawn. A
    sentence stays that would lose a name, or exchange a negation for another or for none; "not" may
    come back as "no" or "n't".

    Raises:
        InputError: The engine is not installed.
    """
    rate = SENTENCE_RATES[_index(severity)]
    documents = [tokenize(text) for text in texts]
    rows = [row for row, tokens in enumerate(documents) if len(tokens) > 1]
    trips = round_trips([documents[row] for row in rows], **ENGINE)
    of_rows = draws.take(np.array(rows, np.intp)).stream("sentences")
    chosen = _chosen(of_rows, [len(trip.before) for trip in trips], rate)
    for row, trip, picks in zip(rows, trips, chosen, strict=True):
        documents[row] = join_sentences(trip.gaps, _translated(trip, picks))
    return [join(tokens) for tokens in documents]


def resources(families: Sequence[str]) -> dict[str, str]:
    """Return the digest of each installed program that these families depend on.

    Raises:
        InputError: One is missing; the message says how to get it.
    """
    if "paraphrase" not in families:
        return {}
    try:
        return engine_digest(**ENGINE)
    except InputError as error:
        raise InputError(
            f"the family paraphrase translates there and back: {error.message}, or leave "
            "paraphrase out of families",
            path=("families", list(families).index("paraphrase")),
        ) from error


TEXT_FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family(
                name="typos",
                summary="3 to 50 % of the words drawn, and mistyped or misspelt.",
                ops=("confuse_words",),
                corrupt=typos,
            ),
            Family(
                name="casing",
                summary="Capitals lost at first, then ever more of the letters in capitals.",
                ops=(),
                corrupt=casing,
            ),
            Family(
                name="entity_swap",
                summary="20 to 100 % of the people and cities exchanged for others.",
                ops=("entity_swap",),
                corrupt=swapped_entities,
            ),
            Family(
                name="paraphrase",
                summary="20 to 100 % of the sentences translated into Spanish and back.",
                ops=("back_translate", "synonym_replace"),
                corrupt=paraphrase,
            ),
        )
    }
)


def _index(severity: int) -> int:
    check_severity(severity)
    return severity - 1


def _seeds(draws: Draws) -> NDArray[np.int64]:
    return Seed().sample(draws.stream("seed"), 1.0)


def _chosen(draws: Draws, counts: Sequence[int], rate: float) -> list[list[bool]]:
    """Return for each row which of its ``counts[i]`` parts are drawn at ``rate``."""
    hits = draws.ragged_uniform(counts) < rate
    return [part.tolist() for part in np.split(hits, np.cumsum(counts)[:-1])] if counts else []


def _translated(trip: RoundTrip, chosen: Sequence[bool]) -> list[Sentence]:
    parts = zip(trip.before, trip.after, chosen, strict=True)
    return [
        new if new is not None and drawn and _denied(new) == _denied(old) else old
        for old, new, drawn in parts
    ]


def _denied(sentence: Sentence) -> Counter[str]:
    """Return the negations of a sentence, those of verb and noun as one."""
    words = [word.lower() for word in sentence.body[::2] if is_negation(word)]
    return Counter(
        "not" if word in _PLAIN or "n't" in word or "n’t" in word else word for word in words
    )


def _without_first_capitals(tokens: Tokens) -> Tokens:
    result = list(tokens)
    for index in range(1, len(tokens), 2):
        if starts_sentence(tokens[index - 1]):
            result[index] = _lower(tokens[index][0]) + tokens[index][1:]
    return result


def _changed(tokens: Tokens, change: Callable[[str], str]) -> Tokens:
    return [change(one) if index % 2 else one for index, one in enumerate(tokens)]


def _some_upper(tokens: Tokens, chosen: Sequence[bool]) -> Tokens:
    return [
        _upper(one) if index % 2 and chosen[index // 2] else one for index, one in enumerate(tokens)
    ]


def _some_letters(tokens: Tokens, chosen: Sequence[bool]) -> Tokens:
    """Put the drawn letters of the words in capitals; ``chosen`` is by place in the text."""
    result, start = [], 0
    for index, one in enumerate(tokens):
        if index % 2:
            capitals, plain = _upper(one), one
            drawn = chosen[start : start + len(one)]
            parts = zip(capitals, plain, drawn, strict=True)
            result.append("".join(high if up else low for high, low, up in parts))
        else:
            result.append(one)
        start += len(one)
    return result


def _upper(word: str) -> str:
    if word.isascii():
        return word.upper()
    return "".join(map(_upper_letter, word))


def _lower(word: str) -> str:
    if word.isascii():
        return word.lower()
    return "".join(map(_lower_letter, word))


def _upper_letter(letter: str) -> str:
    other = letter.upper()
    return other if len(other) == 1 and other.lower() == letter.lower() else letter


def _lower_letter(letter: str) -> str:
    other = letter.lower()
    return other if len(other) == 1 else letter
