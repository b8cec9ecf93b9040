"""A lossless tokenizer: words at the odd positions, what separates them at the even ones.

``tokenize("A film, twice.")`` is ``["", "A", " ", "film", ", ", "twice", "."]``. Joining the list
gives the text back, character by character, so that a text op only touches what it means to.
"""

from __future__ import annotations

import re

Tokens = list[str]
"""``[separator, word, separator, ..., word, separator]``: odd length; separators may be empty."""

# A word is a run of word characters with apostrophes inside ("don't"). The lookbehinds keep the
# names of HTML tags ("<br />") and of entities ("&amp;") among the separators.
_WORD = re.compile(r"((?<![<&\w])(?<!</)\w+(?:['’]\w+)*)")
_CLAUSE_END = re.compile(r"[.!?;:()<\n]")


def tokenize(text: str) -> Tokens:
    """Split ``text`` into words (odd positions) and separators (even positions).

    A contraction is one word; HTML breaks, punctuation and white space are separators.
    ``join(tokenize(text)) == text`` for every text.
    """
    return _WORD.split(text)


def join(tokens: Tokens) -> str:
    """Return the text that ``tokens`` stand for."""
    return "".join(tokens)


def words(tokens: Tokens) -> list[str]:
    """Return the words of ``tokens`` in order."""
    return tokens[1::2]


def ends_clause(separator: str) -> bool:
    """Tell whether ``separator`` holds a full stop, a colon, a bracket, a line or HTML break."""
    return separator != " " and _CLAUSE_END.search(separator) is not None


def starts_sentence(separator: str) -> bool:
    """Tell whether a word after ``separator`` may be capitalised for its position alone."""
    return separator == "" or ends_clause(separator)


def is_compound(tokens: Tokens, index: int) -> bool:
    """Tell whether a hyphen ties the word at ``index`` (odd) to a neighbour ("well-made")."""
    return tokens[index - 1].endswith("-") or tokens[index + 1].startswith("-")
