"""Read WordNet's database files into graded single-word synonyms.

NLTK only finds the files (its path search covers ``NLTK_DATA`` and the usual folders); they are
parsed here, because asking NLTK's API word by word is thirty times slower. Formats: wndb(5WN) and
cntlist(5WN) of WordNet 3.0. ``index.sense`` is not needed, which Debian packages apart.

A word's *first sense* is sense 1 of its most frequent part of speech. Two words are candidate
synonyms if their first senses are the same synset.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from pipelines.augment.text import corpora
from pipelines.augment.text.inflect import Forms, third_person, verb_forms
from pipelines.augment.text.negation import is_negation
from schemas.errors import InputError

NAME = "wordnet"

Uses = Mapping[str, Mapping[str, int]]
"""Word -> part of speech -> how often WordNet's tagged texts use it so."""

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
_PART_OF_TYPE = dict(zip("12345", (*PARTS_OF_SPEECH, "adj"), strict=True))
"""Synset type in a sense key -> part of speech (5: satellite adjective)."""

_COUNT = re.compile(r"^([a-z]+)%([1-5])\S* (\d+) (\d+)$", re.MULTILINE)
_ENTRY = re.compile(r"^([a-z]+) [nvar] .*? (\d{8})\b", re.MULTILINE)
_MULTIWORD = re.compile(r"^([a-z]+(?:_[a-z]+)+) ", re.MULTILINE)

# Words that do grammar's work, which WordNet knows only as adverbs, adjectives or nouns ("as",
# "about", "only"), verbs whose synonyms need another construction ("go", "ask"), and words whose
# most frequent sense in WordNet's sample is not the one reviews use ("director" -> "manager";
# first names).
_EXCLUDED = frozenset(
    """
    about above across after again ago ahead all along already also although and another any apart
    around aside away back because before behind below beside besides between beyond both but down
    each either else enough even ever every except first for forth from further here how however
    inside instead into just last later least less like likewise little many maybe more most much
    near next now off once one only onto other otherwise out outside over own past person per
    quite rather same second several since some somebody someone soon still such than that the
    then there therefore this those though through throughout thus till together too toward under
    until very what when where whether which while who why will with within yet

    ask be become behave call come do enjoy feel get give go have keep lay let live look make need
    put remain see seem show start take tell think travel try turn use want

    authorities baby badly battle brow comic complaint cross curse director earth effect engagement
    fellow foliage government hall irony job manager manner merchandise mix mode occupation okay
    mama percent perfectly plain pound power product religion remarkable satire singular sport
    technology understandable well

    frank harry jimmy john mike
    """.split()
)


@dataclass(frozen=True)
class Graded:
    """One word with the figures by which its synonyms are judged.

    Attributes:
        part: Its most frequent part of speech: ``noun``, ``verb``, ``adj`` or ``adv``.
        total: How often WordNet's tagged texts use the word at all.
        in_part: How often as that part of speech.
        in_first: How often in the first sense of that part of speech.
        candidates: Other words with the same first sense, sorted.
    """

    part: str
    total: int
    in_part: int
    in_first: int
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class WordNet:
    """What the text ops use of a WordNet.

    Attributes:
        entries: Word -> figures, for each word that has or is a candidate synonym.
        plurals: Singular -> plural, for each noun among the entries.
        collocations: Neighbouring words of multiword entries, such as ``"motion picture"``.
        digest: SHA-256 (hex) of all of the above: equal digests, equal replacements.
        verb_forms: Verb -> its forms, for each verb among the entries.
        words: Every single word of the dictionary.
    """

    entries: Mapping[str, Graded]
    plurals: Mapping[str, str]
    collocations: frozenset[str]
    digest: str
    verb_forms: Mapping[str, Forms]
    words: frozenset[str]


