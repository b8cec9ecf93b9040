"""Tables with a label column and a text or image column: what CSV and Parquet files share.

A reader gives the columns of one file by row (`csv`, `parquet`); everything else is here: which
files make which split, keys, labels, the checks of a row, and images beside the table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Any, Protocol

from pydantic import ConfigDict, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from pipelines.dataset import files
from pipelines.dataset.sources.base import BadRecord, Record
from pipelines.dataset.sources.image_size import MAX_PIXELS, image_problem
from pipelines.dataset.sources.paths import (
    digests,
    inside,
    label_order,
    matching_files,
    unreadable,
)
from pipelines.dataset.sources.shape import first_shape
from schemas.canonical import digest
from schemas.errors import InputError, unknown_name
from schemas.features import Modality

_ONE_SPLIT = "train"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TableConfig:
    """Which files and columns.

    Attributes:
        path: A file or a pattern (``data/*.csv``) from the current folder, or a URI: one split,
            ``train``. Or a mapping from split to such a path.
        label: Name of the column with the class.
        text: Name of the column with the text.
        image: Name of the column with the image: a path below the table's folder, or, in Parquet,
            the bytes of an encoded image.
        key: Name of a column that identifies a row; by default its file's name and its position.
        max_pixels: Larger images are bad records, and never decoded.
    """

    path: str | dict[str, str]
    label: str
    text: str | None = None
    image: str | None = None
    key: str | None = None
    max_pixels: PositiveInt = MAX_PIXELS

    @model_validator(mode="after")
    def _check(self) -> TableConfig:
        if (self.text is None) == (self.image is None):
            raise ValueError("name one input column: text, or image")
        if not self.path:
            raise ValueError("path must name a file, a pattern, or a file per split")
        return self

    @property
    def columns(self) -> Columns:
        """The columns to read."""
        return Columns(self.label, self.text or self.image or "", self.key, self.modality)

    @property
    def modality(self) -> Modality:
        """``image`` or ``text``."""
        return "text" if self.image is None else "image"


@plain_dataclass(frozen=True)
class Columns:
    """Names of the columns that are read, and what ``value`` holds."""

    label: str
    value: str
    key: str | None
    modality: Modality


@plain_dataclass(frozen=True)
class Part:
    """One file of a table.

    Attributes:
        name: Its stable name, with which the keys of its rows begin.
        path: Where it is.
        sha256: Digest of its content.
        rows: Number of rows.
        beside: Whether its images are files of their own.
    """

    name: str
    path: str
    sha256: str
    rows: int
    beside: bool


@plain_dataclass(frozen=True, slots=True)
class Row:
    """One row as its reader finds it.

    Attributes:
        label: Name of its class; None where it has none.
        value: The text, the path of an image or its bytes; None where it has none.
        key: Its key, where a column holds one.
        problem: Why it is none, as one clause.
    """

    label: str | None
    value: str | bytes | None
    key: str | None = None
    problem: str | None = None


class Reader(Protocol):
    """Reads one kind of file; frozen and picklable."""

    @property
    def kind(self) -> str: ...  # noqa: D102

    def settings(self) -> dict[str, Any]:
        """Return what decides how a file is read, as JSON, for the identity."""
        ...

    def scan(self, path: str, sha256: str, columns: Columns) -> Scan:
        """Look at the labels and keys of a file.

        Raises:
            InputError: It cannot be read as such a file, or lacks a column.
        """
        ...

    def rows(self, part: Part, columns: Columns, start: int, stop: int) -> Iterator[Row]:
        """Yield rows of a file."""
        ...


@plain_dataclass(frozen=True)
class Scan:
    """What planning needs to know about a file.

    Attributes:
        rows: Number of rows.
        labels: Name of a class to the position of its first row, and the number of its rows.
        label_type: What the labels are, for messages: all files must hold the same.
        keys: The key of every row, where a column holds them; None for a row that is none.
        beside: Whether the values are paths of images.
    """

    rows: int
    labels: Mapping[str, tuple[int, int]]
    label_type: str
    keys: Sequence[str | None] | None
    beside: bool


@plain_dataclass(frozen=True)
class Table:
    """The files of every split.

    Attributes:
        modality: ``image`` or ``text``.
        reader: Reads the files.
        columns: What it reads.
        parts: Per split its files.
        label_names: Classes found: whole numbers by value, others by code point.
        places: Where each class is found, for messages.
        max_pixels: Limit before decoding.
        image_shape: Shape of the first image, as RGB; None for text.
    """

    modality: Modality
    reader: Reader
    columns: Columns
    parts: Mapping[str, tuple[Part, ...]]
    label_names: tuple[str, ...]
    places: tuple[str, ...]
    max_pixels: int
    image_shape: tuple[int, int, int] | None = None

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of rows per split."""
        return {split: sum(part.rows for part in parts) for split, parts in self.parts.items()}

    def identity(self) -> dict[str, Any]:
        """Return the columns, every file's name and digest, and that of all images beside them."""
        identity = {
            "kind": self.reader.kind,
            "columns": [self.columns.label, self.columns.value, self.columns.key],
            "sha256": {
                split: [[part.name, part.sha256] for part in parts]
                for split, parts in sorted(self.parts.items())
            },
        } | self.reader.settings()
        if self.modality == "image":
            identity["max_pixels"] = self.max_pixels
            images = self._images()
            if images:
                hashed = dict(zip(images, digests(list(images.values())), strict=True))
                identity["images"] = digest(hashed)
        return identity

    def _images(self) -> dict[str, str]:
        """Return the images beside the tables that are there: name to full path, sorted."""
        found = {}
        for parts in self.parts.values():
            for part in parts:
                if not part.beside:
                    continue
                folder = part.path.rsplit("/", 1)[0]
                for row in self.reader.rows(part, self.columns, 0, part.rows):
                    if isinstance(row.value, str):
                        path = inside(folder, row.value)
                        if path is not None and files.exists(path):
                            found[f"{part.name}/{row.value}"] = path
        return dict(sorted(found.items()))

    def read(self, split: str, start: int, stop: int) -> Iterator[Record | BadRecord]:
        """Yield the rows ``start`` to ``stop`` of a split, across its files."""
        numbers = {name: i for i, name in enumerate(self.label_names)}
        first = 0
        for part in self.parts[split]:
            low, high = max(start, first), min(stop, first + part.rows)
            if low < high:
                rows = self.reader.rows(part, self.columns, low - first, high - first)
                for i, row in enumerate(rows, start=low):
                    key = row.key if row.key else row_key(part.name, i - first)
                    yield self._record(row, part, key, i, numbers)
            first += part.rows

    def _record(
        self, row: Row, part: Part, key: str, index: int, numbers: Mapping[str, int]
    ) -> Record | BadRecord:
        value = row.value
        raw = value.encode("utf-8") if isinstance(value, str) else value or b""
        problem = row.problem
        if problem is None and (not raw or (self.modality == "text" and raw.isspace())):
            problem = f"the column {self.columns.value!r} is empty"
        if problem is None and self.modality == "text" and b"\0" in raw:
            problem = f"the column {self.columns.value!r} holds a NUL, so it is no text"
        if problem is None and row.label is None:
            problem = f"the column {self.columns.label!r} names no class"
        if problem is None and self.modality == "image":
            if isinstance(value, str):
                raw, problem = _beside(part.path.rsplit("/", 1)[0], value)
            problem = problem or image_problem(raw, self.max_pixels)
        if problem is not None or row.label is None:
            return BadRecord(key, index, problem or "", raw)
        return Record(key, index, raw, numbers[row.label])

    def place_of(self, label: str) -> str:
        """Say where the rows of a class are."""
        return self.places[self.label_names.index(label)]


def open_table(config: TableConfig, reader: Reader) -> Table:
    """Find the files of a table and scan their labels and keys.

    Raises:
        InputError: No such file or column, a key twice, a file in two splits.
    """
    chosen = _chosen_files(config)
    paths = [path for some in chosen.values() for _, path in some]
    hashed = dict(zip(paths, digests(paths), strict=True))
    columns = config.columns
    parts: dict[str, tuple[Part, ...]] = {}
    found: dict[str, tuple[str, int]] = {}
    seen: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for split, some in chosen.items():
        scanned = []
        for name, path in some:
            scan = reader.scan(path, hashed[path], columns)
            scanned.append(Part(name, path, hashed[path], scan.rows, scan.beside))
            for label, (row, count) in scan.labels.items():
                place, before = found.get(label, (row_key(name, row), 0))
                found[label] = (place, before + count)
            _check_keys(scan, name, columns, seen)
            kinds.setdefault(scan.label_type, path)
        parts[split] = tuple(scanned)
    if len(kinds) > 1:
        (one, first), (other, second) = sorted(kinds.items())[:2]
        raise InputError(
            f"the column {columns.label!r} holds {one} in {first}, but {other} in {second}; "
            "write the same type everywhere.",
            path=("label",),
        )
    names = label_order(found)
    table = Table(
        modality=config.modality,
        reader=reader,
        columns=columns,
        parts=parts,
        label_names=names,
        places=tuple(f"{found[name][1]} rows, the first {found[name][0]}" for name in names),
        max_pixels=config.max_pixels,
    )
    if config.modality == "text" or not any(table.sizes.values()):
        return table
    return first_shape(table)


def _chosen_files(config: TableConfig) -> dict[str, list[tuple[str, str]]]:
    """Return per split the name and path of its files."""
    written = config.path if isinstance(config.path, dict) else {_ONE_SPLIT: config.path}
    chosen: dict[str, list[tuple[str, str]]] = {}
    owner: dict[str, str] = {}
    for split in sorted(written):
        at = ("path", split) if isinstance(config.path, dict) else ("path",)
        try:
            some = matching_files(written[split])
        except InputError as error:
            raise error.under(*at) from error
        for _, path in some:
            real = path if files.is_remote(path) else os.path.realpath(path)
            if owner.setdefault(real, split) != split:
                raise InputError(
                    f"{path} belongs to two splits, {owner[real]} and {split}; examples of one "
                    "must not be in the other.",
                    path=at,
                )
        prefix = f"{split}/" if isinstance(config.path, dict) else ""
        chosen[split] = [(f"{prefix}{name}", path) for name, path in some]
    return chosen


def _check_keys(scan: Scan, name: str, columns: Columns, seen: dict[str, str]) -> None:
    """Gather the keys of a file in ``seen``: key to the row that has it.

    Raises:
        InputError: A row has no key, or one that another row has.
    """
    for i, key in enumerate(scan.keys or ()):
        if key is None:
            continue
        row = row_key(name, i)
        if not key:
            raise InputError(
                f"{row} has no {columns.key!r}; fill the column, or remove source.key.",
                path=("key",),
            )
        if key in seen:
            raise InputError(
                f"{seen[key]} and {row} have the same {columns.key!r}, {key!r}. Keys must be "
                "unique over all files; repair the column, or remove source.key.",
                path=("key",),
            )
        seen[key] = row


def check_column(name: str, names: Sequence[str], path: str, setting: str) -> None:
    """Check that a file has a column, once.

    Raises:
        InputError: It has none, or two.
    """
    if names.count(name) == 1:
        return
    if name in names:
        raise InputError(f"{path} has several columns {name!r}; rename one.", path=(setting,))
    raise InputError(f"{path}: {unknown_name('column', name, names)}", path=(setting,))


def row_key(name: str, row: int) -> str:
    """Return the key of a row that has none of its own."""
    return f"{name}-{row:08d}"


def _beside(folder: str, relative: str) -> tuple[bytes, str | None]:
    """Return the bytes of an image beside the table, or its path and why it is none."""
    written = relative.encode("utf-8")
    path = inside(folder, relative)
    if path is None:
        return written, f"the image path {relative!r} leaves the table's folder"
    if not files.exists(path):
        return written, f"there is no file {relative!r} in the table's folder"
    try:
        return files.read_bytes(path), None
    except OSError as error:
        raise unreadable(path, error) from error
