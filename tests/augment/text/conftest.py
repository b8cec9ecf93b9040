"""A tiny WordNet, written in the database format, so that bare machines test the real reader."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import nltk.data
import pytest
from hypothesis import HealthCheck, settings

from pipelines.augment.text import synonyms, wordnet

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TYPES = {"noun": "1", "verb": "2", "adj": "3", "adv": "4"}
LETTERS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}

# Each synset: its members as word:sense:uses.
SYNSETS = {
    "noun": [
        "movie:1:26 film:1:60 motion_picture:1:5",
        "film:2:6",
        "story:1:30 narrative:1:9 tale:1:5",
        "love_story:1:2 romance:1:4",
        "actor:1:8 performer:1:7",
        "kid:1:20 child:1:30",
        "customer:1:9 custom:1:9",
        "customs:1:3",
        "bank:1:5 depository:1:6",
        "bank:2:6",
        "record:1:6 disc:1:9",
        "hour:1:50 hr:1:6",
        "globe:1:7 Earth:1:30",
        "cinema:1:1 pictures:1:1",
        "sketch:1:5 skit:1:2",
        "work:1:90",
        "works:1:7 plant:1:9",
    ],
    "verb": ["help:1:50 assist:1:12", "record:1:6", "work:1:80"],
    "adj": [
        "huge:1:23 vast:1:12 immense:1:9",
        "awful:1:5 terrible:1:14 dreadful:1:6",
        "lone(a):1:9 solitary:1:8",
        "older:1:9 elderly:1:9",
        "old:1:50",
    ],
    "adv": [
        "almost:1:175 nearly:1:53",
        "really:1:61 truly:1:20",
        "never:1:90 ne'er:1:1",
        "hardly:1:37 scarcely:1:6",
    ],
}
EXCEPTIONS = {"noun": "children child\n", "adj": "older old\n"}


def write_wordnet(folder: Path, synsets: dict[str, list[str]] = SYNSETS) -> None:
    """Write the database files of ``synsets`` into ``folder``."""
    folder.mkdir(parents=True)
    counts = []
    for part, entries in synsets.items():
        data = "  1 A licence line, as in the original.\n"
        senses: defaultdict[str, dict[int, str]] = defaultdict(dict)
        for number, entry in enumerate(entries):
            members = [member.split(":") for member in entry.split()]
            offset = f"{len(data):08d}"
            printed = " ".join(f"{word} 0" for word, _, _ in members)
            letter = LETTERS[part]
            data += f"{offset} 03 {letter} {len(members):02x} {printed} 000 | gloss {number}  \n"
            for word, sense, uses in members:
                lemma = word.removesuffix("(a)").lower()
                senses[lemma][int(sense)] = offset
                if uses != "0":
                    counts.append(f"{lemma}%{TYPES[part]}:03:{number:02d}:: {sense} {uses}")
        index = "".join(
            f"{lemma} {LETTERS[part]} {len(offsets)} 1 @ {len(offsets)} 1 "
            f"{' '.join(offsets[sense] for sense in sorted(offsets))}  \n"
            for lemma, offsets in sorted(senses.items())
        )
        (folder / f"data.{part}").write_text(data)
        (folder / f"index.{part}").write_text("  1 A licence line.\n" + index)
        (folder / f"{part}.exc").write_text(EXCEPTIONS.get(part, ""))
    (folder / "cntlist.rev").write_text("".join(f"{line}\n" for line in sorted(counts)))


def forget_wordnet() -> None:
    """Empty the caches that hold what was read from a WordNet."""
    wordnet.wordnet.cache_clear()
    synonyms.synonym_table.cache_clear()


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``nltk.data.path`` with an unpacked tiny WordNet."""
    data = tmp_path_factory.mktemp("nltk_data")
    write_wordnet(data / "corpora" / "wordnet")
    return data


@pytest.fixture(scope="module")
def tiny_wordnet(tiny_data: Path) -> Iterator[wordnet.WordNet]:
    """Make the tiny WordNet the only one that NLTK finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(tiny_data)])
        forget_wordnet()
        yield wordnet.wordnet()
    forget_wordnet()
