"""A source held to its schema: the order of its classes, the limits of its texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.dataset import files
from pipelines.dataset.sources.base import BadRecord, Record, Source
from pipelines.dataset.sources.paths import full_path
from schemas.dataset_schema import LABEL, SCHEMA_FILE, DatasetSchema, infer, parse
from schemas.errors import FailedError, InputError, printable
from schemas.features import ExampleSchema, Modality
from schemas.manifest import MANIFEST
from schemas.recipe import RECIPES_DIR, Recipe

_SHOWN_NAMES = 8
_MANY_CLASSES = 20
_GUIDE = (
    "It is enforced; edit it, and the next run follows it. The values of the string_domain are",
    "the classes, in the order of their numbers: write a new one at the end, so that the others",
    "keep theirs. A class may have no examples.",
)
_TEXT_GUIDE = "text_length: the fewest (min) and most (max) characters of a text."


@dataclass(frozen=True)
class Opened:
    """A source, its schema, and what to tell the user.

    Attributes:
        source: The source, held to the schema.
        schema: The schema; None where the recipe has none.
        notes: Lines for the terminal.
        new: Where the schema is to be kept, if it was inferred just now. Nothing is written before
            the run is sure to start: a refused one leaves no file.
    """

    source: Source
    schema: DatasetSchema | None
    notes: tuple[str, ...]
    new: str | None = None

    def new_file(self) -> tuple[str, str] | None:
        """Return path and content of the inferred schema, for `keep`; None where it exists."""
        return None if self.new is None or self.schema is None else (self.new, self.schema.text)

    def stored_pbtxt(self, stored: ExampleSchema) -> str | None:
        """Return the schema of the stored examples in text form; None where there is no schema.

        Raises:
            InputError: The schema names a feature that the examples do not have.
        """
        return None if self.schema is None else self.schema.stored_pbtxt(stored)


@dataclass(frozen=True)
class EnforcedSource:
    """A source whose labels have the numbers of a schema.

    Attributes:
        source: Where the records come from.
        label_names: The schema's.
        numbers: Number in the schema of every class of the source.
        shortest: Fewest characters of a text.
        longest: Most characters of a text.
    """

    source: Source
    label_names: tuple[str, ...]
    numbers: tuple[int, ...]
    shortest: int | None
    longest: int | None

    @property
    def modality(self) -> Modality:
        """The source's."""
        return self.source.modality

    @property
    def image_shape(self) -> tuple[int | None, int | None, int] | None:
        """The source's."""
        return self.source.image_shape

    @property
    def sizes(self) -> Mapping[str, int]:
        """The source's."""
        return self.source.sizes

    def identity(self) -> dict[str, Any]:
        """Return the source's; the schema has a place of its own in a fingerprint."""
        return self.source.identity()

    def place_of(self, label: str) -> str:
        """Say where examples of a class are; the schema may name classes that have none."""
        return self.source.place_of(label)

    def read(self, split: str, start: int, stop: int) -> Iterator[Record | BadRecord]:
        """Yield the source's records; a text beyond the limits is a bad record."""
        for record in self.source.read(split, start, stop):
            if isinstance(record, BadRecord):
                yield record
                continue
            problem = self._problem(record.value)
            if problem is not None and isinstance(record.value, bytes):
                yield BadRecord(record.key, record.index, problem, record.value)
            else:
                known = 0 <= record.label < len(self.numbers)
                label = self.numbers[record.label] if known else -1
                yield Record(record.key, record.index, record.value, label)

    def _problem(self, value: Any) -> str | None:
        if self.modality == "image" or (self.shortest is None and self.longest is None):
            return None
        length = len(value.decode("utf-8", "replace"))
        if self.shortest is not None and length < self.shortest:
            return f"the text has {length} characters, the schema asks for {self.shortest} or more"
        if self.longest is not None and length > self.longest:
            return f"the text has {length} characters, the schema allows {self.longest}"
        return None


def enforced(source: Source, recipe: Recipe, origin: str, *, infers: bool) -> Opened:
    """Hold a source to the schema of a recipe; where there is none yet, infer it.

    Args:
        source: As opened.
        recipe: Its ``schema`` is a path from the folder of ``origin``; from the current folder for
            a recipe that is shipped.
        origin: The recipe's file, or the manifest of a dataset, whose own schema then counts.
        infers: Whether the kind of source has a schema in any case.

    Raises:
        InputError: The schema is unusable, or the source has a class that it does not name.
    """
    path = _schema_path(recipe, origin, default=infers)
    if path is not None and files.exists(path):
        schema = parse(files.read_bytes(path), path)
        return Opened(_held(source, schema), schema, ())
    of_dataset = os.path.basename(origin) == MANIFEST
    if not infers and (recipe.schema is None or of_dataset):
        return Opened(source, None, ())
    schema = _inferred(source, recipe, origin, path or SCHEMA_FILE)
    if path is None or of_dataset:
        return Opened(_held(source, schema), schema, ())
    return Opened(_held(source, schema), schema, (_note(schema, path),), path)


