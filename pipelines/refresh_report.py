"""What a refresh says while it runs and afterwards: progress lines, the report, the table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from components.acceptance import decide, read_evidence
from components.acceptance.summary import alpha_of, parts
from components.data_checks import read_decision
from components.promotion import ACCURACY, DATA, SIZE
from components.push import PUSHED_DIGEST, PUSHED_NOW
from components.serving.decisions import INFRA_REPORT
from components.tree import write_text
from schemas.errors import GateRefusal
from schemas.infra import InfraReport
from schemas.refresh import RefreshPlan
from schemas.report import (
    Finding,
    GateDecision,
    NodeRow,
    PartRow,
    PushRow,
    RefreshReport,
    SizeReport,
    StageRow,
)

GATED_SPLIT = "test"
_FULL = ("disk is full", "no space left on device", "disk quota exceeded")
# Gate to the node whose blessing is its verdict.
_JUDGES = ((ACCURACY, "AccuracyGate"), (SIZE, "SizeGate"))
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
    test_uses: int = 0,
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
        test_uses: How many candidates the test split has judged.
    """
    refused = isinstance(cause, GateRefusal)
    nodes = {one.node: one for one in results if one.state != FAILED}
    decisions, slices, corruptions = _judged(nodes)
    if isinstance(cause, GateRefusal):
        decisions.append(_refusal(results[-1].node, cause, plan))
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
        slices=slices,
        corruptions=corruptions,
        test_uses=test_uses,
        infra=_infra(nodes),
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


def _judged(
    nodes: Mapping[str, NodeResult],
) -> tuple[list[GateDecision], tuple[PartRow, ...], tuple[PartRow, ...]]:
    """Return what the gates that were reached decided, computed again from their evidence.

    With it come the rows of slices and of corruptions.
    """
    decisions: list[GateDecision] = []
    slices: tuple[PartRow, ...] = ()
    corruptions: tuple[PartRow, ...] = ()
    if "DataGate" in nodes:
        decisions.append(read_decision(nodes["DataGate"].path("checks")))
    for gate, node in _JUDGES:
        if node not in nodes:
            continue
        rules, evidence, _ = read_evidence(nodes[node].path("blessing"))
        findings = tuple(Finding(**one.to_json()) for one in decide(rules, evidence))
        decisions.append(GateDecision(gate=gate, findings=findings))
        if gate == ACCURACY:
            slices, corruptions = parts(evidence.tables, alpha_of(rules))
    return decisions, slices, corruptions


def _infra(nodes: Mapping[str, NodeResult]) -> InfraReport | None:
    if "SizeGate" not in nodes:
        return None
    text = (nodes["SizeGate"].path("blessing") / INFRA_REPORT).read_text("utf-8")
    return InfraReport.from_json(json.loads(text))


def _refusal(node: str, cause: GateRefusal, plan: RefreshPlan) -> GateDecision:
    """Return what a node decided that stopped the run."""
    if cause.decision is not None:
        return cause.decision
    gates = {"DataGate": DATA, "SizeGate": SIZE, "AccuracyGate": ACCURACY, "Pusher": "push"}
    if node in {stage.name for stage in plan.stages}:
        return GateDecision(gate="forgetting", problems=(f"{node}: {cause}",))
    return GateDecision(gate=gates.get(node, node), problems=(str(cause),))


def _disagreement(nodes: Mapping[str, NodeResult], decisions: Sequence[GateDecision]) -> str | None:
    """Return how a blessing differs from our decision on the same evidence, or None."""
    for decision in decisions:
        node = dict(_JUDGES).get(decision.gate)
        if (
            node in nodes
            and bool(_property(nodes[node], "blessing", "blessed")) != decision.blessed
        ):
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


def _push_row(node: NodeResult) -> PushRow:
    artifact = node.outputs["pushed_model"][0]
    return PushRow(
        path=artifact.get_string_custom_property("pushed_destination"),
        version=int(artifact.get_string_custom_property("pushed_version")),
        digest=artifact.get_string_custom_property(PUSHED_DIGEST),
        pushed=bool(artifact.get_int_custom_property(PUSHED_NOW)),
    )


def _message(error: BaseException) -> str:
    """Return the class and the message, of which Beam's wrappers repeat much, on one line.

    A full disk is named as such: SQLite and TensorFlow wrap it into pages of their own.
    """
    text = " ".join(str(error).split())
    if any(sign in text.lower() for sign in _FULL):
        return "the disk is full; make room, and the same command goes on"
    return f"{type(error).__name__}: {text if len(text) <= 600 else text[:600] + ' ...'}"
