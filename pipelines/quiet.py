"""What goes to the terminal: no chatter of libraries, and nothing that ends a run.

Much of what TensorFlow, Beam and TFX say is written by C++ straight to file descriptor 2, before
any Python setting applies, so the descriptor itself is redirected.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast


@contextlib.contextmanager
def quiet(*, verbose: bool = False, log: Path | None = None) -> Iterator[TextIO]:
    """Redirect everything written to standard error for as long as the block runs.

    Exceptions pass through, so what went wrong can still be said by whoever catches them.

    Args:
        verbose: Leave everything on the terminal.
        log: File to append it to; None throws it away.

    Yields:
        A stream that still reaches the terminal, for progress lines; `lasting`.
    """
    if verbose:
        yield sys.stderr
        return
    sys.stderr.flush()
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    sink = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(os.dup(2), "w", buffering=1) as terminal:
        os.dup2(sink, 2)
        os.close(sink)
        try:
            yield lasting(terminal)
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)


def lasting(stream: TextIO | None) -> TextIO:
    """Return a stream that outlives its reader: after `| head` has left, what is written is lost.

    Work goes on, and its end decides the exit status, whoever listens. Characters that the stream's
    encoding lacks, as a terminal's may, are escaped as Python writes them.

    Args:
        stream: The stream to write to; None, as Python has it of a closed one, throws all away.
    """
    return cast(TextIO, _Lasting(stream or open(os.devnull, "w")))  # noqa: SIM115 - to the end


class _Lasting:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._unbroken():
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                coding = self._stream.encoding
                self._stream.write(text.encode(coding, "backslashreplace").decode(coding))
        return len(text)

    def flush(self) -> None:
        with self._unbroken():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _unbroken(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
