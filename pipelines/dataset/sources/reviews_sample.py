"""The 100 labelled IMDB reviews that the tfx package ships for its own example.

From A. Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from pipelines.dataset.sources.base import Record, key_of
from schemas.canonical import sha256
from schemas.errors import InputError

_FILE = "examples/imdb/data/imdb_small_with_labels.txt"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """The sample has no settings."""


@plain_dataclass(frozen=True)
class ReviewsSample:
    """One split, ``train``, of 100 reviews; label 1 is positive."""

    modality: Literal["text"] = "text"
    label_names: tuple[str, ...] = ("negative", "positive")
    image_shape: None = None

    @property
    def sizes(self) -> Mapping[str, int]:
        """One split, ``train``."""
        return {"train": len(_load()[0])}

    def identity(self) -> dict[str, Any]:
        """Return the name and the digest of the file."""
        return {"kind": "reviews_sample", "sha256": _load()[1]}

    def read(self, split: str, start: int, stop: int) -> Iterator[Record]:
        """Yield the reviews ``start`` to ``stop``."""
        rows = _load()[0]
        for i in range(start, stop):
            label, text = rows[i]
            yield Record(key_of(split, i), i, text.encode("utf-8"), int(label))

    def place_of(self, label: str) -> str:
        """Say where the reviews of a class are."""
        return "tfx's sample of reviews"


def prepare(config: Config) -> ReviewsSample:
    """Return the source.

    Raises:
        InputError: tfx is not installed.
    """
    _load()
    return ReviewsSample()


@functools.cache
def _load() -> tuple[tuple[tuple[str, str], ...], str]:
    spec = importlib.util.find_spec("tfx")  # finds the package without importing it
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = next((p for p in (Path(folder) / _FILE for folder in folders) if p.is_file()), None)
    if path is None:
        raise InputError(
            "reviews_sample needs the reviews shipped in the tfx package, which is not installed. "
            "Run `make setup`, or `pip install 'beam-refinery[tfx]'`."
        )
    data = path.read_bytes()
    rows = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    return tuple((row["label"], row["text"]) for row in rows), sha256(data)
