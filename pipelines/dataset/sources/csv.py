"""CSV files with a header (RFC 4180): a label column and a text column, or paths of images.

They are read strictly by Python's own parser: pyarrow takes everything behind a quote that is
never closed for one value and so loses rows without a word. A row with too many or too few values
is a bad record.
"""

from __future__ import annotations

import codecs
import csv
import functools
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Any

import pyarrow as pa
from pydantic import ConfigDict, field_validator
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
from schemas.canonical import sha256 as digest_of_bytes
from schemas.errors import InputError

_LOADED_FILES = 4
_CHUNK = 1 << 12
_DELIMITERS = ",;\t|"
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*"')


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config(TableConfig):
    """Which files and columns, and how the files are written.

    Attributes:
        delimiter: One character between values.
        encoding: A Python encoding; a byte order mark is passed over.
    """

    delimiter: str = ","
    encoding: str = "utf-8"

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, value: str) -> str:
        if len(value) != 1 or value in '"\r\n':
            raise ValueError(f'delimiter must be one character (a tab is "\\t"), not {value!r}')
        return value

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str) -> str:
        try:
            "a".encode(value)  # refuses codecs of bytes, such as zlib's
            return codecs.lookup(value).name
        except (LookupError, ValueError) as error:
            raise ValueError(f"unknown encoding {value!r}; usual ones: utf-8, latin-1") from error


@plain_dataclass(frozen=True)
class CsvReader:
    """Reads CSV files whole, once per process."""

    delimiter: str
    encoding: str
    kind: str = "csv"

    def settings(self) -> dict[str, Any]:
        """Return the delimiter and the encoding."""
        return {"delimiter": self.delimiter, "encoding": self.encoding}

    def scan(self, path: str, sha256: str, columns: Columns) -> Scan:
        """Read a file and look at its labels and keys."""
        loaded = _load(path, sha256, self, columns)
        labels: dict[str, tuple[int, int]] = {}
        for i, label in enumerate(loaded.column("label").to_pylist()):
            if label and i not in loaded.problems:
                first, count = labels.get(label, (i, 0))
                labels[label] = (first, count + 1)
        keys = None
        if columns.key is not None:
            keys = loaded.column("key").to_pylist()
            for i in loaded.problems:
                keys[i] = None
        return Scan(loaded.table.num_rows, labels, "text", keys, columns.modality == "image")

    def rows(self, part: Part, columns: Columns, start: int, stop: int) -> Iterator[Row]:
        """Yield rows of a file."""
        loaded = _load(part.path, part.sha256, self, columns)
        some = loaded.table.slice(start, stop - start)
        for i, row in enumerate(some.to_pylist(), start=start):
            problem = loaded.problems.get(i)
            yield Row(row["label"] or None, row["value"], row.get("key"), problem)


def prepare(config: Config) -> Table:
    """Read the files and look at their labels.

    Raises:
        InputError: No such file or column, not CSV, not in that encoding, a key twice.
    """
    return open_table(config, CsvReader(config.delimiter, config.encoding))


@plain_dataclass(frozen=True)
class _Loaded:
    """A file in memory: text columns ``label``, ``value`` and ``key``, and rows that are none."""

    table: pa.Table
    problems: dict[int, str]

    def column(self, name: str) -> pa.ChunkedArray:
        return self.table.column(name)


@functools.lru_cache(maxsize=_LOADED_FILES)
def _load(path: str, sha256: str, reader: CsvReader, columns: Columns) -> _Loaded:
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if digest_of_bytes(data) != sha256:
        raise InputError(f"{path} has changed since the run was planned. Start it again.")
    return _parse(data, path, reader, columns)


def _parse(data: bytes, path: str, settings: CsvReader, columns: Columns) -> _Loaded:
    """Return the columns of a CSV file.

    Raises:
        InputError: JSON, not in that encoding, a quote that is not closed or followed by more text,
            or a column is missing.
    """
    if _JSON.match(data):
        raise InputError(
            f"{path} holds JSON, not CSV. Convert it: docs/own_data.md shows the two "
            "lines of pyarrow that do, under Text: a CSV file.",
            path=("path",),
        )
    delimiter = settings.delimiter
    # Decoded as it is read: a whole text takes up to four bytes a character.
    encoding = "utf-8-sig" if settings.encoding == "utf-8" else settings.encoding
    stream = io.TextIOWrapper(io.BytesIO(data), encoding, newline="")
    limit = csv.field_size_limit(sys.maxsize)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next(reader, [])
        picked = _positions(header, path, delimiter, columns)
        line = reader.line_num + 1
        rows: dict[str, list[str]] = {name: [] for name in picked}
        chunks: list[pa.Table] = []
        problems: dict[int, str] = {}
        count = 0
        for values in reader:
            if values:  # else an empty line
                if len(values) == len(header):
                    for name, at in picked.items():
                        rows[name].append(values[at])
                else:
                    problems[count] = (
                        f"line {reader.line_num} ends a row of {len(values)} values, the header "
                        f"has {len(header)} (a text that holds {delimiter!r} needs quotes)"
                    )
                    for name, column in rows.items():
                        column.append(delimiter.join(values) if name == "value" else "")
                count += 1
                if count % _CHUNK == 0:
                    chunks.append(_moved(rows))
            line = reader.line_num + 1
        chunks.append(_moved(rows))
    except UnicodeError as error:
        raise _not_text(data, path, settings.encoding) from error
    except csv.Error as error:
        raise InputError(
            f"{path}:{line}: not valid CSV from this line on ({error}). A quote within a quoted "
            'text is written twice (""), and every quote is closed.'
        ) from error
    finally:
        csv.field_size_limit(limit)
    return _Loaded(pa.concat_tables(chunks), problems)


def _not_text(data: bytes, path: str, encoding: str) -> InputError:
    """Return the error for bytes that the encoding does not have, with their line."""
    where, what = path, ""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        where = f"{path}:{data[: error.start].count(10) + 1}"
        what = f" (byte {error.start})"
    guess = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
    return InputError(
        f"{where}: not {encoding}{what}. Save the file as UTF-8, or set source.encoding, e.g. to "
        f"{guess}.",
        path=("encoding",),
    )


def _positions(header: list[str], path: str, delimiter: str, columns: Columns) -> dict[str, int]:
    """Return where the columns stand: ``label``, ``value`` and, where there is one, ``key``."""
    if not header:
        raise InputError(f"{path} is empty; it must begin with a header that names the columns.")
    if len(header) == 1:
        other = next((one for one in _DELIMITERS if one != delimiter and one in header[0]), None)
        if other is not None:
            raise InputError(
                f"{path} has the one column {header[0]!r:.80}; it seems to be delimited by "
                f"{other!r}: set source.delimiter.",
                path=("delimiter",),
            )
    wanted = [("label", columns.label, "label"), ("value", columns.value, columns.modality)]
    if columns.key is not None:
        wanted.append(("key", columns.key, "key"))
    for _, name, setting in wanted:
        check_column(name, header, path, setting)
    return {role: header.index(name) for role, name, _ in wanted}


def _moved(rows: dict[str, list[str]]) -> pa.Table:
    """Return the columns as Arrow arrays, which take a fraction of the memory, and empty them."""
    table = pa.table({name: pa.array(one, pa.large_string()) for name, one in rows.items()})
    for column in rows.values():
        column.clear()
    return table
