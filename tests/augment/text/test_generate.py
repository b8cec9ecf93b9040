from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.context import Context
from pipelines.augment.policy import parse_policy
from pipelines.augment.text import ngrams
from pipelines.augment.text.generate import generate_sentence
from pipelines.augment.text.ngrams import ClassModels, units_of
from pipelines.augment.text.sentences import split_sentences
from pipelines.augment.text.tokenize import join, tokenize
from schemas.errors import InputError
from tests.augment.text.conftest import RELAXED

GOOD = ["I loved this film very much. The story was good, and the end was good.", "I loved it all."]
BAD = ["I hated this film so much! The story was dull, and the end was dull."]
TEXTS, LABELS = GOOD + BAD, [1, 1, 0]
COUNTS = ngrams.count(TEXTS, LABELS)
MODELS = ClassModels.of(COUNTS)


def first_units(text: str) -> ngrams.Units | None:
    return units_of(split_sentences(tokenize(text))[1][0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good, and well-made film!", ("Good", ", and", "well", "-made", "film", "!")),
        ("I met Tom Hanks there.", None),
        ('He said "so" to me.', None),
        ("too short a start.", None),
        ("Too short.", None),
        ("It has no end at all", None),
        ("It ends in a smile :)", None),
    ],
)
def test_what_is_learned_from(text: str, expected: ngrams.Units | None) -> None:
    assert first_units(text) == expected


@RELAXED
@given(st.permutations(range(3)), st.integers(0, 3))
def test_slices_merge_to_the_same_bytes(order: list[int], cut: int) -> None:
    parts = [
        ngrams.count([TEXTS[i] for i in some], [LABELS[i] for i in some])
        for some in (order[:cut], order[cut:])
    ]
    assert ngrams.to_bytes(ngrams.merge(parts)) == ngrams.to_bytes(COUNTS)
    assert ngrams.from_bytes(ngrams.to_bytes(COUNTS)) == COUNTS


def test_the_sample_is_bounded_and_still_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "SAMPLE", 10)
    texts = [f"The film number {i} was seen." for i in range(60)]
    whole = ngrams.count(texts, [0] * 60)
    parts = [ngrams.count(texts[i::7], [0] * len(texts[i::7])) for i in range(7)]
    assert len(whole.sentences[0]) == 10
    assert ngrams.merge(parts) == whole


def test_bytes_that_are_no_counts_are_refused() -> None:
    with pytest.raises(InputError, match="line 2 of the n-gram counts"):
        ngrams.from_bytes(b'[0, "A", "."]\n{}\n')


@RELAXED
@given(st.lists(st.integers(0, 2**32 - 1), min_size=200, max_size=200), st.sampled_from([0, 1]))
def test_sentences_follow_their_class(numbers: list[int], label: int) -> None:
    made = MODELS.sample(label, numbers, shortest=4, longest=8)
    if made is not None:
        text = join(made)
        assert not {"hated", "dull"} & set(made) if label else not {"loved", "good"} & set(made)
        assert 4 <= len(tokenize(text)) // 2 <= 8
        assert text[0].isupper()
        assert text[-1] in ".!"


def test_numbers_follow_the_counts() -> None:
    counts = ngrams.count(["It was a one. It was a two. It was a three."], [0])
    models = ClassModels.of(counts)
    rng = np.random.default_rng(0)
    ends = [
        models.sample(0, rng.integers(0, 2**32, 5).tolist(), shortest=1, longest=9)[-2]
        for _ in range(3000)
    ]
    assert [ends.count(w) / 3000 for w in ("one", "two", "three")] == pytest.approx(
        [1 / 3] * 3, abs=0.04
    )


def added(text: str, *, place: str, label: int = 1, seed: int = 0) -> str:
    (tokens,), edits = generate_sentence(
        [tokenize(text)],
        count=np.ones(1, int),
        seed=np.array([seed]),
        place=place,
        min_words=1,
        max_words=20,
        labels=np.array([label]),
        ngrams=MODELS,
    )
    assert edits[0] == (join(tokens) != text)
    return join(tokens)


def test_where_the_sentence_goes() -> None:
    text = "One. Two!<br />Three. Dangling"
    assert {added(text, place="append", seed=s).startswith(text[:-9]) for s in range(9)} == {True}
    made = [added(text, place="insert", seed=s) for s in range(30)]
    assert {"One. Two!" in one for one in made} == {True, False}
    assert all(one.endswith(" Dangling") for one in made)
    assert added("no end", place="append") == "no end"
    assert added("One.", place="append", label=7) == "One."


def test_a_policy_asks_for_what_it_needs() -> None:
    policy = parse_policy({"slots": ["generate_sentence"]}, "text")
    assert policy.needs() == {"labels", "ngrams"}
    with pytest.raises(InputError, match="needs the label of each row"):
        policy.apply(["A."], ["k"], seed=1, copy=1)
    with pytest.raises(InputError, match="needs the language models"):
        policy.apply(["A."], ["k"], seed=1, copy=1, labels=[0])
    context = Context(ngrams=MODELS)
    made, _ = policy.apply(["Abc."], ["k"], seed=1, copy=1, labels=[0], context=context)
    assert made[0].startswith("Abc. ")
