"""Parquet files: a label column and a text or an image column, read by the row group.

Images are encoded bytes, or a struct with ``bytes`` as Hugging Face's datasets write it, or paths
below the file's folder. Class names that such a file carries for a whole-number label are used.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from pipelines.dataset import files
from pipelines.dataset.sources.paths import unreadable
from pipelines.dataset.sources.tables import (
    Columns,
    Part,
    Row,
    Scan,
    Table,
    TableConfig,
    check_column,
    open_table,
)
from schemas.errors import InputError

_LOADED_GROUPS = 2


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config(TableConfig):
    """Which files and columns."""


@plain_dataclass(frozen=True)
class ParquetReader:
    """Reads the row groups that a slice needs."""

    kind: str = "parquet"

    def settings(self) -> dict[str, Any]:
        """Return nothing: a Parquet file says itself how it is read."""
        return {}

    def scan(self, path: str, sha256: str, columns: Columns) -> Scan:
        """Read the label and the key column of a file."""
        with _opened(path) as file:
            _check(file.schema_arrow, path, columns)
            wanted = [columns.label, *([columns.key] if columns.key else [])]
            table = file.read(columns=wanted)
            table.validate(full=True)  # labels and keys that are not UTF-8
            is_path = _is_string(_inner(file.schema_arrow.field(columns.value).type))
            beside = columns.modality == "image" and is_path
        names = _class_names(table.schema, columns.label)
        values = _as_names(table.column(columns.label), names)
        labels = {}
        for one in pc.value_counts(values).to_pylist():
            label, count = one["values"], one["counts"]
            if label:
                labels[label] = (pc.index(values, label).as_py(), count)
        keys = None
        if columns.key:
            keys = [one or "" for one in _as_text(table.column(columns.key)).to_pylist()]
        kind = _label_type(table.schema, columns.label)
        return Scan(table.num_rows, labels, kind, keys, beside)

    def rows(self, part: Part, columns: Columns, start: int, stop: int) -> Iterator[Row]:
        """Yield rows of a file, read by the row group."""
        first = 0
        for group, count in enumerate(_group_sizes(part.path, part.sha256)):
            low, high = max(start, first), min(stop, first + count)
            if low < high:
                table = _group(part.path, part.sha256, group, columns)
                yield from _rows(table.slice(low - first, high - low), columns)
            first += count


def prepare(config: Config) -> Table:
    """Read the label columns.

    Raises:
        InputError: No such file or column, not Parquet, a column of another type, a key twice.
    """
    return open_table(config, ParquetReader())


def _rows(table: pa.Table, columns: Columns) -> Iterator[Row]:
    labels = _as_names(
        table.column(columns.label), _class_names(table.schema, columns.label)
    ).to_pylist()
    keys = _as_text(table.column(columns.key)).to_pylist() if columns.key else None
    for i, value in enumerate(_values(table.column(columns.value), columns.modality)):
        yield Row(labels[i] or None, value, keys[i] if keys else None)


def _values(column: pa.ChunkedArray, modality: str) -> list[Any]:
    kind = column.type
    if pa.types.is_struct(kind):
        column = pc.struct_field(column, "bytes")
    elif pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if modality == "text":  # as bytes: what is not UTF-8 is a bad record, not a failure
        column = column.cast(pa.large_binary())
    return list(column.to_pylist())


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings, whole numbers or booleans as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.large_string())


def _as_names(column: pa.ChunkedArray, names: list[str] | None) -> pa.ChunkedArray:
    """Return labels as class names; a number without a name is none."""
    if names is None:
        return _as_text(column)
    known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
    indices = pc.if_else(known, column, pa.scalar(None, column.type)).cast(pa.int64())
    return pa.chunked_array(
        [pa.array(names, pa.large_string()).take(chunk) for chunk in indices.chunks],
        pa.large_string(),
    )


def _label_type(schema: pa.Schema, label: str) -> str:
    kind = schema.field(label).type
    if pa.types.is_boolean(kind):
        return "booleans"
    is_number = pa.types.is_integer(kind) and _class_names(schema, label) is None
    return "whole numbers" if is_number else "strings"


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Return the class names that Hugging Face's datasets leave in a file's metadata."""
    stored = (schema.metadata or {}).get(b"huggingface")
    if stored is None or not pa.types.is_integer(schema.field(label).type):
        return None
    try:
        names = json.loads(stored)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_names else None


def _check(schema: pa.Schema, path: str, columns: Columns) -> None:
    """Check that a file has the columns, of types that are read.

    Raises:
        InputError: Naming the column and its type.
    """
    checks = [("label", columns.label, _is_name, "strings, whole numbers or booleans")]
    if columns.modality == "text":
        checks.append(("text", columns.value, _is_string, "strings"))
    else:
        wanted = "encoded images (binary, or a struct with bytes) or paths of images"
        checks.append(("image", columns.value, _is_image, wanted))
    if columns.key:
        checks.append(("key", columns.key, _is_key, "strings or whole numbers"))
    for setting, name, accepted, wanted in checks:
        check_column(name, schema.names, path, setting)
        kind = schema.field(name).type
        if not accepted(_inner(kind)):
            raise InputError(
                f"{path}: the column {name!r} holds {kind}, but must hold {wanted}.",
                path=(setting,),
            )


def _inner(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_key(kind: Any) -> bool:
    return _is_string(kind) or bool(pa.types.is_integer(kind))


def _is_name(kind: Any) -> bool:
    return _is_key(kind) or bool(pa.types.is_boolean(kind))


def _is_image(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _is_bytes(kind.field(at).type)
    return _is_string(kind) or _is_bytes(kind)


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    """Open a file; what goes wrong inside the block is said of it, too.

    Raises:
        InputError: It cannot be read, or is no Parquet file, or is damaged.
    """
    try:
        with files.open_arrow(path) as stream:
            yield pq.ParquetFile(stream)
    except pa.ArrowException as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _damaged(path: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0].rstrip(".")
    return InputError(f"{path}: not a whole Parquet file ({reason}).")


@functools.lru_cache(maxsize=64)
def _group_sizes(path: str, sha256: str) -> tuple[int, ...]:
    with _opened(path) as file:
        metadata = file.metadata
        return tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))


@functools.lru_cache(maxsize=_LOADED_GROUPS)
def _group(path: str, sha256: str, group: int, columns: Columns) -> pa.Table:
    wanted = [one for one in (columns.label, columns.value, columns.key) if one]
    with _opened(path) as file:
        return file.read_row_group(group, columns=wanted)
