"""Keep the chatter of TensorFlow, Beam and TFX off the terminal.

Much of it is written by C++ straight to file descriptor 2, before any Python setting applies, so
the descriptor itself is redirected.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def quiet(*, verbose: bool = False, log: Path | None = None) -> Iterator[TextIO]:
    """Redirect everything written to standard error for as long as the block runs.

    Exceptions pass through, so what went wrong can still be said by whoever catches them.

    Args:
        verbose: Leave everything on the terminal.
        log: File to append it to; None throws it away.

    Yields:
        A stream that still reaches the terminal, for progress lines.
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
            yield terminal
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)
