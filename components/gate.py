"""Decide whether a candidate may go live: pure functions, the same for the gate and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.refresh import Thresholds
from schemas.report import Check, EvalReport, GateDecision, SizeReport


def decide(
    report: EvalReport | SizeReport,
    thresholds: Thresholds,
    live: EvalReport | SizeReport | None = None,
) -> GateDecision:
    """Hold a candidate's report against its thresholds.

    The limit itself passes. A report that rests on no example at all is refused, whatever it says.

    Args:
        report: What was measured: an `EvalReport` decides on accuracy, a `SizeReport` on bytes.
        thresholds: The limits.
        live: The same kind of report about the model that is live; shown beside, not gated.

    Returns:
        The decision of the ``accuracy`` or the ``size`` gate, with every value it looked at.
    """
    if isinstance(report, EvalReport):
        check = Check(
            measure=f"accuracy on {report.split}",
            kind="at_least",
            limit=thresholds.accuracy,
            value=report.accuracy,
            examples=report.examples,
            live=live.accuracy if isinstance(live, EvalReport) else None,
        )
        problems = () if report.examples else (f"the {report.split} split holds no example",)
        return GateDecision(gate="accuracy", checks=(check,), problems=problems)
    check = Check(
        measure=f"bytes of the {report.format}",
        kind="at_most",
        limit=thresholds.bytes,
        value=report.bytes,
        live=live.bytes if isinstance(live, SizeReport) else None,
    )
    return GateDecision(gate="size", checks=(check,))


def decide_data(found: Mapping[str, tuple[int, Sequence[str]]]) -> GateDecision:
    """Refuse a dataset in which any split has an anomaly or no example.

    Args:
        found: Split name to the number of examples examined and the anomalies, in words.
    """
    checks = tuple(
        Check(
            measure=f"anomalies in {split}",
            kind="at_most",
            limit=0,
            value=len(anomalies),
            examples=examples,
        )
        for split, (examples, anomalies) in found.items()
    )
    problems = [f"{split}: {one}" for split, (_, anomalies) in found.items() for one in anomalies]
    problems += [f"{split}: no example" for split, (examples, _) in found.items() if not examples]
    return GateDecision(gate="data", checks=checks, problems=tuple(problems))