def _schema_path(recipe: Recipe, origin: str, *, default: bool) -> str | None:
    folder, _, name = origin.rpartition("/")
    if name == MANIFEST:
        return files.join(folder, SCHEMA_FILE) if folder else SCHEMA_FILE
    if Path(folder) == RECIPES_DIR:  # a shipped recipe, its source overridden
        folder = ""
    if recipe.schema is not None:
        if files.is_remote(recipe.schema):
            return recipe.schema
        return os.path.join(folder, os.path.expanduser(recipe.schema))
    stem, suffix = os.path.splitext(name)
    if default and suffix in (".yaml", ".yml"):
        return os.path.join(folder, f"{stem}.pbtxt")
    return None


def _held(source: Source, schema: DatasetSchema) -> Source:
    known = {name: i for i, name in enumerate(schema.label_names)}
    missing = [name for name in source.label_names if name not in known]
    if missing:
        more = f" (and {len(missing) - 1} more such classes)" if len(missing) > 1 else ""
        raise InputError(
            f"the class {missing[0]!r} is not in the schema{more}: {source.place_of(missing[0])}. "
            f'Add `value: "{missing[0]}"` at the end of the string_domain {LABEL!r} of '
            f"{schema.origin}, or correct or remove those examples.",
            path=("schema",),
        )
    numbers = tuple(known[name] for name in source.label_names)
    limits = (schema.shortest, schema.longest)
    if schema.label_names == tuple(source.label_names) and limits == (None, None):
        return source
    return EnforcedSource(source, schema.label_names, numbers, *limits)


def _inferred(source: Source, recipe: Recipe, origin: str, path: str) -> DatasetSchema:
    names = tuple(source.label_names)
    _check_inferred(source, names)
    count = sum(source.sizes.values())
    comments = [
        f"Schema of the data of {os.path.basename(origin)}, inferred from {count:,} records.",
        *_GUIDE,
    ]
    if source.image_shape is None:
        comments.append(_TEXT_GUIDE)
    elif None not in source.image_shape:
        height, width, _ = source.image_shape
        comments.append(f"The first image has {height} x {width} pixels (height x width).")
    schema = infer(source.modality, names, comments, path)
    return schema


def _check_inferred(source: Source, names: tuple[str, ...]) -> None:
    """Refuse what is hardly meant; who means it writes the schema by hand.

    Raises:
        InputError: Fewer than two classes, or two of one name, or almost as many as records.
    """
    hint = "Or write the schema yourself, if it is meant."
    if len(names) < 2:
        found = f"one class, {names[0]!r}: {source.place_of(names[0])}" if names else "no class"
        raise InputError(
            f"the source has {found}. A classifier needs two or more.", path=("source",)
        )
    alike = Counter(name.strip().casefold() for name in names)
    twice = [name for name in names if alike[name.strip().casefold()] > 1]
    if twice:
        raise InputError(
            f"the classes {twice[0]!r} ({source.place_of(twice[0])}) and {twice[1]!r} "
            f"({source.place_of(twice[1])}) differ in blanks or capitals only. Correct one. {hint}",
            path=("source",),
        )
    count = sum(source.sizes.values())
    if len(names) > _MANY_CLASSES and 2 * len(names) > count:
        raise InputError(
            f"{count:,} records have {len(names):,} different labels ({names[0]!r}, {names[1]!r}, "
            f"...): is it the right column? {hint}",
            path=("source",),
        )


def keep(path: str, text: str) -> None:
    """Write an inferred schema.

    Raises:
        InputError: It cannot be written there.
    """
    try:
        files.write_atomic(full_path(path), text.encode("utf-8"))
    except FailedError as error:
        raise InputError(
            f"the inferred schema must be kept: {error} Name a writable place by `schema:`.",
            path=("schema",),
        ) from error


def _note(schema: DatasetSchema, path: str) -> str:
    names = ", ".join(schema.label_names[:_SHOWN_NAMES])
    more = ", ..." if len(schema.label_names) > _SHOWN_NAMES else ""
    return printable(
        f"new schema {path} ({len(schema.label_names)} classes: {names}{more}); "
        "it is enforced from now on, and yours to edit"
    )
