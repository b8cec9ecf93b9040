"""Decisions: what the survey of the whole dataset settles before a shard is built.

A pure function of recipe and source, handed to every shard task; a recipe that needs none gets
`NONE`. What a single example can be recomputed from is stored with the dataset.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.augment.context import Context
from pipelines.augment.policy import Policy
from pipelines.dataset.balance import Balance
from pipelines.dataset.near import Entries, Index, sketcher
from pipelines.dataset.slices import Examples
from schemas.canonical import digest, sha256
from schemas.features import Modality
from schemas.tokens import vocabulary_ids

DECISIONS = "decisions.json"
LANGUAGE_MODELS = "language_models.jsonl"


@dataclass(frozen=True)
class Nearest:
    """The eval or test example that a training example resembles most.

    Attributes:
        split: Its split.
        key: Its key.
        score: Similarity, 0 to 1.
    """

    split: str
    key: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What all shard tasks of a dataset must agree on.

    Attributes:
        leaking: Key of every training original that nearly equals an eval or test example, and the
            nearest of those.
        drop: Whether such originals are left out with all their copies.
        balance: How the classes end level.
        language_models: Counts of the training split for ops that need them
            (`pipelines.augment.text.ngrams.to_bytes`).
        vocabulary: Lines of ``vocabulary.txt``, where token ids are stored.
        reference: Sketches of the eval and test examples, where stored copies are checked.
        crowded: Whether the search among the originals gave up on some of those.
    """

    leaking: Mapping[str, Nearest] = field(default_factory=dict)
    drop: bool = False
    balance: Balance | None = None
    language_models: bytes = b""
    vocabulary: tuple[str, ...] = ()
    reference: Entries | None = None
    crowded: bool = False

    def training(self, examples: Examples) -> Examples:
        """Return the training examples that the dataset keeps."""
        kept = np.array([not (self.drop and key in self.leaking) for key in examples.keys], bool)
        if self.balance is not None:
            kept &= self.balance.kept(examples)
        return examples if kept.all() else examples.take(np.flatnonzero(kept))

    def suffice(self, policy: Policy) -> bool:
        """Return whether the survey found what the policy's ops learn from."""
        return "ngrams" not in policy.needs() or bool(self.language_models)

    def context(self) -> Context:
        """Return what ops may know of the training split."""
        return _context(self.language_models)

    def token_numbers(self) -> dict[str, int]:
        """Return the token id of every word of the vocabulary."""
        return _token_numbers(self.vocabulary)

    def index(self, modality: Modality) -> Index | None:
        """Return the index of the eval and test examples, where stored copies are checked."""
        return None if self.reference is None else _index(modality, self.reference)

    def to_files(self) -> dict[str, bytes]:
        """Return the files of the dataset from which `from_files` reads the decisions.

        ``vocabulary.txt`` is among a text dataset's files anyway; ``reference`` only decides which
        copies are left out, never what is in one.
        """
        made = {}
        dropped = sorted(self.leaking) if self.drop else []
        if dropped or self.balance is not None:
            content = {
                "dropped": dropped,
                "balance": self.balance.to_json() if self.balance else None,
            }
            made[DECISIONS] = (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
        if self.language_models:
            made[LANGUAGE_MODELS] = self.language_models
        return made

    @classmethod
    def from_files(cls, files: dict[str, bytes], vocabulary: Iterable[str]) -> Decisions:
        """Return the decisions of a dataset with these files."""
        content = json.loads(files.get(DECISIONS, b'{"dropped": [], "balance": null}'))
        return cls(
            leaking={key: Nearest("", "", 1.0) for key in content["dropped"]},
            drop=True,
            balance=Balance.from_json(content["balance"]) if content["balance"] else None,
            language_models=files.get(LANGUAGE_MODELS, b""),
            vocabulary=tuple(vocabulary),
        )


NONE = Decisions()

_indexes: dict[tuple[str, str, str], Index] = {}
"""The index of the entries last asked for: building it takes longer than a slice does."""


def _index(modality: Modality, entries: Entries) -> Index:
    whose = digest([entries.splits, entries.keys])
    name = (modality, whose, sha256(entries.sketches.tobytes()))
    if name not in _indexes:
        _indexes.clear()
        _indexes[name] = Index.of(sketcher(modality), entries)
    return _indexes[name]


@functools.lru_cache(maxsize=1)
def _context(language_models: bytes) -> Context:
    if not language_models:
        return Context()
    from pipelines.augment.text import ngrams

    return Context(ngrams=ngrams.ClassModels.of(ngrams.from_bytes(language_models)))


@functools.lru_cache(maxsize=1)
def _token_numbers(vocabulary: tuple[str, ...]) -> dict[str, int]:
    return vocabulary_ids(vocabulary)
