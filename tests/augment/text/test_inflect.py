from __future__ import annotations

import pytest

from pipelines.augment.policy import parse_policy
from pipelines.augment.text.inflect import inflections, verb_forms
from pipelines.augment.text.synonyms import select_synonyms
from pipelines.augment.text.wordnet import WordNet


@pytest.mark.parametrize(
    ("verb", "exceptions", "expected"),
    [
        ("help", (), ("helps", "helped", "helping")),
        ("adore", (), ("adores", "adored", "adoring")),
        ("carry", (), ("carries", "carried", "carrying")),
        ("enjoy", (), ("enjoys", "enjoyed", "enjoying")),
        ("watch", (), ("watches", "watched", "watching")),
        ("agree", (), ("agrees", "agreed", "agreeing")),
        ("die", (), ("dies", "died", "dying")),
        ("tell", ("told",), ("tells", "told", "telling")),
        ("go", ("went", "gone"), ("goes", None, "going")),
        ("omit", ("omitted", "omitting"), ("omits", "omitted", "omitting")),
        ("visit", (), ("visits", None, None)),
        ("happen", (), ("happens", "happened", "happening")),
        ("fix", (), ("fixes", "fixed", "fixing")),
    ],
)
def test_forms_of_verbs(verb: str, exceptions: tuple[str, ...], expected: tuple) -> None:
    assert verb_forms(verb, exceptions) == expected


def test_forms_in_doubt_are_left_out() -> None:
    forms = {
        "love": ("loves", "loved", "loving"),
        "adore": ("adores", "adored", "adoring"),
        "find": ("finds", "found", "finding"),
        "found": ("founds", "founded", "founding"),
        "go": ("goes", None, "going"),
    }
    pairs = {"love": ("adore",), "find": ("found",), "go": ("love",)}
    assert inflections(pairs, forms, taken=["loving"]) == {
        "loves": ("adores",),
        "loved": ("adored",),
        "finds": ("founds",),
        "finding": ("founding",),
        "found": ("founded",),
        "goes": ("loves",),
        "going": ("loving",),
    }
    assert "found" not in inflections(pairs, forms, taken=["found"])


def test_inflected_synonyms_are_a_setting_that_changes_nothing_by_default(
    tiny_wordnet: WordNet,
) -> None:
    plain = select_synonyms(tiny_wordnet, "strict")
    more = select_synonyms(tiny_wordnet, "strict", inflect=True)
    assert {word: more[word] for word in plain} == plain
    assert {word: others for word, others in more.items() if word not in plain} == {
        "helps": ("assists",),
        "helped": ("assisted",),
        "helping": ("assisting",),
        "assists": ("helps",),
        "assisted": ("helped",),
        "assisting": ("helping",),
    }
    calls = [{"op": "synonym_replace", "rate": 1.0, "inflect": on} for on in (False, True)]
    off, on = (parse_policy({"slots": [call]}, "text") for call in calls)
    assert "inflect" not in str(off.to_json())
    assert off.resources() == {"wordnet": tiny_wordnet.digest}
    assert off.apply(["He helped."], ["k"], seed=1, copy=1)[0] == ["He helped."]
    assert on.to_json()["branches"][0]["slots"][0]["choose"][0]["inflect"] is True
    assert set(on.resources()) == {"wordnet", "wordnet strict verb forms"}
    assert on.apply(["He helped."], ["k"], seed=1, copy=1)[0] == ["He assisted."]
