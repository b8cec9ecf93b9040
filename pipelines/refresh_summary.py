"""The report of a refresh as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from components.acceptance.wording import mcnemar_table
from components.data_checks.wording import RAISED
from schemas.report import GateDecision, PartRow, RefreshReport, SizeReport

_DONE = "done"


def render(report: RefreshReport, *, path: Path) -> str:
    """Return the report as text: stages, gates with value beside threshold, where it was pushed.

    Args:
        report: The report.
        path: Where it was written as JSON.
    """
    lines = [f"{report.recipe} ({report.profile}): {report.status.replace('_', ' ')}"]
    if report.stages:
        lines += ["", *_table(
            (
                "stage", "kind", "accuracy on eval", "parameters", "MMAC", "ms", "bytes", "of the",
                "seconds", "",
            ),
            [
                (
                    row.name,
                    row.kind,
                    f"{row.accuracy:.4f}",
                    f"{row.parameters:,}",
                    *_costs(row.size),
                    f"{row.bytes:,}",
                    row.size.format if row.size else "",
                    f"{row.seconds:.1f}",
                    "cached" if row.cached else "",
                )
                for row in report.stages
            ],
        )]  # fmt: skip
    lines += [
        f"{row.name}: the same shape from fresh weights reaches {row.twin_accuracy:.4f} on eval"
        for row in report.stages
        if row.twin_accuracy is not None
    ]
    lines.append("")
    for decision in report.decisions:
        lines += _decision(decision)
    lines += [
        *_parts(report),
        *_infra(report),
        *_uses(report),
        "",
        _conclusion(report),
        *(f"what to do: {fix}" for fix in report.fixes),
        f"report: {path}",
    ]
    return "\n".join(lines)


def _costs(size: SizeReport | None) -> tuple[str, str]:
    """Return millions of multiplications and the milliseconds that one example takes."""
    latency = size.latency_of(1) if size else None
    return (
        f"{size.macs / 1e6:.2f}" if size and size.macs is not None else "-",
        f"{latency.median_ms:.3f}" if latency else "-",
    )


def _decision(decision: GateDecision) -> Iterator[str]:
    """Yield a line per test; of checks that passed their number, and those with a raised limit."""
    passed = [one for one in decision.checks if one.passed]
    if passed:
        yield _line(decision.gate, True, f"{len(passed)} checks")
    for note in decision.notes:
        yield _line("", None, note)
    for check in decision.checks:
        if not check.passed:
            yield _line(decision.gate, False, check.describe())
        elif RAISED in check.measure:
            yield _line("", None, check.describe())
    for finding in decision.findings:
        yield _line(decision.gate, finding.passed, finding.reason)
        if table := mcnemar_table(finding.numbers):
            yield _line("", None, table)
    for problem in decision.problems:
        yield _line(decision.gate, False, problem)


def _line(gate: str, passed: bool | None, text: str) -> str:
    verdict = {True: "passed", False: "REFUSED", None: ""}[passed]
    return f"{gate:<9}{verdict:<7}  {text}"


def _parts(report: RefreshReport) -> Iterator[str]:
    """Yield a line per kind of slice, and per table of corruptions."""
    if report.slices:
        yield ""
        yield "accuracy on parts of the test split, lowest first:"
    for kind, rows in groupby(report.slices, key=lambda row: row.name.split("=")[0]):
        yield _row_of(kind, [(row.name.split("=", 1)[1], row) for row in rows])
    if report.corruptions:
        yield "accuracy on corrupted test examples, families that training used (seen) and others:"
    for table, rows in groupby(report.corruptions, key=lambda row: row.name.split("/")[0]):
        whole, *families = rows
        name = f"{table.removesuffix('_corruptions')} {whole.accuracy:.4f}"
        yield _row_of(name, [(row.name.split("/")[1], row) for row in families])


def _row_of(name: str, rows: Sequence[tuple[str, PartRow]]) -> str:
    ordered = sorted(rows, key=lambda pair: pair[1].accuracy)
    return f"  {name}: " + ", ".join(f"{part} {row.accuracy:.3f}" for part, row in ordered)


def _infra(report: RefreshReport) -> Iterator[str]:
    if report.infra is None:
        return
    found = report.infra.summary()
    weighs = f", {found['memory_bytes'] / 1e6:.1f} MB" if "memory_bytes" in found else ""
    yield (
        f"alone in a process: loads in {found['load_seconds']:.2f} s, answers one example in "
        f"{found['latency_median_ms']:.3f} ms (95 % within {found['latency_p95_ms']:.3f}){weighs}"
    )


def _uses(report: RefreshReport) -> Iterator[str]:
    if report.test_uses:
        many = "candidate" if report.test_uses == 1 else "candidates"
        yield f"this test split has judged {report.test_uses} {many} under this root"


def _conclusion(report: RefreshReport) -> str:
    took = f"{report.seconds:.0f} s"
    if report.status == "refused":
        return f"not pushed ({took}): " + "; ".join(report.reasons)
    if report.status == "failed" or report.push is None:
        return f"failed ({took}): {report.error}"
    where = f"{report.push.path} (version {report.push.version}, {report.push.digest[:12]})"
    if report.status == "nothing_new":
        fresh = [node.node for node in report.nodes if node.state == _DONE]
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
