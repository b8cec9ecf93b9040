"""The tokenisation rule, and that RE2 (the serving graph) follows it to the byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import text as rule
from schemas.text import standardize, tokens

# All kinds of characters, with many of those that the rule treats specially.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("<>brBR/ '.,-\t\n\x00\x7fAZaz09[`{~@éÉß—’İſK"),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n ", []),
        ("Don't MISS it!", ["don't", "miss", "it"]),
        ("good<br />bad<BR>ugly<br/>x", ["good", "bad", "ugly", "x"]),
        ("a<br  />b <brr> c", ["a", "br", "b", "brr", "c"]),
        ("8/10; 3.5-star", ["8", "10", "3", "5", "star"]),
        ("Café ÉCLAIR", ["café", "Éclair"]),
        ("one—two…three", ["one—two…three"]),
        ("'quoted' ''", ["'quoted'", "''"]),
        ("a\x00b\x7fc", ["a", "b", "c"]),
        ("@[`{~^_", []),
    ],
)
def test_tokens_by_hand(text, expected):
    assert tokens(text) == expected


@given(TEXTS)
def test_standard_form_is_a_fixed_point(text):
    once = standardize(text)
    assert standardize(once) == once


@given(TEXTS)
def test_no_separator_is_left_in_a_token(text):
    kept = set("abcdefghijklmnopqrstuvwxyz0123456789'")
    for token in tokens(text):
        assert token
        assert all(ord(character) > 127 or character in kept for character in token)


@given(TEXTS, TEXTS)
def test_a_space_joins_tokens_of_both_sides(left, right):
    assert tokens(f"{left} {right}") == tokens(left) + tokens(right) or "<" in left


def test_tensorflow_computes_the_same_tokens():
    tf = pytest.importorskip("tensorflow")

    @settings(max_examples=200, deadline=None)
    @given(st.lists(TEXTS, min_size=1, max_size=8))
    def check(texts):
        standard = tf.strings.lower(
            tf.strings.regex_replace(
                tf.constant([t.encode() for t in texts]), rule.BREAK_PATTERN, " "
            )
        )
        standard = tf.strings.strip(tf.strings.regex_replace(standard, rule.SEPARATOR_PATTERN, " "))
        split = tf.strings.split(standard, " ").to_list()
        ours = [[token.encode() for token in tokens(text)] for text in texts]
        assert [[t for t in row if t] for row in split] == ours

    check()
