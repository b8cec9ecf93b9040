from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.text.tokenize import (
    ends_clause,
    is_compound,
    join,
    starts_sentence,
    tokenize,
    words,
)
from tests.augment.text.conftest import RELAXED

REVIEW_LIKE = st.lists(
    st.sampled_from(
        [
            "not",
            "don't",
            "film",
            "<br />",
            "</i>",
            "&amp;",
            " ",
            "'",
            "’",
            "-",
            ". ",
            "é",
            "_",
            "9/10",
        ]
    )
).map("".join)


def test_words_stand_at_odd_positions_and_separators_at_even_ones() -> None:
    assert tokenize("A film, twice.") == ["", "A", " ", "film", ", ", "twice", "."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("...", []),
        ("I don't. We’ll", ["I", "don't", "We’ll"]),
        ("'quoted' rock'n'roll", ["quoted", "rock'n'roll"]),
        ("one<br /><br />two<BR>three", ["one", "two", "three"]),
        ("<i>so</i> &quot;good&quot;", ["so", "good"]),
        ("well-made, 9/10", ["well", "made", "9", "10"]),
        ("cliché Пример", ["cliché", "Пример"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(tokenize(text)) == expected


@RELAXED
@given(st.text() | REVIEW_LIKE)
def test_joining_gives_the_text_back(text: str) -> None:
    tokens = tokenize(text)
    assert join(tokens) == text
    assert len(tokens) % 2 == 1
    assert all(words(tokens))


def test_clause_and_sentence_boundaries() -> None:
    assert [ends_clause(s) for s in (" ", ", ", ". ", "! ", " (", "<br />", "\n", "-")] == [
        False, False, True, True, True, True, True, False,
    ]  # fmt: skip
    assert starts_sentence("")
    assert not starts_sentence(", ")


def test_hyphens_tie_words() -> None:
    tokens = tokenize("a well-made film - twice")
    assert [is_compound(tokens, index) for index in (1, 3, 5, 7, 9)] == [
        False, True, True, False, False,
    ]  # fmt: skip
