"""The errors a user can cause or meet; each carries the exit status of the command line.

Every message names the rule that was broken, the value received and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3


class RefineryError(Exception):
    """Base of every error that is reported as one line instead of a traceback."""

    exit_code = EXIT_FAILED


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


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> str:
    """Return the message for an unknown name: the nearest match and all valid names.

    Args:
        kind: What was named, e.g. ``"recipe"``.
        name: The value received.
        valid: Every name that would have been accepted.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {str(name)!r}.{hint} Valid: {', '.join(names) or '(none)'}."
