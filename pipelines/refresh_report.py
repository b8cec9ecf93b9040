"""What a refresh says while it runs and afterwards: progress lines, the report, the table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from components import evidence
from components.gate import decide, decide_data
from components.push import PUSHED_DIGEST, PUSHED_NOW
from components.tree import write_text
from schemas.errors import GateRefusal
from schemas.refresh import RefreshPlan
from schemas.report import GateDecision, NodeRow, PushRow, RefreshReport, SizeReport, StageRow

GATED_SPLIT = "test"
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
        line: What a running node has to say.
    """

    index: int
    total: int
    node: str
    state: str
    seconds: float
    line: str = ""


Progress = Callable[[NodeEvent], None]


@dataclass(frozen=True, kw_only=True)
class NodeResult:
    """What became of one node: its state, seconds, and output artifacts by key."""

    node: str
    state: str
    seconds: float
    outputs: dict[str, list[Any]] = field(default_factory=dict)

    def path(self, key: str) -> Path:
        """Return the folder of the output artifact of that key."""
        return Path(self.outputs[key][0].uri)


def node_progress(stream: TextIO) -> Progress:
    """Return a progress callback that writes to ``stream``.

    On a terminal one line per node is written over until the node ends; elsewhere every event is
    a plain line.
    """
    terminal = stream.isatty()

    def show(event: NodeEvent) -> None:
        head = f"[{event.index:>2}/{event.total}] {event.node:<18} "
        if event.state == RUNNING:
            text = head + (event.line or "...")
        else:
            text = f"{head}{event.state:<7} {event.seconds:>7.1f} s"
        if terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            stream.write(f"\r\x1b[K{text}" + ("" if event.state == RUNNING else "\n"))
        else:
            stream.write(f"{text}\n")
        stream.flush()

    return show


def build_report(
    results: Sequence[NodeResult],
    *,
    plan: RefreshPlan,
    recipe: str,
    dataset: Path,
    digest: str,
    run: str,
    seconds: float,
    cause: BaseException | None,
) -> RefreshReport:
    """Gather what the nodes measured, decided and pushed.

    The gates are decided once more from their evidence, and the result must equal the blessings
    that TFX acted on.

    Args:
        results: The nodes that were reached.
        plan: What was run.
        recipe: Name of the recipe.
        dataset: Its dataset.
        digest: Digest of the dataset.
        run: Identifier of the run.
        seconds: Wall time.
        cause: What the last node raised, or None.
    """
    refused = isinstance(cause, GateRefusal)
    nodes = {one.node: one for one in results if one.state != FAILED or refused}
    decisions = _decisions(nodes, plan)
    if refused and results[-1].node in {stage.name for stage in plan.stages}:
        reason = f"{results[-1].node}: {cause}"
        decisions.append(GateDecision(gate="forgetting", problems=(reason,)))
    if refused and results[-1].node == "Pusher":  # a model that was rolled back
        decisions.append(GateDecision(gate="push", problems=(str(cause),)))
    error = None
    if refused:
        status = "refused"
    elif cause is not None:
        status, error = "failed", f"node {results[-1].node} failed: {_message(cause)}"
    elif disagreement := _disagreement(nodes, decisions):
        status, error = "failed", disagreement
    elif not all(decision.blessed for decision in decisions):
        status = "refused"
    else:
        status = (
            "pushed" if _property(nodes["Pusher"], "pushed_model", PUSHED_NOW) else "nothing_new"
        )
    return RefreshReport(
        recipe=recipe,
        profile=plan.profile,
        dataset=str(dataset),
        dataset_digest=digest,
        run=run,
        status=status,
        seconds=round(seconds, 3),
        stages=tuple(
            _stage_row(nodes[stage.name]) for stage in plan.stages
            if stage.name in nodes and nodes[stage.name].state != FAILED
        ),
        decisions=tuple(decisions),
        push=_push_row(nodes["Pusher"]) if status in ("pushed", "nothing_new") else None,
        nodes=tuple(
            NodeRow(node=one.node, state=one.state, seconds=round(one.seconds, 3))
            for one in results
        ),
        error=error,
    )  # fmt: skip


def write_report(report: RefreshReport, path: Path) -> None:
    """Write the report as JSON; a crash leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(report.to_json(), indent=2) + "\n")


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
    lines += ["", _conclusion(report), f"report: {path}"]
    return "\n".join(lines)


def _decisions(nodes: Mapping[str, NodeResult], plan: RefreshPlan) -> list[GateDecision]:
    """Decide every gate that was reached from the evidence that the nodes left."""
    decisions = []
    if "DataGate" in nodes:
        anomalies = nodes["ExampleValidator"].path("anomalies")
        statistics = nodes["StatisticsGen"].path("statistics")
        decisions.append(decide_data(evidence.split_anomalies(anomalies, statistics)))
    if "Evaluator" in nodes:
        scores = evidence.eval_report(nodes["Evaluator"].path("evaluation"), split=GATED_SPLIT)
        decisions.append(decide(scores, plan.thresholds))
    if "SizeGate" in nodes:
        weight = evidence.size_report(nodes[plan.push].path("model"), plan.artifact)
        decisions.append(decide(weight, plan.thresholds))
    return decisions


def _disagreement(nodes: Mapping[str, NodeResult], decisions: Sequence[GateDecision]) -> str | None:
    """Return how a blessing differs from our decision on the same evidence, or None."""
    blessings = {"accuracy": "Evaluator", "size": "SizeGate"}
    for decision in decisions:
        node = blessings.get(decision.gate)
        if node and bool(_property(nodes[node], "blessing", "blessed")) != decision.blessed:
            return (
                f"node {node} {'refused' if decision.blessed else 'blessed'} the model, which "
                f"disagrees with its evidence: {decision.to_json()}; nothing it says can be trusted"
            )
    return None


def _property(node: NodeResult, key: str, name: str) -> Any:
    artifact = node.outputs[key][0]
    return artifact.get_int_custom_property(name)


def _stage_row(node: NodeResult) -> StageRow:
    from components.stages import load_report

    record = load_report(node.path("model"))
    return StageRow(
        name=record["name"],
        kind=record["kind"],
        accuracy=record["accuracy"],
        parameters=record["parameters"],
        bytes=record["bytes"],
        seconds=record["seconds"],
        cached=node.state == CACHED,
        size=SizeReport.from_json(size) if (size := record["size"]) else None,
        accuracy_before=record["accuracy_before"],
        size_before=SizeReport.from_json(before) if (before := record["size_before"]) else None,
        twin_accuracy=record["notes"].get("twin", {}).get("accuracy"),
    )


def _costs(size: SizeReport | None) -> tuple[str, str]:
    """Return millions of multiplications and the milliseconds that one example takes."""
    latency = size.latency_of(1) if size else None
    return (
        f"{size.macs / 1e6:.2f}" if size and size.macs is not None else "-",
        f"{latency.median_ms:.3f}" if latency else "-",
    )


def _push_row(node: NodeResult) -> PushRow:
    artifact = node.outputs["pushed_model"][0]
    return PushRow(
        path=artifact.get_string_custom_property("pushed_destination"),
        version=int(artifact.get_string_custom_property("pushed_version")),
        digest=artifact.get_string_custom_property(PUSHED_DIGEST),
        pushed=bool(artifact.get_int_custom_property(PUSHED_NOW)),
    )


def _message(error: BaseException) -> str:
    """Return the class and the message, of which Beam's wrappers repeat much, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 600 else text[:600] + ' ...'}"


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
