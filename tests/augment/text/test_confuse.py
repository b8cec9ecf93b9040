from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.policy import parse_policy
from pipelines.augment.text import confuse
from pipelines.augment.text.confusion_table import MISSPELLINGS
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.tokenize import join, tokenize
from schemas.errors import InputError
from tests.augment.text.conftest import RELAXED

ONLY = dict.fromkeys(("homophones", "misspellings", "keyboard", "scanner"), 0.0)


def confused(text: str, *, seed: int = 0, file: str = "", **weights: float) -> tuple[str, int]:
    (tokens,), edits = confuse.confuse_words(
        [tokenize(text)],
        rate=np.ones(1),
        seed=np.array([seed]),
        file=file,
        **(ONLY | weights),
    )
    return join(tokens), int(edits[0])


def test_each_kind() -> None:
    text = "Definitely a weird movie, their best."
    assert confused(text, homophones=1.0)[0] in (
        "Definitely a weird movie, there best.",
        "Definitely a weird movie, they're best.",
    )
    assert "wierd" in confused(text, misspellings=1.0)[0]
    assert confused(text, keyboard=1.0)[1] == 5
    assert confused(text)[1] == 0


def test_kinds_are_drawn_by_weight() -> None:
    made = [confused("their", seed=s, homophones=3.0, keyboard=1.0)[0] for s in range(800)]
    heard = sum(one in ("there", "they're") for one in made)
    assert heard / 800 == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 800) ** 0.5)
    assert {confused("zzzzz", seed=s, homophones=3.0, keyboard=1.0)[1] for s in range(9)} == {1}


def test_letter_case_is_kept() -> None:
    assert confused("Weird THE WEIRD weird", misspellings=1.0)[0] == "Wierd THE WIERD wierd"


@pytest.mark.parametrize(("letter", "keys"), [("q", "wa"), ("g", "tyfhvb"), ("p", "ol")])
def test_keys_that_touch(letter: str, keys: str) -> None:
    assert set(keys) <= set(confuse.NEIGHBOURS[letter])
    assert not set("mz") & set(confuse.NEIGHBOURS["t"])


@RELAXED
@given(st.text("abcxyzABCXYZ", min_size=4, max_size=9), st.integers(0, 2**32 - 1))
def test_a_slip_of_the_keyboard_is_one_edit(word: str, number: int) -> None:
    made = confuse.keyboard_slip(word, number)
    assert made is not None
    assert made[0] == word[0]
    assert abs(len(made) - len(word)) <= 1
    if len(made) == len(word):
        differing = [i for i in range(len(word)) if made[i] != word[i]]
        assert len(differing) in (1, 2)


def test_scanner_slips() -> None:
    made = {confuse.scanner_slip("barn", n << 24) for n in range(256)}
    assert "bam" in made
    assert confuse.scanner_slip("aaaa", 0) is None


def test_no_entry_is_a_negation_or_itself() -> None:
    for table in (confuse.HOMOPHONE_TABLE, MISSPELLINGS):
        for word, others in table.items():
            assert word not in others
            assert not any(map(is_negation, (word, *others)))
            assert "_" not in "".join((word, *others))


@RELAXED
@given(st.integers(0, 2**32), st.sampled_from(["not", "never", "don't", "hardly"]))
def test_negations_what_they_refer_to_and_names_stay(seed: int, negation: str) -> None:
    text = f"there was {negation} one good movie, so write with Weird Tom Hanks"
    made, _ = confused(text, seed=seed, homophones=1.0, misspellings=1.0, keyboard=1.0)
    before, after = tokenize(text), tokenize(made)
    assert after[3:13] == before[3:13]
    assert after[-6:] == before[-6:]
    assert after[::2] == before[::2]


def test_the_users_table(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("# mine\n\nFilm\tphilm\nmovie\tmoovy\tmuvi\n")
    made = {confused("film movie other", seed=s, file=str(path))[0] for s in range(20)}
    assert made == {"philm moovy other", "philm muvi other"}
    policy = parse_policy({"slots": [{"op": "confuse_words", "file": str(path)}]}, "text")
    identity = policy.identity()
    assert list(policy.resources()) == [f"confusions {path}"]
    confuse.read_table.cache_clear()
    path.write_text("film\tfillum\n")
    assert policy.identity() != identity


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"film philm\n", r":1: a line must be"), (b"\xff", "UTF-8")],
)
def test_a_bad_table_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "bad.tsv"
    if content is not None:
        path.write_bytes(content)
    policy = parse_policy({"slots": [{"op": "confuse_words", "file": str(path)}]}, "text")
    with pytest.raises(InputError, match=message):
        policy.resources()
