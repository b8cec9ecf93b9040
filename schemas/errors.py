"""The errors a user can cause or meet; each carries the exit status of the command line.

Every message names the rule that was broken, the value received and the fix.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Any

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3

MAX_MESSAGE = 2_000
"""Characters of a message; what is longer is cut in the middle."""

_COMPARED = 200
_UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


class RefineryError(Exception):
    """Base of every error that is reported as one line instead of a traceback.

    As text it is one printable line, whatever names and values it quotes: see `printable`.
    """

    exit_code = EXIT_FAILED

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(RefineryError, ValueError):
    """Bad usage, recipe or input data (exit status 2).

    Attributes:
        path: Where in a recipe the value stands, e.g. ``("slots", 0, "probability")``. The recipe
            loader turns it into a file and line.
    """

    exit_code = EXIT_BAD_INPUT

    def __init__(self, message: str, *, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def under(self, *prefix: str | int) -> InputError:
        """Return the same error with ``prefix`` put before its path."""
        return InputError(self.message, path=(*prefix, *self.path))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the path, so that an error raised in a worker keeps it."""
        return (_rebuild_input_error, (self.message, self.path))


class FailedError(RefineryError):
    """The work was well specified and still failed (exit status 1)."""

    exit_code = EXIT_FAILED


class GateRefusal(RefineryError):
    """A gate refused to go on or to push (exit status 3).

    Attributes:
        decision: What the gate decided (`schemas.report.GateDecision`), where it says more than
            the message.
    """

    exit_code = EXIT_REFUSED

    def __init__(self, message: str, *, decision: Any = None) -> None:
        super().__init__(message)
        self.decision = decision


def _rebuild_input_error(message: str, path: tuple[str | int, ...]) -> InputError:
    return InputError(message, path=path)


def printable(text: str, most: int = MAX_MESSAGE) -> str:
    """Return text that a terminal shows as it stands, on one line.

    Control characters (a line feed, an escape sequence), invisible and direction-changing ones and
    bytes that were no text are escaped as Python writes them; a long text is `shortened`.
    """
    escaped = "".join(
        one.encode("unicode_escape").decode("ascii")
        if unicodedata.category(one) in _UNPRINTABLE
        else one
        for one in shortened(text, most)
    )
    return shortened(escaped, most)


def shortened(text: str, most: int) -> str:
    """Return text of about ``most`` characters: the middle of a longer one is left out."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> str:
    """Return the message for an unknown name: the nearest match and all valid names.

    Args:
        kind: What was named, e.g. ``"recipe"``.
        name: The value received.
        valid: Every name that would have been accepted.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(str(name)[:_COMPARED], names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    shown = shortened(str(name), _COMPARED)
    return f"unknown {kind} {shown!r}.{hint} Valid: {', '.join(names) or '(none)'}."
