"""Manifest: the list of everything in a dataset, written last. No manifest, no dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.canonical import digest
from schemas.errors import InputError
from schemas.features import ExampleSchema

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
SPLITS = ("train", "eval", "test")


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """One shard file.

    Attributes:
        path: Relative to the dataset, e.g. ``Split-train/copy01-slice0007.tfrecord``.
        split: ``train``, ``eval`` or ``test``.
        copy: 0 for originals, k for augmented copy k.
        slice: Number of the source slice.
        examples: Number of records.
        bytes: File size.
        sha256: Digest of the file.
        classes: Examples per label index (as text, for JSON).
        ops: Examples per op that touched them.
    """

    path: str
    split: str
    copy: int
    slice: int
    examples: int
    bytes: int
    sha256: str
    classes: dict[str, int]
    ops: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file of the dataset that is not a shard (survey, vocabulary, provenance, quarantine)."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a dataset is, holds and hashes to.

    Attributes:
        name: The recipe's name.
        fingerprint: Digest of everything that decided the bytes.
        recipe: The recipe's content (the plain mapping).
        source: Identity of the source data.
        policy: Identity of the policy: ops, versions, numbers, corpora.
        schema: What one example holds.
        versions: Library versions whose output the bytes depend on.
        shards: Every shard.
        files: Every other file.
        counts: ``examples``, ``classes`` and ``ops`` per split, ``quarantined`` in all; where the
            recipe asks for them, ``leakage`` and ``adversarial``.
        digest: One SHA-256 over the fingerprint and every entry of ``shards`` and ``files``.
    """

    name: str
    fingerprint: str
    recipe: dict[str, Any]
    source: dict[str, Any]
    policy: dict[str, Any]
    schema: ExampleSchema
    versions: dict[str, str]
    shards: tuple[ShardInfo, ...]
    files: tuple[FileInfo, ...]
    counts: dict[str, Any]
    digest: str
    format_version: int = FORMAT_VERSION

    @property
    def examples(self) -> int:
        """Number of stored examples, copies included."""
        return sum(shard.examples for shard in self.shards)

    def to_json(self) -> str:
        """Return the manifest as indented JSON with sorted keys."""
        value = asdict(self) | {"schema": self.schema.to_json()}
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def dataset_digest(fingerprint: str, shards: Iterable[ShardInfo], files: Iterable[FileInfo]) -> str:
    """Return the digest over the fingerprint and every file's entry: path, content, counts."""
    entries = [*map(asdict, shards), *map(asdict, files)]
    entries.sort(key=lambda one: str(one["path"]))
    return digest({"fingerprint": fingerprint, "files": entries})


def parse_manifest(text: str | bytes, origin: str) -> Manifest:
    """Read what `Manifest.to_json` wrote.

    Args:
        text: The JSON text, or its UTF-8 bytes.
        origin: Where it came from, for messages.

    Raises:
        InputError: The text is not a manifest of this format version.
    """
    try:
        value = json.loads(text)
        version = value["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(
                f"{origin}: format version {version!r}; this program reads {FORMAT_VERSION}. "
                "Materialize the recipe again."
            )
        parts = dict(value)
        parts["schema"] = ExampleSchema.from_json(value["schema"])
        parts["shards"] = tuple(ShardInfo(**one) for one in value["shards"])
        parts["files"] = tuple(FileInfo(**one) for one in value["files"])
        return Manifest(**parts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{origin}: not a dataset manifest ({error}).") from error


def load_manifest(dataset: str | Path) -> Manifest:
    """Read the manifest of a dataset directory.

    Raises:
        InputError: There is no manifest (so no finished dataset), or it is not readable.
    """
    path = Path(dataset) / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"{dataset}: no {MANIFEST}, so no finished dataset. Run `beam_runner.py materialize` "
            "(a killed run resumes), or name the folder that holds the manifest."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot read the manifest: {error}.") from error
    return parse_manifest(data, str(path))
