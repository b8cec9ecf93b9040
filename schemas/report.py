"""What a refresh measures and decides: the pieces of ``report.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.figures import number
from schemas.infra import InfraReport


@dataclass(frozen=True, kw_only=True)
class EvalReport:
    """What a model scores on one split.

    Attributes:
        split: Name of the split, e.g. ``"test"``.
        examples: Number of examples scored.
        accuracy: Share of the examples whose most probable class is the label.
        loss: Mean cross-entropy in nats, or None where it was not measured.
    """

    split: str
    examples: int
    accuracy: float
    loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long one pass over a batch takes on one thread, by the wall clock.

    Attributes:
        batch: Examples of the batch.
        median_ms: Median in milliseconds.
        p95_ms: The time that 95 of 100 passes keep to.
        runs: Passes that were timed.
    """

    batch: int
    median_ms: float
    p95_ms: float
    runs: int


@dataclass(frozen=True, kw_only=True)
class SizeReport:
    """What a model weighs and costs; every size in bytes, None where it was not measured.

    Attributes:
        format: What ships: ``saved_model`` or ``tflite``.
        bytes: Sum of the sizes of its files. This is what the size gate decides on.
        gzip_bytes: The same files as one gzip stream.
        parameters: Number of weights.
        nonzero: Number of weights other than 0.
        macs: Multiply-accumulate operations for one example.
        peak_activation_bytes: The most that the tensors alive at one moment take, for one example.
        keras_bytes: Size of the ``.keras`` file.
        saved_model_bytes: Size of the SavedModel's files.
        tflite_bytes: Size of the TFLite file: the shipped one, else a float32 conversion.
        latency: Of that TFLite file, for each size of a batch.
        unmeasured: What is missing from the figures above, and why.
    """

    format: str
    bytes: int
    gzip_bytes: int | None = None
    parameters: int | None = None
    nonzero: int | None = None
    macs: int | None = None
    peak_activation_bytes: int | None = None
    keras_bytes: int | None = None
    saved_model_bytes: int | None = None
    tflite_bytes: int | None = None
    latency: tuple[Latency, ...] = ()
    unmeasured: tuple[str, ...] = ()

    def latency_of(self, batch: int) -> Latency | None:
        """Return the latency for that size of a batch, or None."""
        return next((one for one in self.latency if one.batch == batch), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        data = dataclasses.asdict(self)
        return {**data, "latency": list(data["latency"]), "unmeasured": list(self.unmeasured)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SizeReport:
        """Read what `to_json` wrote."""
        latency = tuple(Latency(**one) for one in data["latency"])
        return cls(**{**data, "latency": latency, "unmeasured": tuple(data["unmeasured"])})


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measured value beside its limit.

    Attributes:
        measure: What was measured, e.g. ``"accuracy on test"``.
        kind: Whether ``limit`` is the least or the most that passes; the limit itself passes.
        limit: The threshold.
        value: The measured value.
        examples: How many examples the value rests on, or None where it rests on none.
    """

    measure: str
    kind: Literal["at_least", "at_most"]
    limit: float
    value: float
    examples: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the value keeps to the limit; a value that is not a number never does."""
        if self.kind == "at_least":
            return self.value >= self.limit
        return self.value <= self.limit

    def describe(self) -> str:
        """Return e.g. ``accuracy on test 0.6123 (n=360) is below the least allowed 0.7000``.

        Value and limit are written with as many digits as it takes to tell them apart.
        """
        note = f" (n={self.examples:,})" if self.examples is not None else ""
        value, limit = number(self.value, self.limit), number(self.limit, self.value)
        if self.kind == "at_least":
            verdict = "meets the least allowed" if self.passed else "is below the least allowed"
        else:
            verdict = "keeps to the most allowed" if self.passed else "is above the most allowed"
        return f"{self.measure} {value}{note} {verdict} {limit}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one test of a gate found, with its confidence; see `components.acceptance`.

    Attributes:
        name: Of what, e.g. ``accuracy``, ``recall[cat]``, ``accuracy against live``.
        outcome: ``passed``, or why not, e.g. ``too_few``.
        passed: Whether it lets the candidate go live.
        reason: One line for people.
        value: What was measured, or None.
        bound: Its confidence bound, or None.
        threshold: What the bound is held against, or None.
        numbers: What else it rests on, such as McNemar's table.
    """

    name: str
    outcome: str
    passed: bool
    reason: str
    value: float | None = None
    bound: float | None = None
    threshold: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """The accuracy on one part of the test split, or on one kind of corruption.

    Attributes:
        name: E.g. ``class=cat``, ``brightness=low``, ``unseen_corruptions/fog``.
        examples: How many examples; of corrupted ones the originals.
        accuracy: Share of right answers, 0 to 1.
        bound: Its lower confidence bound.
    """

    name: str
    examples: int
    accuracy: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """What one gate decided, with everything it looked at.

    Attributes:
        gate: ``"data"``, ``"forgetting"``, ``"accuracy"``, ``"size"`` or ``"push"``.
        checks: The measured values beside their limits.
        findings: What statistical tests found.
        problems: Reasons to refuse that are no measured value, e.g. anomalies of the data.
        notes: What decides nothing and is to be known, e.g. that there was nothing to compare with.
        fixes: What to do about its reasons, where they do not say it themselves.
    """

    gate: str
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    @property
    def blessed(self) -> bool:
        """Whether something was looked at, every check and test passed, and there is no problem."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every threshold missed and every problem; empty exactly when blessed."""
        missed = tuple(check.describe() for check in self.checks if not check.passed)
        missed += tuple(one.reason for one in self.findings if not one.passed)
        missed += self.problems
        if not (self.checks or self.findings or missed):
            return (f"the {self.gate} gate looked at nothing, so nothing speaks for the model",)
        return missed

    @property
    def why(self) -> str:
        """Every reason, and what to do about them; empty exactly when blessed."""
        return _why(self.reasons, self.fixes)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the verdict included."""
        checks = [{**dataclasses.asdict(one), "passed": one.passed} for one in self.checks]
        return {
            "gate": self.gate,
            "blessed": self.blessed,
            "checks": checks,
            "findings": [dataclasses.asdict(one) for one in self.findings],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "fixes": list(self.fixes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateDecision:
        """Read what `to_json` wrote; the verdict is computed again, not believed."""
        fields = [field.name for field in dataclasses.fields(Check)]
        return cls(
            gate=data["gate"],
            checks=tuple(Check(**{name: one[name] for name in fields}) for one in data["checks"]),
            findings=tuple(Finding(**one) for one in data.get("findings", ())),
            problems=tuple(data["problems"]),
            notes=tuple(data.get("notes", ())),
            fixes=tuple(data.get("fixes", ())),
        )


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One model stage of a refresh.

    Attributes:
        name: Name of the stage in the recipe.
        kind: Its kind, e.g. ``"prune"``.
        accuracy: Accuracy on the evaluation split after the stage.
        parameters: Number of weights.
        bytes: Size of what ships.
        seconds: What the stage took when it ran.
        cached: Whether this run took it over from an earlier one.
        size: Everything that was weighed, or None.
        accuracy_before: Accuracy on the evaluation split of the network it started from, or None.
        size_before: What the stage it started from weighed, or None.
        twin_accuracy: Accuracy on the evaluation split of the same shape trained from fresh
            weights, where the stage was asked for one.
    """

    name: str
    kind: str
    accuracy: float
    parameters: int
    bytes: int
    seconds: float
    cached: bool
    size: SizeReport | None = None
    accuracy_before: float | None = None
    size_before: SizeReport | None = None
    twin_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class NodeRow:
    """One node of the pipeline: its state (``done``, ``cached``, ``failed``) and seconds."""

    node: str
    state: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PushRow:
    """Where a model is served: version folder, version, digest, and whether it is new there."""

    path: str
    version: int
    digest: str
    pushed: bool


@dataclass(frozen=True, kw_only=True)
class RefreshReport:
    """Everything a refresh has to say; ``report.json`` holds its `to_json`.

    Attributes:
        recipe: Name of the recipe.
        profile: ``smoke``, ``demo`` or ``full``.
        dataset: Directory of the dataset.
        dataset_digest: Digest of that dataset.
        run: Identifier of the pipeline run in the metadata store.
        status: ``pushed``, ``nothing_new``, ``refused`` or ``failed``.
        seconds: Wall time of the run.
        stages: One row per model stage that finished.
        decisions: What each gate decided, in order.
        slices: The accuracy of every slice of the test split; empty where it was not answered.
        corruptions: The accuracy on corrupted test examples, by families seen and unseen in
            training; empty where the recipe asks for none.
        test_uses: How many candidates this test split has judged under this root, this one
            included; the more, the less its verdicts are worth.
        infra: What what ships costs in a fresh process; None where it was not measured.
        push: Where the model is served, or None when it was refused.
        nodes: Every node that was reached, in order.
        error: Why it failed, or None.
    """

    recipe: str
    profile: str
    dataset: str
    dataset_digest: str
    run: str
    status: str
    seconds: float
    stages: tuple[StageRow, ...]
    decisions: tuple[GateDecision, ...]
    push: PushRow | None
    nodes: tuple[NodeRow, ...]
    slices: tuple[PartRow, ...] = ()
    corruptions: tuple[PartRow, ...] = ()
    test_uses: int = 0
    infra: InfraReport | None = None
    error: str | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason of every gate that refused."""
        return tuple(reason for decision in self.decisions for reason in decision.reasons)

    @property
    def fixes(self) -> tuple[str, ...]:
        """What to do about them, where they do not say it themselves; each once."""
        return tuple(dict.fromkeys(fix for one in self.decisions for fix in one.fixes))

    @property
    def why(self) -> str:
        """Every reason, and what to do about them: what the history keeps."""
        return _why(self.reasons, self.fixes)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        data = dataclasses.asdict(self)
        data["decisions"] = [decision.to_json() for decision in self.decisions]
        data["infra"] = self.infra.to_json() if self.infra else None
        data["reasons"] = list(self.reasons)
        data["fixes"] = list(self.fixes)
        return data


def _why(reasons: Sequence[str], fixes: Sequence[str]) -> str:
    advice = f". What to do: {'; '.join(fixes)}" if fixes else ""
    return "; ".join(reasons) + advice
