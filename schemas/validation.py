"""Pydantic's verdict as one `InputError`: the key path, the rule, the value received, the fix."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from schemas.errors import InputError, unknown_name

T = TypeVar("T")
_SECRET = frozenset(("notify",))
"""Keys below which somebody may have written a URL that holds a secret: it is not repeated."""

_PLAIN = {
    "dataclass_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list, as in [a, b]",
    "too_short": "must have at least {min_length} entry",
}
"""Python's types in the words of YAML."""
_UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden")


def validated(kind: type[T], value: Any) -> T:
    """Return ``value`` as a ``kind`` (a pydantic dataclass).

    Raises:
        InputError: The value breaks a rule; ``path`` tells where, the first problem is named.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"must be a mapping of keys to values, not {value!r}.")
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:  # not chained: its text repeats values, and a trace shows it
        raise _input_error(kind, error) from None


def _input_error(kind: type, error: ValidationError) -> InputError:
    problems = error.errors()
    unknown = [one for one in problems if one["type"] in _UNKNOWN_KEY]
    first = (unknown or problems)[0]  # a misspelt key explains the one that is missing
    path = tuple(one for one in first["loc"] if one != "[key]")
    if unknown:
        valid = _names_at(kind, path[:-1])
        return InputError(unknown_name("key", path[-1], valid), path=path)
    if first["type"] in ("missing", "missing_argument"):
        return InputError(f"the key {path[-1]!r} is missing; add it.", path=path[:-1])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):  # a rule over several keys names the one to change
        path = (*path, *cause.path)
    plain = _PLAIN.get(first["type"])
    message = plain.format(**first.get("ctx", {})) if plain else first["msg"]
    message = message.removeprefix("Value error, ").rstrip(".")
    message = message[0].lower() + message[1:]
    secret = not _SECRET.isdisjoint(path)
    if first["type"] not in ("refresh", "value_error") and not secret:
        message = f"{message}; got {first['input']!r}"
    return InputError(f"{message}.", path=path)


def _names_at(kind: Any, path: tuple[str | int, ...]) -> set[str]:
    """Return the field names of the dataclasses that may stand at ``path`` below ``kind``."""
    kinds = _dataclasses_in(kind)
    for part in path:
        below: list[Any] = []
        for one in kinds:
            hints = typing.get_type_hints(one)
            if part in hints:
                below += _dataclasses_in(hints[str(part)])
        kinds = below or kinds  # an index or a dictionary key stays within the same element type
    return {field.name for one in kinds for field in dataclasses.fields(one) if field.init}


def _dataclasses_in(hint: Any) -> list[Any]:
    """Return the dataclasses named anywhere in a type hint (through tuples, unions, Annotated)."""
    if dataclasses.is_dataclass(hint):
        return [hint]
    if typing.get_origin(hint) is None and not isinstance(hint, types.UnionType):
        return []
    return [found for arg in typing.get_args(hint) for found in _dataclasses_in(arg)]
