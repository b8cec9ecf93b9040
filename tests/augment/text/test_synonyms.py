from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.policy import parse_policy
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.synonyms import replaced, synonym_replace, wordnet_digest
from pipelines.augment.text.tokenize import join, tokenize, words
from pipelines.augment.text.wordnet import WordNet
from schemas.errors import InputError
from tests.augment.text.conftest import RELAXED

pytestmark = pytest.mark.usefixtures("tiny_wordnet")

TABLE = {
    "actor": ("performer",),
    "film": ("movie",),
    "movie": ("film",),
    "really": ("truly",),
    "story": ("narrative", "tale"),
    "awful": ("dreadful", "terrible"),
}


def replace_all(text: str, strictness: str = "strict") -> tuple[str, int]:
    """Replace every eligible word."""
    rate, seed = np.ones(1), np.zeros(1, dtype=np.int64)
    (tokens,), edits = synonym_replace(
        [tokenize(text)], rate=rate, seed=seed, strictness=strictness
    )
    return join(tokens), int(edits[0])


@pytest.mark.parametrize(
    ("text", "expected", "edits"),
    [
        ("The movie: I liked the films.", "The film: I liked the movies.", 2),
        ("Movie of the year!<br />Film.", "Film of the year!<br />Movie.", 2),
        ("BEST MOVIE EVER", "BEST FILM EVER", 1),
        ("I really like that Film", "I truly like that Film", 1),
        ("it was not really that movie", "it was not really that movie", 0),
        ("A movie-goer's movie", "A movie-goer's film", 1),
        ("a love story", "a love story", 0),
        ("Scary Movie", "Scary Movie", 0),
        ("an actor", "an actor", 0),
        ("the actor", "the performer", 1),
        ("never hardly almost", "never hardly almost", 0),
        ("", "", 0),
        ("<br /><br />", "<br /><br />", 0),
    ],
)
def test_replacements(text: str, expected: str, edits: int) -> None:
    assert replace_all(text) == (expected, edits)


def test_strictness_is_a_setting() -> None:
    assert replace_all("the sketch at the bank") == ("the sketch at the bank", 0)
    assert replace_all("the sketch at the bank", "medium") == ("the skit at the bank", 1)
    assert replace_all("the sketch at the bank", "loose") == ("the skit at the depository", 2)


@pytest.mark.parametrize(("pick", "expected"), [(0, "narrative"), (2**31, "tale")])
def test_the_number_picks_the_synonym(pick: int, expected: str) -> None:
    tokens = tokenize("the story")
    word = replaced(tokens, 3, pick=pick, table=TABLE, collocations=frozenset())
    assert word == expected
    assert tokens == tokenize("the story")


def test_an_article_restricts_the_synonyms() -> None:
    options = {"awful": ("bad", "execrable"), "hour": ("hour", "unit", "usual")}
    for text, expected in (("an awful", "execrable"), ("a awful", "bad"), ("an hour", "hour")):
        tokens = tokenize(text)
        for pick in (0, 2**32 - 1):
            assert (
                replaced(tokens, 3, pick=pick, table=options, collocations=frozenset()) == expected
            )


def test_a_share_of_the_eligible_words_is_replaced() -> None:
    rows = 400
    documents = [tokenize("movie " * 10)] * rows
    _, edits = synonym_replace(
        documents, rate=np.full(rows, 0.25), seed=np.arange(rows), strictness="strict"
    )
    assert edits.mean() == pytest.approx(2.5, abs=5 * (10 * 0.25 * 0.75 / rows) ** 0.5)
    assert len(set(edits.tolist())) > 3


@RELAXED
@given(
    st.lists(
        st.sampled_from(
            ["movie", "Film", "not", "don’t", "really", "a", "an", "actor", "NEVER", "x"]
        )
    ),
    st.sampled_from([" ", ", ", ". ", "<br />", "-"]),
)
def test_negations_and_everything_between_words_stay(parts: list[str], separator: str) -> None:
    text = separator.join(parts)
    made, edits = replace_all(text)
    before, after = tokenize(text), tokenize(made)
    assert after[::2] == before[::2]
    assert [w for w in words(after) if is_negation(w)] == [w for w in parts if is_negation(w)]
    assert edits == sum(one != other for one, other in zip(before, after, strict=True))
    assert [w.isupper() for w in words(after)] == [w.isupper() for w in parts]


def test_the_wordnet_in_use_is_part_of_a_policys_identity(tiny_wordnet: WordNet) -> None:
    policy = parse_policy({"preset": "synonyms"}, "text")
    assert wordnet_digest() == {"wordnet": tiny_wordnet.digest}
    assert policy.resources() == {"wordnet": tiny_wordnet.digest}


def test_a_policy_traces_how_much_it_edited() -> None:
    policy = parse_policy({"preset": "synonyms", "replace": 1, "swap": 0, "delete": 0}, "text")
    made, trace = policy.apply(["A good movie, really.", "Nothing."], ["a", "b"], seed=1, copy=1)
    assert made == ["A good film, truly.", "Nothing."]
    assert trace["slot0.synonym_replace.edits"].tolist() == [2, 0]
    assert trace["slot1.random_swap.edits"].tolist() == [0, 0]


def test_an_unknown_strictness_is_refused() -> None:
    with pytest.raises(InputError, match="Valid: loose, medium, strict"):
        parse_policy({"preset": "synonyms", "strictness": "strikt"}, "text")
