"""Cost of a call or a command: wall time, CPU time of it and its children."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import FailedError

PROJECT = Path(__file__).resolve().parent.parent
_SHOWN = 2000


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of wall and CPU time."""

    wall: float
    cpu: float


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and the threads it starts, on one core where the system allows."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def cost_of(call: Callable[[], Any]) -> Cost:
    """Run ``call`` once and return what it cost."""
    gc.collect()
    cpu, start = _cpu_seconds(), time.perf_counter()
    call()
    return Cost(wall=time.perf_counter() - start, cpu=_cpu_seconds() - cpu)


def cost_of_command(module: str, arguments: Sequence[str]) -> tuple[Cost, Any]:
    """Run ``python -m module arguments`` in a new process.

    Returns:
        Its cost, start-up included, and the JSON value of the last line that it printed.

    Raises:
        FailedError: It did not exit with 0.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise FailedError(
            f"python -m {module} exited with {process.returncode}:\n{output[-_SHOWN:].strip()}"
        )
    cost = Cost(wall=wall, cpu=usage.ru_utime + usage.ru_stime)
    return cost, json.loads(output.strip().splitlines()[-1])


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
