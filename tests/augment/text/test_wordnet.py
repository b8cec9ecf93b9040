from __future__ import annotations

import os
import zipfile
from pathlib import Path

import nltk.data
import pytest

from pipelines.augment.text.synonyms import select_synonyms
from pipelines.augment.text.wordnet import WordNet, read_wordnet, wordnet
from schemas.errors import InputError
from tests.augment.text.conftest import SYNSETS, forget_wordnet, write_wordnet


def _read_folder(folder: Path) -> WordNet:
    return read_wordnet(lambda name: (folder / name).read_bytes())


@pytest.fixture
def search_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, the only one on NLTK's search path."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    forget_wordnet()
    return tmp_path


def test_strict_synonyms_of_the_tiny_wordnet(tiny_wordnet: WordNet) -> None:
    assert select_synonyms(tiny_wordnet, "strict") == {
        "actor": ("performer",),
        "actors": ("performers",),
        "almost": ("nearly",),
        "assist": ("help",),
        "awful": ("dreadful", "terrible"),
        "child": ("kid",),
        "children": ("kids",),
        "custom": ("customer",),
        "customer": ("custom",),
        "dreadful": ("awful", "terrible"),
        "film": ("movie",),
        "films": ("movies",),
        "help": ("assist",),
        "hr": ("hour",),
        "hrs": ("hours",),
        "huge": ("immense", "vast"),
        "immense": ("huge", "vast"),
        "kid": ("child",),
        "kids": ("children",),
        "movie": ("film",),
        "movies": ("films",),
        "narrative": ("story", "tale"),
        "narratives": ("stories", "tales"),
        "nearly": ("almost",),
        "performer": ("actor",),
        "performers": ("actors",),
        "really": ("truly",),
        "stories": ("narratives", "tales"),
        "story": ("narrative", "tale"),
        "tale": ("narrative", "story"),
        "tales": ("narratives", "stories"),
        "terrible": ("awful", "dreadful"),
        "truly": ("really",),
        "vast": ("huge", "immense"),
    }


def test_rare_words_pass_the_medium_filter_only(tiny_wordnet: WordNet) -> None:
    strict, medium = (select_synonyms(tiny_wordnet, level) for level in ("strict", "medium"))
    assert medium["sketch"] == ("skit",)
    assert "sketch" not in strict
    assert set(strict) < set(medium)


def test_ambiguous_words_pass_the_loose_filter_only(tiny_wordnet: WordNet) -> None:
    medium, loose = (select_synonyms(tiny_wordnet, level) for level in ("medium", "loose"))
    assert "bank" not in medium
    assert loose["bank"] == ("depository",)


def test_an_unknown_strictness_lists_the_valid_ones(tiny_wordnet: WordNet) -> None:
    with pytest.raises(InputError, match=r"Did you mean 'strict'\? Valid: loose, medium, strict"):
        select_synonyms(tiny_wordnet, "strikt")


def test_collocations_hold_a_word_with_synonyms(tiny_wordnet: WordNet) -> None:
    assert tiny_wordnet.collocations == {"love story"}


def test_the_digest_follows_the_content(tmp_path: Path, tiny_wordnet: WordNet) -> None:
    write_wordnet(tmp_path / "same")
    other = SYNSETS | {"verb": ["help:1:50 assist:1:11", "record:1:6", "work:1:80"]}
    write_wordnet(tmp_path / "other", other)
    assert _read_folder(tmp_path / "same").digest == tiny_wordnet.digest
    assert _read_folder(tmp_path / "other").digest != tiny_wordnet.digest


def test_a_zip_file_reads_as_the_unpacked_folder(
    search_path: Path, tiny_data: Path, tiny_wordnet: WordNet
) -> None:
    (search_path / "corpora").mkdir()
    with zipfile.ZipFile(search_path / "corpora" / "wordnet.zip", "w") as archive:
        for file in sorted((tiny_data / "corpora" / "wordnet").iterdir()):
            archive.write(file, f"wordnet/{file.name}")
    assert wordnet() == tiny_wordnet
    forget_wordnet()


@pytest.mark.usefixtures("search_path")
def test_a_missing_corpus_names_the_command_that_fetches_it() -> None:
    with pytest.raises(InputError, match=r"synonyms need the WordNet corpus.*make corpora"):
        wordnet()


def test_a_broken_zip_file_is_named(search_path: Path) -> None:
    (search_path / "corpora").mkdir()
    (search_path / "corpora" / "wordnet.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"cannot be read at .*wordnet.*make corpora"):
        wordnet()


def test_files_of_different_versions_are_refused(search_path: Path) -> None:
    write_wordnet(search_path / "corpora" / "wordnet")
    data = search_path / "corpora" / "wordnet" / "data.noun"
    data.write_text("  2 A longer licence line than before.\n" + data.read_text())
    with pytest.raises(InputError, match=r"cannot be read at .*names a synset.*make corpora"):
        wordnet()


def test_an_incomplete_folder_is_named(search_path: Path) -> None:
    write_wordnet(search_path / "corpora" / "wordnet")
    os.remove(search_path / "corpora" / "wordnet" / "cntlist.rev")
    with pytest.raises(InputError, match=r"cannot be read at .*cntlist\.rev.*make corpora"):
        wordnet()
