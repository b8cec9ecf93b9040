r"""The one rule that turns text into tokens, for the vocabulary and for the served model alike.

The serving graph applies the same rule with ``tf.strings`` (RE2 on UTF-8), so the patterns here
use only ASCII classes, on which Python's ``re`` and RE2 agree:

1. an HTML break (``<br>``, ``<br/>``, ``<br />``, any case) becomes a space;
2. ASCII letters become lower case (other scripts are left alone);
3. every run of ASCII characters other than letters, digits and the apostrophe becomes one space;
4. the tokens are what stands between the spaces.

Non-ASCII characters are part of words.
"""

from __future__ import annotations

import re

BREAK_PATTERN = r"<[bB][rR] ?/?>"
SEPARATOR_PATTERN = r"[\x00-\x26\x28-\x2f\x3a-\x60\x7b-\x7f]+"
"""What separates tokens, after lower-casing: any ASCII character but ``[a-z0-9']``."""

PADDING = ""
OOV = "<OOV>"
PADDING_ID = 0
OOV_ID = 1
"""Token ids: 0 is padding, 1 is ``<OOV>``, and line *n* (from 0) of a vocabulary file is n + 1."""

_BREAK = re.compile(BREAK_PATTERN)
_SEPARATOR = re.compile(SEPARATOR_PATTERN)


def standardize(text: str) -> str:
    """Return ``text`` as its tokens joined by single spaces.

    Args:
        text: Any Unicode text that can be encoded as UTF-8.
    """
    lowered = _BREAK.sub(" ", text).encode("utf-8").lower().decode("utf-8")
    return _SEPARATOR.sub(" ", lowered).strip(" ")


def tokens(text: str) -> list[str]:
    """Return the tokens of ``text`` in order (empty for text without any)."""
    standard = standardize(text)
    return standard.split(" ") if standard else []
