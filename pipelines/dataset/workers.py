"""Worker processes that die: Beam's own runner waits for ever for one that has not connected yet.

It notices in a thread of its own, which raises to nobody; here that becomes the end of the run.
"""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator

from schemas.errors import FailedError

GRACE = 5.0
"""Seconds in which the runner may end by itself, as it does where the worker was connected."""
_CLOSED = "Channel closed prematurely"
_DIED = re.compile(r"Worker subprocess exited with return code (-?\d+)")


class _Died(BaseException):
    """Ends the block; no ``KeyboardInterrupt``: a command in the background may ignore those."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let the block end when one of the runner's worker processes dies.

    Uses SIGUSR1, which reaches a thread that waits.

    Raises:
        FailedError: One died, and that ended the block.
    """
    if threading.current_thread() is not threading.main_thread():  # which signals do not reach
        yield
        return
    deaths: list[str] = []
    timers: list[threading.Timer] = []
    lock = threading.Lock()
    state = "running"

    def interrupt() -> None:
        nonlocal state
        with lock:
            if state == "running":
                state = "interrupted"
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def raise_died(number: int, frame: object) -> None:
        raise _Died

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

    usual, threading.excepthook = threading.excepthook, hook
    before = signal.signal(signal.SIGUSR1, raise_died)
    try:
        try:
            yield
        finally:
            threading.excepthook = usual
            for timer in timers:
                timer.cancel()
            with lock:  # by default a signal that is still on its way would end the process
                after = before if state == "running" else signal.SIG_IGN
                state = "ended"
                signal.signal(signal.SIGUSR1, after)
        return
    except _Died:
        pass
    except Exception as error:
        if not deaths or _CLOSED not in str(error):
            raise
    raise FailedError(
        f"a worker process ended early (status {deaths[0]}; 137 and -9 mean that it was killed, as "
        "where memory runs out)."
    ) from None
