from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nltk.data
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.policy import parse_policy
from pipelines.augment.text import polarity
from pipelines.augment.text.polarity import lexicon
from schemas.errors import InputError
from tests.augment.text.conftest import RELAXED

SLOTS = [{"op": "random_delete", "rate": 0.5}]
GUARD = {"positive": 1, "negative": 0, "margin": 0.3}
TEXTS = ["it was good and fine but a bit bad and dull"] * 40
KEYS = [f"k{i}" for i in range(40)]


@pytest.fixture(scope="module", autouse=True)
def small_lexicons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make two lexicons of five words the only ones that NLTK finds."""
    data = tmp_path_factory.mktemp("nltk_data")
    (data / "sentiment" / "vader_lexicon").mkdir(parents=True)
    (data / "corpora" / "opinion_lexicon").mkdir(parents=True)
    vader = "good\t1.9\t0.9\t[2]\nbad\t-2.5\t0.6\t[-2]\nno\t-1.2\t0.7\t[-1]\n:)\t2.0\t1.1\t[2]\n"
    (data / "sentiment/vader_lexicon/vader_lexicon.txt").write_text(vader)
    (data / "corpora/opinion_lexicon/positive-words.txt").write_text("; by\n\ngood\nfine\n")
    (data / "corpora/opinion_lexicon/negative-words.txt").write_bytes(b"; b\xe9\n\nbad\ndull\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(data)])
        lexicon.cache_clear()
        yield data
    lexicon.cache_clear()


def policy_with(**changes):
    return parse_policy({"slots": SLOTS, "guard": GUARD | changes}, "text")


def test_lexicons_are_read() -> None:
    assert lexicon("vader")[0] == {"good": 1.9, "bad": -2.5}
    assert lexicon("opinion")[0] == {"good": 1, "fine": 1, "bad": -1, "dull": -1}
    assert lexicon("vader")[1] != lexicon("opinion")[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("good", 1.0),
        ("Good, GOOD and bad", 1 / 3),
        ("not good", -1.0),
        ("not at all good, good", (1 - 0.74) / 1.74),
        ("no. good", 1.0),
        ("not a film that is good", 1.0),
        ("nothing of note", 0.0),
        ("", 0.0),
    ],
)
def test_polarity(text: str, expected: float) -> None:
    assert polarity.polarity(text, lexicon("opinion")[0]) == pytest.approx(expected)


def scores(texts: list[str]) -> np.ndarray:
    return np.array([polarity.polarity(text, lexicon("opinion")[0]) for text in texts])


@pytest.mark.parametrize("label", [0, 1])
def test_no_text_moves_against_its_label(label: int) -> None:
    plain = parse_policy({"slots": SLOTS}, "text")
    free, _ = plain.apply(TEXTS, KEYS, seed=1, copy=1)
    made, trace = policy_with().apply(TEXTS, KEYS, seed=1, copy=1, labels=[label] * 40)
    sign = 1 if label else -1
    wrong = sign * scores(free) < -0.3
    assert 5 < wrong.sum() < 25
    assert (sign * scores(made) >= -0.3).all()
    redrawn = trace["guard.redraws"] > 0
    assert redrawn.tolist() == wrong.tolist()
    assert [made[i] for i in np.flatnonzero(~wrong)] == [free[i] for i in np.flatnonzero(~wrong)]
    assert trace["guard.kept_original"].sum() < wrong.sum()


def test_without_redraws_the_original_is_kept_and_counted() -> None:
    policy = policy_with(redraws=0)
    made, trace = policy.apply(TEXTS, KEYS, seed=1, copy=1, labels=[1] * 40)
    kept = trace["guard.kept_original"] == 1
    assert 5 < kept.sum() < 25
    for row in np.flatnonzero(kept):
        assert made[row] == TEXTS[row]
        assert trace["slot0.op"][row] == ""
        assert trace["slot0.random_delete.edits"].mask[row]
    assert trace["guard.redraws"].tolist() == [0] * 40


def test_other_labels_are_not_guarded() -> None:
    _, trace = policy_with().apply(TEXTS, KEYS, seed=1, copy=1, labels=[2] * 40)
    assert trace["guard.redraws"].sum() == 0


@RELAXED
@given(st.permutations(range(12)), st.integers(0, 12))
def test_rows_depend_on_their_own_key_alone(order: list[int], cut: int) -> None:
    policy, labels = policy_with(redraws=1), [i % 2 for i in range(12)]
    whole, trace = policy.apply(TEXTS[:12], KEYS[:12], seed=1, copy=1, labels=labels)
    for part in (order[:cut], order[cut:]):
        made, of_part = policy.apply(
            [TEXTS[i] for i in part],
            [KEYS[i] for i in part],
            seed=1,
            copy=1,
            labels=[labels[i] for i in part],
        )
        assert made == [whole[i] for i in part]
        for column, values in of_part.items():
            assert values.tolist() == [trace[column].tolist()[i] for i in part]


def test_a_guard_is_part_of_the_identity_and_survives_json() -> None:
    plain, policy = parse_policy({"slots": SLOTS}, "text"), policy_with()
    assert "guard" not in plain.to_json()
    assert parse_policy(policy.to_json(), "text").to_json() == policy.to_json()
    assert policy.resources() == {"lexicon opinion": lexicon("opinion")[1]}
    assert policy.needs() == plain.needs() | {"labels"}
    assert set(policy.trace_schema()) >= {"guard.redraws", "guard.kept_original"}
    _, trace = policy.apply(TEXTS[:2], KEYS[:2], seed=1, copy=0, labels=[0, 1])
    assert trace["guard.redraws"].mask.all()
    with pytest.raises(InputError, match="needs the label of each row"):
        policy.apply(TEXTS, KEYS, seed=1, copy=1)


@pytest.mark.parametrize(
    ("guard", "message", "path"),
    [
        (3, "must be a mapping", ("guard",)),
        ({"negative": 0}, "needs the class index of the positive label", ("guard",)),
        (GUARD | {"margins": 1}, "Did you mean 'margin'", ("guard", "margins")),
        (GUARD | {"margin": -1}, r"in \[0, 2\], got -1", ("guard", "margin")),
        (GUARD | {"positive": "pos"}, "integer from 0, got 'pos'", ("guard", "positive")),
        (GUARD | {"positive": 0}, "must differ", ("guard", "positive")),
        (GUARD | {"lexicon": "wader"}, "Did you mean 'vader'", ("guard", "lexicon")),
    ],
)
def test_bad_guards_are_refused(guard: object, message: str, path: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_policy({"slots": SLOTS, "guard": guard}, "text")
    assert caught.value.path == path
    with pytest.raises(InputError, match="for text data only"):
        parse_policy({"preset": "none", "guard": GUARD}, "image")


def test_a_missing_lexicon_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    lexicon.cache_clear()
    with pytest.raises(InputError, match=r"needs NLTK's opinion_lexicon.*make corpora"):
        policy_with().resources()
    monkeypatch.undo()
    lexicon.cache_clear()
