"""What every text family keeps, and what each of them changes."""

import difflib
import re
from pathlib import Path

import pytest

from pipelines.augment.text.names import find_names
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.tokenize import tokenize, words
from pipelines.probes.texts import (
    ENGINE,
    NAME_RATES,
    SENTENCE_RATES,
    TEXT_FAMILIES,
    TYPO_RATES,
    resources,
)
from schemas import probes
from schemas.errors import InputError
from tests.augment.support import SENTENCES, keys, texts

DOCUMENT = Path(__file__).parents[2] / "docs" / "robustness.md"
COUNT = 40
TEXTS = [*SENTENCES, "", "no words: 5 * (…)", *texts(COUNT - len(SENTENCES) - 2)]
KEYS = keys(COUNT)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAM_REFINERY_CACHE", str(tmp_path_factory.mktemp("translations")))
        yield


@pytest.fixture(params=sorted(TEXT_FAMILIES))
def family(request):
    try:
        resources([request.param])
    except InputError as error:
        pytest.skip(str(error))
    return TEXT_FAMILIES[request.param]


def corrupted(family, severity, rows=range(COUNT), seed=3):
    values, names = [TEXTS[i] for i in rows], [KEYS[i] for i in rows]
    return family.apply(values, names, severity=severity, seed=seed)


def distance(before, after):
    """Return the share of the words that differ, over all texts."""
    pairs = [[words(tokenize(text)) for text in one] for one in zip(before, after, strict=True)]
    matched = sum(
        2 * block.size
        for pair in pairs
        for block in difflib.SequenceMatcher(None, *pair, autojunk=False).get_matching_blocks()
    )
    return 1 - matched / sum(len(one) for pair in pairs for one in pair)


def negations(text):
    """Return the negations, sorted; those of verb and noun are one to a translator."""
    found = [word.lower() for word in words(tokenize(text)) if is_negation(word)]
    return sorted("not" if one in ("no", "not") or "n't" in one else one for one in found)


def test_the_settings_name_the_families():
    assert tuple(TEXT_FAMILIES) == probes.TEXT_FAMILIES
    assert all(name == family.name for name, family in TEXT_FAMILIES.items())


def test_the_document_names_rates_and_ops():
    found = re.findall(
        r"^\| (\w+) \| (.*?) \| (.*?)\|?$", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    rows = {name: (drawn, seen.strip(" |")) for name, drawn, seen in found}
    for name, family in TEXT_FAMILIES.items():
        assert rows[name][1] == ", ".join(family.ops)
    rates = {"typos": TYPO_RATES, "entity_swap": NAME_RATES, "paraphrase": SENTENCE_RATES}
    for name, values in rates.items():
        assert rows[name][0].startswith(", ".join(f"{100 * rate:.0f}" for rate in values) + " %")


def test_a_row_depends_on_itself_alone(family):
    whole = corrupted(family, 4)
    assert corrupted(family, 4) == whole
    assert corrupted(family, 4, rows=range(COUNT)[::-1]) == whole[::-1]
    assert corrupted(family, 4, rows=[6]) == [whole[6]]
    assert corrupted(family, 4, rows=[]) == []


@pytest.mark.parametrize("severity", probes.SEVERITIES)
def test_negations_stay(family, severity):
    after = corrupted(family, severity)
    assert [negations(one) for one in after] == [negations(one) for one in TEXTS]


def test_more_severity_changes_more(family):
    changed = [distance(TEXTS, corrupted(family, severity)) for severity in probes.SEVERITIES]
    assert changed[0] > 0
    assert changed == sorted(changed)


def test_a_seed_changes_what_is_drawn(family):
    if family.name == "casing":
        assert corrupted(family, 4, seed=4) != corrupted(family, 4)
    else:
        assert corrupted(family, 2, seed=4) != corrupted(family, 2)


def test_a_severity_out_of_range_is_refused(family):
    with pytest.raises(InputError, match=r"1 \(least\) to 5, not 6"):
        corrupted(family, 6)


@pytest.mark.parametrize("severity", probes.SEVERITIES)
def test_casing_changes_nothing_but_the_case(severity):
    strange = [*TEXTS, "Straße ÉTÉ İstanbul ΑΣ ŉ ﬁlm <br />Ǆ", "ςΣσ"]
    names = [f"k{i}" for i in range(len(strange))]
    after = TEXT_FAMILIES["casing"].apply(strange, names, severity=severity, seed=1)
    assert [one.casefold() for one in after] == [one.casefold() for one in strange]
    assert [len(one) for one in after] == [len(one) for one in strange]


def test_casing_by_severity():
    def of(severity):
        before = "Tom came.<br />He didn't stay: IMDb says."
        return TEXT_FAMILIES["casing"].apply([before], ["a"], severity=severity, seed=2)[0]

    assert of(1) == "tom came.<br />he didn't stay: iMDb says."
    assert of(2) == "tom came.<br />he didn't stay: imdb says."
    assert of(5) == "TOM CAME.<br />HE DIDN'T STAY: IMDB SAYS."


def test_every_known_name_is_exchanged_at_last():
    after = corrupted(TEXT_FAMILIES["entity_swap"], 5)
    for one, other in zip(TEXTS, after, strict=True):
        names, others = (
            {stem for _, stem in find_names(tokenize(t)).values()} for t in (one, other)
        )
        assert names.isdisjoint(others)


def test_names_stay_where_words_are_spoilt():
    after = corrupted(TEXT_FAMILIES["typos"], 5)
    assert [one.count("Tom Hanks") for one in after] == [one.count("Tom Hanks") for one in TEXTS]
    assert sum(one != other for one, other in zip(after, TEXTS, strict=True)) > COUNT / 2


def test_a_missing_engine_is_named_with_two_ways_out(monkeypatch):
    monkeypatch.setitem(ENGINE, "forward", "eng-xxx")
    with pytest.raises(
        InputError, match="make setup-translation.*or leave paraphrase out"
    ) as caught:
        resources(["typos", "paraphrase"])
    assert caught.value.path == ("families", 1)
    assert resources(["typos"]) == {}
