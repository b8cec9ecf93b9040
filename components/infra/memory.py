"""The resident set of this process, now and at its peak, as Linux counts it (proc(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
# The kernel counts pages of each thread apart and adds them up now and then.
_SLACK = 4 << 20


class Unmeasured(Exception):
    """The system does not tell; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Resident:
    """Bytes in memory.

    Attributes:
        now: At this moment.
        peak: The most since the process began or since `start_peak`.
    """

    now: int
    peak: int


def resident() -> Resident:
    """Return what is in memory.

    Raises:
        Unmeasured: there is no such file, as on other systems than Linux.
    """
    try:
        text = _STATUS.read_text("ascii", "replace")
    except OSError as error:
        raise Unmeasured(f"{_STATUS} cannot be read: {error.strerror}") from error
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.MULTILINE))
    if len(found) != 2:
        raise Unmeasured(f"{_STATUS} does not tell VmRSS and VmHWM")
    return Resident(now=int(found["VmRSS"]) << 10, peak=int(found["VmHWM"]) << 10)


def start_peak() -> Resident:
    """Let the peak count from now on, and return what is in memory.

    Raises:
        Unmeasured: the kernel does not do that.
    """
    try:
        _CLEAR.write_text(_RESET_PEAK, "ascii")
    except OSError as error:
        raise Unmeasured(f"{_CLEAR} cannot be written: {error.strerror}") from error
    found = resident()
    if found.peak > found.now + _SLACK:
        raise Unmeasured(f"{_CLEAR} does not set back the peak")
    return found
