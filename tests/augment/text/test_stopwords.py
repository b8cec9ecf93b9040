from __future__ import annotations

import numpy as np
import pytest

from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.stopwords import STOP_WORDS, stopword_removal
from pipelines.augment.text.tokenize import join, tokenize


def removed(text: str) -> tuple[str, int]:
    (tokens,), edits = stopword_removal([tokenize(text)], rate=np.ones(1), seed=np.zeros(1, int))
    return join(tokens), int(edits[0])


@pytest.mark.parametrize(
    ("text", "expected", "edits"),
    [
        ("He saw the film with his friends.", "He saw film friends.", 3),
        ("It was not at all a good film.", "It was not at all a good film.", 0),
        ("in the end, it wasn't the best of them", "end, it wasn't the best of them", 2),
        ("a well-to-do man", "well-to-do man", 1),
        ("very good but too long", "very good but too long", 0),
        ("the", "the", 0),
        ("", "", 0),
    ],
)
def test_stop_words_go_but_negations_and_degrees_stay(text: str, expected: str, edits: int) -> None:
    assert removed(text) == (expected, edits)


def test_no_stop_word_can_turn_a_statement_round() -> None:
    words = frozenset().union(*STOP_WORDS.values())
    assert not [word for word in words if is_negation(word)]
    doubtful = "but however although except against if would could might should very too only most"
    assert not words & set(doubtful.split())
    assert sum(map(len, STOP_WORDS.values())) == len(words), "a word stands in two classes"
