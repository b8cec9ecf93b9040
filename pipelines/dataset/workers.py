"""Worker processes that die: Beam's own runner waits for ever for one that has not connected yet.

It notices in a thread of its own, which raises to nobody; here that becomes the end of the run.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator

from schemas.errors import FailedError

GRACE = 5.0
"""Seconds in which the runner may end by itself, as it does where the worker was connected."""
_CLOSED = "Channel closed prematurely"
_DIED = re.compile(r"Worker subprocess exited with return code (-?\d+)")


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let the block end when one of the runner's worker processes dies.

    Raises:
        FailedError: One died, and that ended the block.
    """
    if threading.current_thread() is not threading.main_thread():  # which signals do not reach
        yield
        return
    deaths: list[str] = []
    sent: list[bool] = []
    timers: list[threading.Timer] = []
    usual = threading.excepthook

    def interrupt() -> None:
        sent.append(True)
        os.kill(os.getpid(), signal.SIGINT)

    def hook(args: threading.ExceptHookArgs) -> None:
        died = _DIED.search(str(args.exc_value))
        if died is None:
            usual(args)
            return
        deaths.append(died[1])
        timer = threading.Timer(GRACE, interrupt)
        timer.daemon = True
        timers.append(timer)
        timer.start()

    threading.excepthook = hook
    try:
        try:
            yield
            return
        finally:
            threading.excepthook = usual
            for timer in timers:
                timer.cancel()
    except KeyboardInterrupt:
        if not sent:  # the user's own
            raise
    except Exception as error:
        if not deaths or _CLOSED not in str(error):
            raise
    raise FailedError(
        f"a worker process ended early (status {deaths[0]}; 137 and -9 mean that it was killed, as "
        "where memory runs out)."
    ) from None
