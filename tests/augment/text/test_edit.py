from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.policy import parse_policy
from pipelines.augment.text.edit import closed_gap, is_movable, random_delete, random_swap
from pipelines.augment.text.negation import is_negation, is_protected
from pipelines.augment.text.tokenize import join, tokenize, words
from tests.augment.text.conftest import RELAXED

TEXTS = st.lists(
    st.tuples(
        st.sampled_from("good film Film not NEVER don't hardly it was well made 9".split()),
        st.sampled_from([" ", " ", " ", ", ", ". ", "! ", "<br /><br />", "-", ' "', '" ']),
    ),
    max_size=30,
).map(lambda parts: "".join(word + separator for word, separator in parts))


def edit_one(op: Callable, text: str, *, rate: float, seed: int = 0) -> tuple[str, int]:
    (tokens,), edits = op([tokenize(text)], rate=np.array([rate]), seed=np.array([seed]))
    return join(tokens), int(edits[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is one fine film.", "It."),
        ("It was good, bad, ugly", "It, bad,"),
    ],
)
def test_deleting_all_that_may_go(text: str, expected: str) -> None:
    assert edit_one(random_delete, text, rate=1.0)[0] == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (" ", " ", " "),
        (" ", ". ", ". "),
        (" ", "", ""),
        ("", " ", ""),
        (", ", " ", ", "),
        (". ", "", "."),
        (". ", ", ", None),
        (' "', '" ', None),
        (" (", " ", None),
        (" ", ") ", None),
    ],
)
def test_the_gap_a_word_leaves(before: str, after: str, expected: str | None) -> None:
    assert closed_gap(before, after) == expected


def test_the_last_word_is_never_deleted() -> None:
    assert edit_one(random_delete, "fine old film", rate=1.0) == ("fine", 2)
    assert edit_one(random_delete, "film", rate=1.0) == ("film", 0)


def test_words_with_capitals_or_digits_stay() -> None:
    text = "Tom Hanks 9/10 WOW"
    assert edit_one(random_delete, text, rate=1.0) == (text, 0)
    assert edit_one(random_swap, text, rate=1.0) == (text, 0)


def test_what_a_negation_refers_to_stays() -> None:
    text = "it was not a very good film at the end"
    assert edit_one(random_delete, text, rate=1.0)[0] == "was not a very good film"


def test_the_two_movable_words_change_places() -> None:
    made = {edit_one(random_swap, "Is good, A film.", rate=0.5, seed=s)[0] for s in range(40)}
    assert made == {"Is good, A film.", "Is film, A good."}


def test_rates() -> None:
    rows = 300
    documents = [tokenize("one two three four five six seven eight nine ten")] * rows
    rate = np.full(rows, 0.2)
    _, deleted = random_delete(documents, rate=rate, seed=np.arange(rows))
    _, swapped = random_swap(documents, rate=rate, seed=np.arange(rows))
    assert deleted.mean() == pytest.approx(2.0, abs=5 * (10 * 0.2 * 0.8 / rows) ** 0.5)
    assert swapped.max() == 2
    assert swapped.mean() == pytest.approx(1.8, abs=5 * (2 * 0.9 * 0.1 / rows) ** 0.5)


def test_a_short_text_gets_one_swap_and_rate_0_none() -> None:
    assert sum(edit_one(random_swap, "one two", rate=0.01, seed=s)[1] for s in range(20)) > 4
    assert edit_one(random_swap, "one two three", rate=0.0) == ("one two three", 0)


@RELAXED
@given(TEXTS, st.integers(0, 2**32), st.sampled_from([0.1, 0.5, 1.0]))
def test_swaps_keep_all_words_separators_and_protected_words(
    text: str, seed: int, rate: float
) -> None:
    before = tokenize(text)
    (after,), _ = random_swap([before], rate=np.array([rate]), seed=np.array([seed]))
    assert before == tokenize(text)
    assert after[::2] == before[::2]
    assert Counter(words(after)) == Counter(words(before))
    for index in range(1, len(before), 2):
        if not is_movable(before, index):
            assert after[index] == before[index]
            assert is_protected(after, index) == is_protected(before, index)
    assert tokenize(join(after)) == after


@RELAXED
@given(TEXTS, st.integers(0, 2**32), st.sampled_from([0.1, 0.5, 1.0]))
def test_deletions_keep_order_protected_words_and_at_least_one_word(
    text: str, seed: int, rate: float
) -> None:
    before = tokenize(text)
    (after,), edits = random_delete([before], rate=np.array([rate]), seed=np.array([seed]))
    assert before == tokenize(text)
    assert len(words(before)) - len(words(after)) == edits[0]
    assert bool(words(after)) == bool(words(before))
    remaining = iter(words(before))
    assert all(word in remaining for word in words(after))
    kept = [before[i] for i in range(1, len(before), 2) if is_protected(before, i)]
    remaining = iter(words(after))
    assert all(word in remaining for word in kept)
    negations = [word for word in words(before) if is_negation(word)]
    assert [word for word in words(after) if is_negation(word)] == negations
    assert tokenize(join(after)) == after


@RELAXED
@given(st.lists(TEXTS, min_size=1, max_size=6), st.data())
def test_rows_depend_on_their_own_key_alone(texts: list[str], data: st.DataObject) -> None:
    slots = [{"op": "random_swap", "rate": 0.3}, {"op": "random_delete", "rate": 0.3}]
    policy = parse_policy({"slots": slots}, "text")
    keys = [f"k{i}" for i in range(len(texts))]
    whole, _ = policy.apply(texts, keys, seed=3, copy=1)
    order = data.draw(st.permutations(range(len(texts))))
    made, _ = policy.apply([texts[i] for i in order], [keys[i] for i in order], seed=3, copy=1)
    assert made == [whole[i] for i in order]
