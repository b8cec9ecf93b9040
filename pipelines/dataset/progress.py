"""Progress of a materialization, read from the side files that finished shards leave."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TextIO

from pipelines.dataset import files, store
from pipelines.dataset.plan import Plan

_TERMINAL_SECONDS = 0.5
_PLAIN_SECONDS = 10.0


class Progress:
    """Context manager: shows shards done, examples per second and time left until it exits.

    Works with any runner that writes to the output, since it looks at the output alone. On a
    terminal one line is redrawn; elsewhere a plain line is written every ten seconds.
    """

    def __init__(self, plan: Plan, *, already: int, stream: TextIO) -> None:
        """Count from ``already`` finished shards."""
        self._folder = files.join(plan.job.output, store.WORK)
        self._total = plan.shards
        self._already = already
        records = sum((t.stop - t.start) * _share(t.shards) for t in plan.tasks)
        self._per_shard = records / max(self._total, 1)
        self._stream = stream
        self._terminal = stream.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching and leave the line."""
        self._stop.set()
        self._thread.join()
        if self._terminal:
            self._write("\r\x1b[K")

    def _watch(self) -> None:
        period = _TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS
        while not self._stop.wait(period):
            line = self._line()
            self._write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _line(self) -> str:
        done = sum(name.endswith(store.SIDE_SUFFIX) for name in files.sizes(self._folder))
        seconds = time.monotonic() - self._start
        new = max(done - self._already, 0)
        rate = new * self._per_shard / seconds
        left = (self._total - done) * seconds / new if new else None
        remaining = f"{left:.0f} s left" if left is not None else "starting"
        return f"{done}/{self._total} shards, {rate:,.0f} examples/s, {remaining}"


def _share(shards: tuple[tuple[str, int], ...]) -> int:
    """Return how often a record of a task is stored: once per copy, or once as eval or test."""
    return max(sum(split == "train" for split, _ in shards), 1)
