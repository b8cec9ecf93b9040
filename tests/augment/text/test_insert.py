from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.text.insert import is_open_gap, random_insert
from pipelines.augment.text.tokenize import join, tokenize, words
from tests.augment.text.conftest import RELAXED

pytestmark = pytest.mark.usefixtures("tiny_wordnet")

TEXT = "we watched that movie yesterday, and not one awful story was told that day"


def inserted(text: str, *, seed: int = 0, rate: float = 1.0) -> tuple[str, int]:
    (tokens,), edits = random_insert(
        [tokenize(text)], rate=np.array([rate]), seed=np.array([seed]), strictness="strict"
    )
    return join(tokens), int(edits[0])


def test_synonyms_are_inserted() -> None:
    made, edits = inserted(TEXT)
    extra = Counter(words(tokenize(made))) - Counter(words(tokenize(TEXT)))
    assert extra == Counter(["film"])  # "awful" and "story" stand in a negation's scope
    assert edits == 1
    assert len({inserted(TEXT, seed=s)[0] for s in range(20)}) > 5
    assert inserted(TEXT, rate=0.0) == (TEXT, 0)


@RELAXED
@given(st.integers(0, 2**32))
def test_what_was_there_stays_in_order(seed: int) -> None:
    made = words(tokenize(inserted(TEXT, seed=seed)[0]))
    rest = iter(made)
    assert all(word in rest for word in words(tokenize(TEXT)))
    assert "and not one awful story was told" in " ".join(made)


def test_open_gaps() -> None:
    tokens = tokenize("we saw the film; it was not bad, a love story")
    gaps = [tokens[i] for i in range(3, len(tokens), 2) if is_open_gap(tokens, i)]
    assert gaps == ["saw", "the"]


def test_a_text_without_room_stays() -> None:
    assert inserted("movie") == ("movie", 0)
    assert inserted("") == ("", 0)
