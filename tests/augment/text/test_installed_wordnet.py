"""What only the real WordNet can show; skipped where it is not installed."""

from __future__ import annotations

import pytest

from pipelines.augment.text.stopwords import ALL
from pipelines.augment.text.synonyms import select_synonyms
from pipelines.augment.text.wordnet import WordNet, wordnet
from schemas.errors import InputError
from tests.augment.text.conftest import forget_wordnet


@pytest.fixture(scope="module")
def installed() -> WordNet:
    forget_wordnet()
    try:
        return wordnet()
    except InputError as error:
        pytest.skip(str(error))


def test_strict_synonyms_are_the_good_ones(installed: WordNet) -> None:
    table = select_synonyms(installed, "strict")
    assert table["movie"] == ("film",)
    assert table["movies"] == ("films",)
    assert table["especially"] == ("particularly",)
    assert table["completely"] == ("altogether", "entirely", "totally", "wholly")


def test_strict_synonyms_spare_what_naive_ones_ruin(installed: WordNet) -> None:
    table = select_synonyms(installed, "strict")
    assert not {"time", "far", "director", "never", "leaves", "as", "only", "good"} & set(table)


def test_looser_tables_contain_stricter_ones(installed: WordNet) -> None:
    strict, medium, loose = (
        set(select_synonyms(installed, level)) for level in ("strict", "medium", "loose")
    )
    assert 400 < len(strict)
    assert strict < medium < loose


def test_tables_are_clean(installed: WordNet) -> None:
    for word, others in select_synonyms(installed, "loose", inflect=True).items():
        assert word.isalpha()
        assert word.islower()
        assert word not in others
        assert others == tuple(sorted(others))
        assert word not in ALL


def test_fixed_expressions_are_known(installed: WordNet) -> None:
    assert {"kind of", "love story"} <= installed.collocations
