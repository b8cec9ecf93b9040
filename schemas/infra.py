"""What the infra check measured of an exported model in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.figures import LATENCY_SHARE, quantile


@dataclass(frozen=True, kw_only=True)
class InfraReport:
    """How what ships loads and answers, on one thread of one process. See ``docs/infra.md``.

    Attributes:
        golden_difference: The largest absolute difference of a probability to that of the
            evaluation, over all golden requests, asked in one batch and some of them singly.
        requests: Number of golden requests.
        load_seconds: Wall-clock time that loading the model took.
        latency_ms: Wall-clock time of every timed request of one example, in milliseconds, in the
            order in which they were made.
        memory_bytes: How much the resident set grew from before the model was loaded, with its
            runtime there already, to its peak; None where it was not measured.
        process_bytes: Peak of the resident set of the whole process, or None.
        unmeasured: What is missing from the figures above, and why.
    """

    golden_difference: float
    requests: int
    load_seconds: float
    latency_ms: tuple[float, ...]
    memory_bytes: int | None = None
    process_bytes: int | None = None
    unmeasured: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        data = dataclasses.asdict(self)
        lists = {name: list(data[name]) for name in ("latency_ms", "unmeasured")}
        return {**data, **lists}

    def summary(self) -> dict[str, float]:
        """Return the figures in short: what was not measured is left out."""
        times = sorted(self.latency_ms)
        found = {
            "load_seconds": self.load_seconds,
            "latency_median_ms": times[len(times) // 2] if times else None,
            "latency_p95_ms": quantile(times, LATENCY_SHARE) if times else None,
            "memory_bytes": self.memory_bytes,
            "process_bytes": self.process_bytes,
        }
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InfraReport:
        """Read what `to_json` wrote."""
        tuples = {name: tuple(data[name]) for name in ("latency_ms", "unmeasured")}
        return cls(**{**data, **tuples})
