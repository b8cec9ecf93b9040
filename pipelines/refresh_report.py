"""What a refresh says while it runs and afterwards: progress lines, the report, the table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from schemas.report import GateDecision, RefreshReport

RUNNING, DONE, CACHED, FAILED = "running", "done", "cached", "failed"


@dataclass(frozen=True, kw_only=True)
class NodeEvent:
    """A node of the pipeline starts or ends.

    Attributes:
        index: Its position, from 1.
        total: Number of nodes.
        node: Its name.
        state: ``running``, ``done``, ``cached`` or ``failed``.
        seconds: Since it started.
    """

    index: int
    total: int
    node: str
    state: str
    seconds: float


Progress = Callable[[NodeEvent], None]


def node_progress(stream: TextIO) -> Progress:
    """Return a progress callback that writes to ``stream``.

    On a terminal the line of a running node is overwritten when it ends; elsewhere start and end
    are two plain lines, and nodes that end within a second (cached ones) say so once.
    """
    width = 79
    terminal = stream.isatty()

    def show(event: NodeEvent) -> None:
        head = f"[{event.index:>2}/{event.total}] {event.node:<18} "
        if event.state == RUNNING:
            text = f"{head}..." if terminal else f"{head}started"
        else:
            text = f"{head}{event.state:<7} {event.seconds:>7.1f} s"
        if terminal and event.state == RUNNING:
            stream.write(f"\r{text:<{width}}")
        elif terminal:
            stream.write(f"\r{text:<{width}}\n")
        else:
            stream.write(f"{text}\n")
        stream.flush()

    return show


def write_report(report: RefreshReport, path: Path) -> None:
    """Write ``report.json`` by way of a temporary sibling."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    temporary.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    os.replace(temporary, path)


def render(report: RefreshReport, *, path: Path) -> str:
    """Return the report as text: stages, gates with value beside threshold, where it was pushed.

    Args:
        report: The report.
        path: Where it was written as JSON.
    """
    lines = [f"{report.recipe} ({report.profile}): {report.status.replace('_', ' ')}"]
    if report.stages:
        lines += ["", *_table(
            ("stage", "kind", "accuracy on eval", "parameters", "bytes", "seconds", ""),
            [
                (
                    row.name,
                    row.kind,
                    f"{row.accuracy:.4f}",
                    f"{row.parameters:,}",
                    f"{row.bytes:,}",
                    f"{row.seconds:.1f}",
                    "cached" if row.cached else "",
                )
                for row in report.stages
            ],
        )]  # fmt: skip
    lines.append("")
    for decision in report.decisions:
        lines += _decision(decision)
    lines += ["", _conclusion(report), f"report: {path}"]
    return "\n".join(lines)


def _decision(decision: GateDecision) -> list[str]:
    verdict = "passed " if decision.blessed else "REFUSED"
    lines = [f"{decision.gate:<9}{verdict}  {check.describe()}" for check in decision.checks]
    return lines + [f"{decision.gate:<9}{verdict}  {problem}" for problem in decision.problems]


def _conclusion(report: RefreshReport) -> str:
    took = f"{report.seconds:.0f} s"
    if report.status == "refused":
        return f"not pushed ({took}): " + "; ".join(report.reasons)
    if report.status == "failed" or report.push is None:
        return f"failed ({took}): {report.error}"
    where = f"{report.push.path} (version {report.push.version}, {report.push.digest[:12]})"
    if report.status == "nothing_new":
        fresh = [node.node for node in report.nodes if node.state == DONE]
        how = "all model stages cached" if all(row.cached for row in report.stages) else (
            f"ran again: {', '.join(fresh)}"
        )  # fmt: skip
        return f"nothing new ({took}; {how}): already live at {where}"
    return f"pushed ({took}) to {where}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines; the first two columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    ]
