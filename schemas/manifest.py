"""Manifest: the list of everything in a dataset, written last. No manifest, no dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from schemas.canonical import digest
from schemas.errors import InputError, printable
from schemas.features import ExampleSchema
from schemas.plain_files import read_plain

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
SPLITS = ("train", "eval", "test")
MAX_DEPTH = 64
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Names of recipes, and so of datasets: they name folders and files."""

_NO_MANIFEST = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_TYPES: dict[str, type] = {"str": str, "int": int, "ExampleSchema": ExampleSchema}


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
        _check_depth(value)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # an escape may be half a character
        version = value["format_version"]
    except _NO_MANIFEST as error:
        raise InputError(f"{origin}: not a dataset manifest ({error}).") from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{origin}: format version {version!r}; this program reads {FORMAT_VERSION}. "
            "Materialize the recipe again."
        )
    try:
        parts = dict(value)
        parts["schema"] = _schema(value["schema"])
        parts["shards"] = tuple(_entry(ShardInfo(**one)) for one in value["shards"])
        parts["files"] = tuple(_entry(FileInfo(**one)) for one in value["files"])
        manifest = Manifest(**parts)
        _check_types(manifest)
        if not NAME.fullmatch(manifest.name):
            raise ValueError(f"{manifest.name!r:.80} is no name of a dataset")
        return manifest
    except _NO_MANIFEST as error:
        raise InputError(f"{origin}: not a dataset manifest ({error}).") from error


def load_manifest(dataset: str | Path) -> Manifest:
    """Read the manifest of a dataset directory.

    Raises:
        InputError: There is no manifest (so no finished dataset), or it is not readable.
    """
    path = Path(dataset) / MANIFEST
    try:
        data = read_plain(path)
    except FileNotFoundError as error:
        raise InputError(
            f"{dataset}: no {MANIFEST}, so no finished dataset. Run `beam_runner.py materialize` "
            "(a killed run resumes), or name the folder that holds the manifest."
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot read the manifest: {reason}.") from error
    return parse_manifest(data, str(path))


def is_inner(path: str) -> bool:
    """Return whether a path of a manifest names something below the dataset, by plain names."""
    parts = path.split("/")
    plain = "\\" not in path and printable(path, len(path)) == path
    return plain and not {"", ".", ".."} & set(parts)


def _entry(entry: Any) -> Any:
    """Return a file's entry; what it says decides what is read.

    Raises:
        ValueError: A value of another type, a negative number, a path that leaves the dataset.
    """
    _check_types(entry)
    if not is_inner(entry.path):
        raise ValueError(f"the path {entry.path!r:.200} does not lie in the dataset")
    return entry


def _check_types(value: Any) -> None:
    for field in fields(value):
        one: Any = getattr(value, field.name)
        wanted: type = _TYPES.get(str(field.type), tuple if "tuple" in str(field.type) else dict)
        fits = type(one) is wanted and not (isinstance(one, int) and one < 0)
        if fits and field.type in ("dict[str, int]", "dict[str, str]"):
            wanted = int if field.type == "dict[str, int]" else str
            fits = all(type(entry) is wanted for entry in one.values())
        if not fits:
            raise ValueError(f"{field.name} must be {field.type}, not {one!r:.80}")


def _schema(value: Any) -> ExampleSchema:
    schema = ExampleSchema.from_json(value)
    shape = schema.image_shape
    flags = (schema.soft_labels, schema.weights)
    fits = (
        schema.modality in ("image", "text")
        and schema.encoding in ("png", "raw", "utf8")
        and isinstance(value["label_names"], list)
        and all(type(name) is str for name in schema.label_names)
        and (shape is None or (len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)))
        and all(type(flag) is bool for flag in flags)
        and type(schema.tokens) is int
        and schema.tokens >= 0
    )
    if not fits:
        raise ValueError(f"no schema of examples: {value!r:.200}")
    return schema


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            one
            for some in level
            if isinstance(some, dict | list)
            for one in (some.values() if isinstance(some, dict) else some)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