@lru_cache(maxsize=1)
def wordnet() -> WordNet:
    """Return the installed WordNet, parsed once per process (about half a second).

    Raises:
        InputError: WordNet is not on NLTK's search path or cannot be read.
    """
    places = ("corpora/wordnet", "corpora/wordnet.zip/wordnet/")
    folder = corpora.installed(places, need="synonyms need the WordNet corpus")
    try:
        return read_wordnet(partial(corpora.read, folder))
    except (ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(corpora.unreadable(str(folder), error)) from error


def read_wordnet(read: Callable[[str], bytes]) -> WordNet:
    """Parse a WordNet database.

    Args:
        read: Returns the bytes of a database file, given its name: ``cntlist.rev``, and of each
            part of speech (``noun``, ``verb``, ``adj``, ``adv``) ``index.noun``, ``data.noun``
            and ``noun.exc``.

    Raises:
        ValueError: The files do not belong together (or ``IndexError``).
    """
    indices = {part: read(f"index.{part}").decode("utf-8") for part in PARTS_OF_SPEECH}
    offsets = {
        (word, part): int(offset)
        for part, index in indices.items()
        for word, offset in _ENTRY.findall(index)
    }
    uses, in_first = _uses(offsets, read("cntlist.rev").decode("utf-8"))
    irregular = {
        part: dict(_exceptions(read(f"{part}.exc").decode("utf-8"))) for part in PARTS_OF_SPEECH
    }
    inflected = frozenset().union(*irregular.values())
    graded: dict[str, Graded] = {}
    members: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for word, by_part in uses.items():
        part = max(by_part, key=lambda p: (by_part[p], p))
        if by_part[part] == 0 or len(word) < 2 or word in _EXCLUDED or is_negation(word):
            continue
        if word not in inflected and not _looks_inflected(word, part, uses):
            total, first = sum(by_part.values()), in_first.get((word, part), 0)
            graded[word] = Graded(part, total, by_part[part], first, candidates=())
            members[part, offsets[word, part]].append(word)

    entries: dict[str, Graded] = {}
    data = {part: read(f"data.{part}") for part in PARTS_OF_SPEECH}
    for (part, offset), group in members.items():
        plain = _plain_members(data[part], offset).intersection(group) if group[1:] else set()
        for word in plain if len(plain) > 1 else ():
            others = sorted(o for o in plain if o != word and not _shortens(word, o))
            entries[word] = replace(graded[word], candidates=tuple(others))
    entries = dict(sorted(entries.items()))
    plurals = _plurals(entries, irregular["noun"], uses)
    collocations = frozenset(
        f"{left} {right}"
        for index in indices.values()
        for left, right in _neighbours(index)
        if left in entries or right in entries
    )
    content = repr((list(entries.items()), list(plurals.items()), sorted(collocations)))
    digest = hashlib.sha256(content.encode("utf-8")).hexdigest()
    verbs = {word for word, entry in entries.items() if entry.part == "verb"}
    listed: defaultdict[str, set[str]] = defaultdict(set)
    for form, verb in irregular["verb"].items():
        listed[verb].add(form)
    return WordNet(
        entries=entries,
        plurals=plurals,
        collocations=collocations,
        digest=digest,
        verb_forms={verb: verb_forms(verb, listed[verb]) for verb in sorted(verbs)},
        words=frozenset(uses),
    )


def _uses(
    words: Iterable[tuple[str, str]], counts: str
) -> tuple[Uses, Mapping[tuple[str, str], int]]:
    """Return how often each word is used per part of speech, and how often in sense 1 of it."""
    uses: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for word, part in words:
        uses[word][part] = 0
    in_first: dict[tuple[str, str], int] = {}
    for word, kind, number, count in _COUNT.findall(counts):
        part = _PART_OF_TYPE[kind]
        if part in uses.get(word, ()):
            uses[word][part] += int(count)
            if number == "1":
                in_first[word, part] = int(count)
    return uses, in_first


def _exceptions(text: str) -> Iterator[tuple[str, str]]:
    """Yield (inflected form, base) of an exception list, where the two differ."""
    for line in text.splitlines():
        form, *bases = line.split()
        if bases and bases[0] != form:
            yield form, bases[0]


def _looks_inflected(word: str, part: str, uses: Uses) -> bool:
    """Tell whether ``word`` may be a regular form of a word in use ("works", "needed", "older").

    Such a word's figures say little, because WordNet counts the inflected uses under the base.
    Adjectives in -ing ("amazing") pass: reviews rarely use them as verbs.
    """
    bases: tuple[str, ...]
    parts: tuple[str, ...] = ("verb",)
    if word.endswith("s"):
        bases, parts = (word[:-1], word[:-2]), ("noun", "verb")
    elif word.endswith("ed"):
        bases = (word[:-1], word[:-2], word[:-3])
    elif word.endswith("ing") and part != "adj":
        bases = (word[:-3], word[:-3] + "e", word[:-4])
    elif word.endswith("er"):
        bases, parts = (word[:-1], word[:-2], word[:-3] + "y"), ("adj",)
    elif word.endswith("est"):
        bases, parts = (word[:-2], word[:-3], word[:-4] + "y"), ("adj",)
    else:
        return False
    return any(uses[base].get(p, 0) > 0 for base in bases if base in uses for p in parts)


def _plain_members(data: bytes, offset: int) -> set[str]:
    """Return a synset's words as printed, less those with a mark such as ``lone(a)``."""
    end = data.index(b"\n", offset)
    fields = data[offset:end].decode("utf-8").split(" | ")[0].split()
    if fields[0] != f"{offset:08d}":
        raise ValueError(f"the index names a synset at byte {offset}, the data file has none there")
    number = int(fields[3], 16)
    return {word for word in fields[4 : 4 + 2 * number : 2] if word.isalpha() and word.islower()}


def _shortens(word: str, other: str) -> bool:
    """Tell whether ``other`` is an abbreviation of ``word``, such as "yr" of "year"."""
    return len(other) <= 3 and len(other) < len(word) and other[0] == word[0]


def _plurals(
    entries: Mapping[str, Graded], irregular: Mapping[str, str], uses: Uses
) -> dict[str, str]:
    """Return singular -> plural of the nouns, less plurals with a meaning of their own.

    Such a plural is itself an entry of WordNet ("customs") or may be a verb form ("leaves").
    """
    groups = [(word, *e.candidates) for word, e in entries.items() if e.part == "noun"]
    plural_of = {singular: plural for plural, singular in irregular.items()}
    plurals = {}
    for noun in sorted({noun for group in groups for noun in group}):
        plural = plural_of.get(noun) or third_person(noun)
        if plural not in uses and (plural[:-1] == noun or plural[:-1] not in uses):
            plurals[noun] = plural
    return plurals


def _neighbours(index: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of neighbouring words in the multiword entries of an index file."""
    for entry in _MULTIWORD.findall(index):
        parts = entry.split("_")
        yield from zip(parts, parts[1:], strict=False)
