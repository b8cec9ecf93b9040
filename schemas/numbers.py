"""Numbers of a recipe as written: ``true`` is none of them, though Python counts it as 1."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from schemas.errors import InputError, unknown_name


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise InputError(f"must be a number, not {str(value).lower()}")
    return value


Number = Annotated[float, BeforeValidator(_no_flag)]
Whole = Annotated[int, BeforeValidator(_no_flag)]


def number_or_by_name(
    value: Any, kind: str, *, known: Collection[str] | None = None, whole: bool = False
) -> Any:
    """Return a number, or numbers by name, as they are.

    Args:
        value: As written.
        kind: What the names are of, for the message.
        known: The names that there are; None takes any.
        whole: Whether only whole numbers are taken.

    Raises:
        InputError: It is neither, or a name is not known; its path is below that of ``value``.
    """
    number = int if whole else int | float
    words = "a whole number" if whole else "a number"
    if not isinstance(value, Mapping):
        if isinstance(value, bool) or not isinstance(value, number):
            raise InputError(f"must be {words}, or one by {kind}, not {value!r}")
        return value
    for name, one in value.items():
        if known is not None and name not in known:
            raise InputError(unknown_name(kind, name, known), path=(name,))
        if one is None:
            raise InputError(f"{name} must be {words}, not null; leave it out", path=(name,))
        if isinstance(one, bool) or not isinstance(one, number):
            raise InputError(f"{name} must be {words}, not {one!r}", path=(name,))
    return value
