"""Translate documents into another language and back, keeping what the translation would spoil.

A sentence stays as it was where its negations, or the names in it, would not come back, or where
the engine left marks of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Flag, Setting
from pipelines.augment.registry import text_op
from pipelines.augment.text.engines import Engine, cache_folder, engine
from pipelines.augment.text.names import is_name, possessor
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.sentences import Sentence, join_sentences, split_sentences
from pipelines.augment.text.tokenize import Tokens, join, tokenize

_MARKS = "*@#~\\"
_BATCH = 128


def engine_digest(*, engine: str, forward: str, backward: str) -> dict[str, str]:
    """Return the digest of the engine: another one is another augmentation."""
    return {f"{engine} {forward} {backward}": _engine(engine, forward, backward).digest}


@text_op(
    "back_translate",
    family="translation",
    version=1,
    params={"apply": Flag()},
    settings={
        "engine": Setting("apertium", choices=("apertium", "ctranslate2")),
        "forward": Setting("eng-spa"),
        "backward": Setting("spa-eng"),
    },
    resources=engine_digest,
    needs=("protect_names",),
)
def back_translate(
    documents: Sequence[Tokens],
    *,
    apply: NDArray[np.int64],
    engine: str,
    forward: str,
    backward: str,
    protect_names: bool = True,
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Translate a document into another language and back, sentence by sentence.

    ``apply`` is the share of the documents. ``edits`` counts the sentences that changed. See
    ``engines`` for the settings; translations are kept on disk, per engine and document.
    """
    edited = list(documents)
    edits = np.zeros(len(documents), dtype=np.int64)
    rows = [row for row in np.flatnonzero(apply).tolist() if len(documents[row]) > 1]
    trips = round_trips(
        [documents[row] for row in rows],
        engine=engine,
        forward=forward,
        backward=backward,
        protect_names=protect_names,
    )
    for row, trip in zip(rows, trips, strict=True):
        edits[row] = sum(one is not None for one in trip.after)
        if edits[row]:
            pairs = zip(trip.before, trip.after, strict=True)
            edited[row] = join_sentences(trip.gaps, [new or old for old, new in pairs])
    return edited, edits


@dataclass(frozen=True)
class RoundTrip:
    """A document there and back.

    Attributes:
        gaps: What stands around its n sentences, n + 1 (see ``join_sentences``).
        before: The sentences.
        after: Each as it came back, or None where it is to stay as it was.
    """

    gaps: list[str]
    before: list[Sentence]
    after: list[Sentence | None]


def round_trips(
    documents: Sequence[Tokens],
    *,
    engine: str,
    forward: str,
    backward: str,
    protect_names: bool = True,
) -> list[RoundTrip]:
    """Translate documents with a word or more into another language and back.

    Settings: see ``engines``. Translations are kept on disk.

    Raises:
        InputError: The engine is not installed.
    """
    parts = [split_sentences(document) for document in documents]
    spoken = [[_text(sentence) for sentence in found] for _, found in parts]
    translated = _cached_round_trips(_engine(engine, forward, backward), spoken)
    trips = []
    for (gaps, found), before, made in zip(parts, spoken, translated, strict=True):
        after: list[Sentence | None] = [None] * len(found)
        for place, (old, plain) in enumerate(zip(before, made, strict=False)):
            new = plain[:1].upper() + plain[1:] if old[:1].isupper() else plain
            if new != old and is_faithful(old, new, protect_names=protect_names):
                first, *body, last = tokenize(new)
                after[place] = Sentence(first, tuple(body), last)
        trips.append(RoundTrip(gaps, found, after))
    return trips


def is_faithful(old: str, new: str, *, protect_names: bool = True) -> bool:
    """Tell whether a translated sentence may take the place of the original."""
    before, after = tokenize(old), tokenize(new)
    if len(after) == 1 or any(new.count(mark) > old.count(mark) for mark in _MARKS):
        return False
    if sum(map(is_negation, before[1::2])) != sum(map(is_negation, after[1::2])):
        return False
    if not protect_names:
        return True
    indices = range(1, len(before), 2)
    names = {possessor(before[index]) for index in indices if is_name(before, index)}
    return names <= set(map(possessor, after[1::2]))


def _text(sentence: Sentence) -> str:
    return sentence.opening + join(list(sentence.body)) + sentence.end


def _engine(name: str, forward: str, backward: str) -> Engine:
    return engine(name, forward, backward)


def _cached_round_trips(
    translator: Engine, documents: Sequence[Sequence[str]]
) -> list[Sequence[str]]:
    """Return ``round_trips`` of the documents, from disk where they are kept already."""
    folder = cache_folder(translator.digest)
    places = [_place(folder, sentences) for sentences in documents]
    distinct = dict(zip(places, documents, strict=True))
    kept = {place: _kept(place) for place in distinct}
    missing = [place for place, sentences in kept.items() if sentences is None]
    for start in range(0, len(missing), _BATCH):
        batch = missing[start : start + _BATCH]
        made = translator.round_trips([distinct[place] for place in batch])
        for place, sentences in zip(batch, made, strict=True):
            kept[place] = sentences
            _keep(place, sentences)
    return [kept[place] or [] for place in places]


def _place(folder: Path, sentences: Sequence[str]) -> Path:
    content = json.dumps(list(sentences), ensure_ascii=False).encode("utf-8")
    name = hashlib.blake2b(content, digest_size=16).hexdigest()
    return folder / name[:2] / f"{name[2:]}.json"


def _kept(place: Path) -> list[str] | None:
    try:
        sentences = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    return [str(one) for one in sentences]


def _keep(place: Path, sentences: Sequence[str]) -> None:
    """Write a translation such that no reader ever sees a part of it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=place.parent, delete=False) as file:
        file.write(json.dumps(list(sentences), ensure_ascii=False).encode("utf-8"))
    os.replace(file.name, place)
