"""With the real engine where it is installed; the rest needs none."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.augment.policy import parse_policy
from pipelines.augment.text import backtranslate, engines
from pipelines.augment.text.backtranslate import back_translate, is_faithful
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.tokenize import join, tokenize
from schemas.errors import InputError
from tests.augment.support import missing_resource

POLICY = parse_policy({"slots": ["back_translate"]}, "text")
TEXTS = [
    "The movie was rather good. Tom Hanks plays a soldier!<br /><br />I did not like the ending",
    'A [strange] {film} ^with$ a/b \\ @ < > marks. "Quoted," he said.\nA new line.',
    "Boring.",
    "I have seen it before, and I would see it again.",
    "",
]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("BEAM_REFINERY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def apertium() -> engines.Apertium:
    reason = missing_resource(POLICY)
    if reason:
        pytest.skip(reason)
    return engines.apertium("eng-spa", "spa-eng")


def translated(texts: list[str]) -> list[str]:
    keys = [f"k{i}" for i in range(len(texts))]
    return POLICY.apply(texts, keys, seed=1, copy=1)[0]


@pytest.mark.usefixtures("apertium")
def test_reviews_come_back_with_breaks_names_and_negations() -> None:
    made = translated(TEXTS)
    assert made[0] != TEXTS[0]
    assert "!<br /><br />" in made[0]
    assert "Tom Hanks" in made[0]
    assert made[4] == ""
    for before, after in zip(TEXTS, made, strict=True):
        counts = [sum(map(is_negation, tokenize(text)[1::2])) for text in (before, after)]
        assert counts[0] == counts[1]
    assert made[1].endswith("line.")
    for mark in '[]{}^$/\\@<>"':
        assert made[1].count(mark) == TEXTS[1].count(mark)


def test_a_document_does_not_depend_on_its_neighbours(
    apertium: engines.Apertium, own_cache: Path
) -> None:
    documents = [["I saw the light."], ["It was a saw."], ["Play it.", "The play is over."]]
    together = apertium.round_trips(documents)
    assert together == [apertium.round_trips([one])[0] for one in documents]
    assert apertium.round_trips(documents[::-1]) == together[::-1]
    assert not own_cache.exists()


@pytest.mark.usefixtures("apertium")
def test_translations_are_kept_on_disk(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = translated(TEXTS[:3])
    kept = sorted(own_cache.rglob("*.json"))
    assert len(kept) == 3
    assert translated(TEXTS[:3]) == made
    kept[0].write_text("{broken")
    assert translated(TEXTS[:3]) == made
    monkeypatch.setattr(engines.Apertium, "round_trips", None)  # not called any more
    assert translated(TEXTS[:3]) == made


class Reversing:
    """An engine that turns the words of each sentence round; it fails with "lost" ones."""

    digest = "f" * 64

    def round_trips(self, documents):
        return [
            [" ".join(one.rstrip(".").split()[::-1]) + "." for one in sentences]
            if "lost" not in sentences[0]
            else []
            for sentences in documents
        ]


def test_what_comes_back_is_put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtranslate, "engine", lambda *_: Reversing())
    texts = ["A b.  C d.<br />Not e.", "all is lost. x y.", "e f."]
    made, edits = back_translate(
        [tokenize(text) for text in texts],
        apply=np.array([1, 1, 0]),
        engine="apertium",
        forward="",
        backward="",
    )
    assert [join(one) for one in made] == ["B A.  D C.<br />E Not.", texts[1], "e f."]
    assert edits.tolist() == [3, 0, 0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("It is good.", "It is well.", True),
        ("It isn't good.", "It is not good.", True),
        ("It is not good.", "It is good.", False),
        ("It is good.", "It is not good.", False),
        ("I saw Tom Brown.", "I saw Tom Brown's.", True),
        ("I saw Tom Brown.", "I saw Tom Marron.", False),
        ("It is good.", "It is *bueno.", False),
        ("It is good.", "...", False),
    ],
)
def test_unfaithful_sentences_are_not_taken(old: str, new: str, expected: bool) -> None:
    assert is_faithful(old, new) == expected


def test_names_may_change_where_they_are_not_protected() -> None:
    assert is_faithful("I saw Tom Brown.", "I saw Tom Marron.", protect_names=False)


def test_a_missing_engine_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engines, "PRIVATE", tmp_path / "apertium" / "usr")
    monkeypatch.setenv("PATH", str(tmp_path))
    engines.apertium.cache_clear()
    with pytest.raises(InputError, match="needs Apertium.*make setup-translation"):
        POLICY.resources()


@pytest.mark.usefixtures("apertium")
def test_an_unknown_mode_lists_the_installed() -> None:
    call = {"op": "back_translate", "forward": "eng-fra"}
    with pytest.raises(InputError, match=r"got 'eng-fra'\. Installed: .*eng-spa"):
        parse_policy({"slots": [call]}, "text").resources()


def neural_policy(folder: Path):
    call = {
        "op": "back_translate",
        "engine": "ctranslate2",
        "forward": str(folder),
        "backward": str(folder),
    }
    return parse_policy({"slots": [call]}, "text")


def test_a_folder_without_a_neural_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="forward must be a folder with model/model.bin"):
        neural_policy(tmp_path).resources()


def test_a_missing_package_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.bin").write_bytes(b"x")
    (tmp_path / "sentencepiece.model").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(InputError, match="pip install ctranslate2 sentencepiece"):
        neural_policy(tmp_path).resources()
