"""JSON that carries a hash of itself, so that a changed byte is noticed without a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from schemas.canonical import digest

SEAL = "sha256"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``value`` with ``sha256``, the digest of its canonical JSON without that key."""
    plain = {key: one for key, one in value.items() if key != SEAL}
    return {**plain, SEAL: digest(plain)}


def indented(value: Mapping[str, Any]) -> str:
    """Return the one text that stands for ``value`` in a file of its own."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def one_line(value: Mapping[str, Any]) -> str:
    """Return the one text that stands for ``value`` as a line."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(", ", ": ")) + "\n"


def unsealed(text: str, form: Any) -> dict[str, Any]:
    """Read a sealed value.

    Args:
        text: What `indented` or `one_line` wrote.
        form: That function: any other spelling of the same value counts as changed.

    Raises:
        ValueError: the text is no JSON object, or was changed since it was sealed.
    """
    try:
        value = json.loads(text)
        intact = isinstance(value, dict) and sealed(value) == value and form(value) == text
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"not readable ({error})") from error
    if not intact:
        raise ValueError("changed since it was written (its own SHA-256 does not match)")
    return value
