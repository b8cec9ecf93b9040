from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.sentences import (
    join_sentences,
    sentence_drop,
    sentence_shuffle,
    split_sentences,
)
from pipelines.augment.text.tokenize import join, tokenize, words
from tests.augment.text.conftest import RELAXED

PARTS = st.lists(
    st.sampled_from(
        ["Mr. ", "Film", " not", "e.g. ", ". ", ".", "! ", '."', ' "', "<br /><br />", "\n", "a"]
        + ["(", ")", " ", "I. ", "?) ", "... ", "9", "É", ", "]
    )
).map("".join)


def texts_of(text: str) -> list[str]:
    _, found = split_sentences(tokenize(text))
    return [one.opening + join(list(one.body)) + one.end for one in found]


def run(op, text: str, *, rate: float = 1.0, seed: int = 0) -> tuple[str, int]:
    (tokens,), edits = op([tokenize(text)], rate=np.array([rate]), seed=np.array([seed]))
    return join(tokens), int(edits[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "No." Then (he) left.', ['He said "No."', "Then (he) left."]),
        ('So. "Quoted," he said.', ["So.", '"Quoted," he said.']),
        ("Mr. Smith met J. Doe etc. in May.", ["Mr. Smith met J. Doe etc. in May."]),
        ("Pros<br /><br />Cons... Well", ["Pros", "Cons...", "Well"]),
        ("A 7.5 film, e.g. this. 10 of 10", ["A 7.5 film, e.g. this.", "10 of 10"]),
        ("It was I. Yes.", ["It was I.", "Yes."]),
        ("no.space", ["no.space"]),
        ("", []),
        ("...", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert texts_of(text) == expected


@RELAXED
@given(PARTS)
def test_nothing_is_lost(text: str) -> None:
    tokens = tokenize(text)
    gaps, found = split_sentences(tokens)
    assert len(gaps) == len(found) + 1
    assert join_sentences(gaps, found) == tokens


def test_shuffling_leaves_the_ends_and_the_gaps() -> None:
    text = "First. Aa.<br />Bb! Cc? Dangling<br />Dd.  Last"
    made = {run(sentence_shuffle, text, seed=seed)[0] for seed in range(60)}
    for one in made:
        assert one.startswith("First. ")
        assert one.endswith("  Last")
        assert " Dangling<br />" in one
        assert sorted(texts_of(one)) == sorted(texts_of(text))
        assert split_sentences(tokenize(one))[0] == split_sentences(tokenize(text))[0]
    assert len(made) > 12


def test_dropping_spares_the_ends_and_negations() -> None:
    text = "First.<br /><br />Gone. Not this. This (too goes. Gone.) Gone.<br />Last."
    made, edits = run(sentence_drop, text)
    assert made == "First.<br /><br />Not this. This (too goes. Gone.)<br />Last."
    assert edits == 2
    assert run(sentence_drop, "One. Two.") == ("One. Two.", 0)


@RELAXED
@given(PARTS, st.integers(0, 2**32), st.sampled_from([0.3, 1.0]))
def test_words_and_negations_stay(text: str, seed: int, rate: float) -> None:
    shuffled, _ = run(sentence_shuffle, text, seed=seed, rate=rate)
    assert sorted(words(tokenize(shuffled))) == sorted(words(tokenize(text)))
    assert len(shuffled) == len(text)
    dropped, _ = run(sentence_drop, text, seed=seed, rate=rate)
    negations = [word for word in words(tokenize(text)) if is_negation(word)]
    assert [word for word in words(tokenize(dropped)) if is_negation(word)] == negations


def test_rates() -> None:
    rows = 400
    documents = [tokenize("Aa. Bb. Cc. Dd. Ee. Ff. Gg. Hh. Jj. Kk. Ll. Mm.")] * rows
    _, edits = sentence_drop(documents, rate=np.full(rows, 0.3), seed=np.arange(rows))
    assert edits.mean() == pytest.approx(3.0, abs=5 * (10 * 0.3 * 0.7 / rows) ** 0.5)
    _, none = sentence_shuffle(documents, rate=np.zeros(rows), seed=np.arange(rows))
    assert none.sum() == 0
