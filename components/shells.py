"""The TFX components of a refresh: each hands artifacts and parameters to plain functions.

No ``from __future__ import annotations`` here: TFX reads the annotations as objects. Where a
component's outcome depends on our sources, ``code_version`` (a hash of them) is a parameter,
because TFX's cache key holds parameters and no code.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tfx.components.pusher.executor import Executor as PusherExecutor
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    OutputDict,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import artifact_utils, channel_utils, standard_component_specs
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    InfraBlessing,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PushedModel,
)

from components import data_checks, evidence
from components.acceptance import (
    Evidence,
    Rule,
    accepted,
    answer_rules,
    cost_rules,
    decide,
    write_evidence,
)
from components.acceptance.rules import TEST
from components.artifact import folder_bytes, shipped_folder
from components.data_checks import Previous
from components.promotion import (
    ACCURACY,
    CANDIDATE,
    DATA,
    JUDGED_SPLIT,
    SIZE,
    gather,
    identity_of,
)
from components.push import PUSHED_DIGEST, PUSHED_NOW, push
from components.serving.baseline import Baseline
from components.serving.decisions import INFRA_REPORT
from components.serving.signing import signing_key
from components.serving.store import NOT_THE_MODEL
from components.tree import tree_digest, write_text
from schemas.data_gates import DataGates
from schemas.errors import GateRefusal
from schemas.features import ExampleSchema
from schemas.gates import Gates
from schemas.stages import parse_config
from schemas.validation import validated

BLESSED = "blessed"
# Input of the Pusher to the name under which it is evidence.
_EVIDENCE = {
    "checks": DATA,
    "anomalies": "anomalies",
    "statistics": "statistics",
    "evaluation": "evaluation",
    standard_component_specs.MODEL_BLESSING_KEY: ACCURACY,
    standard_component_specs.INFRA_BLESSING_KEY: SIZE,
}
_STAGE_PROGRESS: ContextVar[Callable[[str], None] | None] = ContextVar("stage", default=None)


@contextlib.contextmanager
def stage_progress(tell: Callable[[str], None]) -> Iterator[None]:
    """Hand ``tell`` to the model stages that run in this block: TFX gives them no way to speak."""
    token = _STAGE_PROGRESS.set(tell)
    try:
        yield
    finally:
        _STAGE_PROGRESS.reset(token)


@component
def DataGate(  # noqa: N802 - a component reads as a class
    examples: InputArtifact[Examples],
    anomalies: InputArtifact[ExampleAnomalies],
    statistics: InputArtifact[ExampleStatistics],
    checks: OutputArtifact[ExampleAnomalies],
    gates: Parameter[str],
    previous: Parameter[str],
    code_version: Parameter[str],
) -> OutputDict(examined=int):
    """Block the pipeline on a dataset that the data gate refuses, before anything is trained.

    ``gates`` is the JSON of `schemas.data_gates.DataGates`, ``previous`` that of the last accepted
    dataset (`components.data_checks.Previous`).

    Raises:
        GateRefusal: naming every reason.
    """
    found = evidence.split_anomalies(Path(anomalies.uri), Path(statistics.uri))
    profile, decision = data_checks.check_dataset(
        dataset=Path(examples.uri),
        anomalies=found,
        gates=validated(DataGates, json.loads(gates)),
        previous=Previous.from_json(json.loads(previous)),
    )
    if not decision.blessed:
        raise GateRefusal(f"the data gate refused: {decision.why}", decision=decision)
    data_checks.write(Path(checks.uri), profile, decision)
    return {"examined": sum(examples for examples, _ in found.values())}


@component
def ModelStage(  # noqa: N802
    examples: InputArtifact[Examples],
    model: OutputArtifact[Model],
    name: Parameter[str],
    kind: Parameter[str],
    config: Parameter[str],
    seed: Parameter[int],
    sources: Parameter[str],
    code_version: Parameter[str],
    base: InputArtifact[Model] = None,
    teacher: InputArtifact[Model] = None,
) -> OutputDict(accuracy=float, parameters=int):
    """Run one model stage of any kind; ``config`` and `components.sources` are its JSON."""
    from components.stages import run_stage

    record = run_stage(
        kind,
        dataset=Path(examples.uri),
        base=Path(base.uri) if base else None,
        teacher=Path(teacher.uri) if teacher else None,
        config=parse_config(kind, json.loads(config)),
        output=Path(model.uri),
        seed=seed,
        name=name,
        progress=_STAGE_PROGRESS.get(),
        sources=json.loads(sources),
    )
    return {"accuracy": record["accuracy"], "parameters": record["parameters"]}


@component
def Answers(  # noqa: N802
    examples: InputArtifact[Examples],
    probes: InputArtifact[Examples],
    model: InputArtifact[Model],
    answers: OutputArtifact[ModelEvaluation],
    artifact: Parameter[str],
    split: Parameter[str],
    same_when: Parameter[str],
    code_version: Parameter[str],
) -> OutputDict(accuracy=float):
    """Ask what ships (``artifact``) the test split and its corrupted forms, one by one.

    Whatever becomes of the answers, the split has judged this candidate: that is noted on them.
    """
    from components.answers import Question, answer, write_answers
    from components.shipped import open_shipped
    from components.stages import load_report

    question = Question.of(Path(examples.uri), Path(probes.uri))
    shipped = open_shipped(
        shipped_folder(model.uri, artifact), artifact=artifact, schema=question.schema
    )
    about = {"split": split, "model": load_report(model.uri)["digest"]}
    tables, golden = answer(shipped, question, about=about)
    write_answers(Path(answers.uri), tables, golden)
    answers.set_string_custom_property(JUDGED_SPLIT, question.probes.test_digest)
    answers.set_string_custom_property(
        CANDIDATE, identity_of(Path(model.uri), json.loads(same_when))
    )
    return {"accuracy": float(tables[split].correct.mean())}


@component
def SizeGate(  # noqa: N802
    model: InputArtifact[Model],
    answers: InputArtifact[ModelEvaluation],
    blessing: OutputArtifact[InfraBlessing],
    artifact: Parameter[str],
    gates: Parameter[str],
    code_version: Parameter[str],
) -> OutputDict(size_bytes=int):
    """Bless a model that keeps to its ceilings of costs and answers alike in a fresh process.

    ``gates`` is the JSON of `schemas.gates.Gates`.

    Raises:
        GateRefusal: it cannot be loaded or asked in a fresh process.
    """
    from components import infra
    from components.answers import read_golden
    from components.stages import load_report

    folder = shipped_folder(model.uri, artifact)
    files = tree_digest(folder, leave_out=NOT_THE_MODEL)  # before anything is measured
    report, golden = load_report(model.uri), read_golden(Path(answers.uri))
    found = infra.measure(
        folder,
        artifact=artifact,
        schema=ExampleSchema.from_json(report["schema"]),
        records=golden.requests,
        expected=golden.probabilities,
        workspace=Path(blessing.uri),  # so that what a kill leaves goes with the execution
    )
    size = folder_bytes(folder)
    costs: dict[str, Any] = {
        "bytes": size,
        "parameters": report["parameters"],
        "latency_p95_ms": found.latency_ms,
        "golden_difference": found.golden_difference,
    }
    if found.memory_bytes is not None:
        costs["memory_bytes"] = found.memory_bytes
    _decided(blessing, cost_rules(_gates(gates)), Evidence(tables={}, costs=costs, files=files))
    write_text(Path(blessing.uri) / INFRA_REPORT, json.dumps(found.to_json(), indent=1) + "\n")
    return {"size_bytes": size}


@component
def AccuracyGate(  # noqa: N802
    examples: InputArtifact[Examples],
    probes: InputArtifact[Examples],
    model: InputArtifact[Model],
    answers: InputArtifact[ModelEvaluation],
    evaluation: InputArtifact[ModelEvaluation],
    blessing: OutputArtifact[ModelBlessing],
    gates: Parameter[str],
    baseline: Parameter[str],
    serving: Parameter[str],
    same_when: Parameter[str],
    code_version: Parameter[str],
) -> OutputDict(accuracy=float):
    """Bless a model by its answers: floors, robustness, and the live model on the same examples.

    ``gates`` is the JSON of `schemas.gates.Gates`, ``baseline`` that of what is live in the folder
    ``serving`` (`components.serving.baseline`), ``same_when`` of what tells exports apart.

    Raises:
        FailedError: TFMA's evaluation has other figures.
    """
    from components.answers import Question, live_side, read_tables

    tables = read_tables(Path(answers.uri))
    evidence.check_agreement(Path(evaluation.uri), tables[TEST])
    question = Question.of(Path(examples.uri), Path(probes.uri))
    identity = identity_of(Path(model.uri), json.loads(same_when))
    live = live_side(
        Baseline.from_json(json.loads(baseline)), Path(serving), question, identity=identity
    )
    _decided(blessing, answer_rules(_gates(gates)), Evidence(tables=tables, live=live))
    return {"accuracy": float(tables[TEST].correct.mean())}


def _gates(text: str) -> Gates:
    return validated(Gates, json.loads(text))


def _decided(blessing: Any, rules: tuple[Rule, ...], found: Evidence) -> None:
    """Decide, write decision and evidence into the blessing's folder, and bless or do not."""
    decisions = decide(rules, found)
    write_evidence(Path(blessing.uri), rules, found, decisions)
    blessing.set_int_custom_property(BLESSED, int(accepted(decisions)))


class AtomicPusherExecutor(PusherExecutor):
    """Check the blessings as the stock Pusher does, then push through `components.push.push`."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Push the model if every blessing given is there, and note where on the output."""
        pushed = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.PUSHED_MODEL_KEY]
        )
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        from components.stages import load_report

        (model,) = input_dict[standard_component_specs.MODEL_KEY]
        destination = json.loads(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY])
        custom = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        serving = Path(destination["filesystem"]["base_directory"])
        weights = load_report(model.uri)["digest"]
        # Where a later refresh can start from: what serves holds no network to train.
        origin = {"model": os.path.relpath(model.uri, serving.resolve()), "model_digest": weights}
        result = push(
            shipped_folder(model.uri, custom["artifact"]),
            serving,
            record={**custom["record"], **origin},
            identity=identity_of(Path(model.uri), custom["same_when"]),
            promotion=gather(
                about={**custom["record"], **custom["about"]},
                dataset=Path(custom["dataset"]),
                stages=[Path(one.uri) for one in input_dict["stages"]],
                order=custom["stages"],
                found={
                    name: Path(artifact_utils.get_single_instance(input_dict[key]).uri)
                    for key, name in _EVIDENCE.items()
                    if key in input_dict
                },
            ),
            key=signing_key(),
            keep=custom["keep"],
            instead_of=custom["instead_of"],
        )
        self._MarkPushed(
            pushed, pushed_destination=str(result.path), pushed_version=str(result.version)
        )
        pushed.set_string_custom_property(PUSHED_DIGEST, result.digest)
        pushed.set_int_custom_property(PUSHED_NOW, int(result.pushed))


class AtomicPusherSpec(standard_component_specs.PusherSpec):
    """The stock Pusher's inputs, and those that go into the bundle of what is pushed."""

    INPUTS = {
        **standard_component_specs.PusherSpec.INPUTS,
        "stages": ChannelParameter(type=Model),
        "checks": ChannelParameter(type=ExampleAnomalies),
        "anomalies": ChannelParameter(type=ExampleAnomalies),
        "statistics": ChannelParameter(type=ExampleStatistics),
        "evaluation": ChannelParameter(type=ModelEvaluation),
    }


class AtomicPusher(BaseComponent):
    """A Pusher that never leaves half a model, and never pushes what is already live.

    Inputs are those of the stock Pusher; ``stages``, a list of channels, and the others of
    `AtomicPusherSpec` become the bundle of the version.
    """

    SPEC_CLASS = AtomicPusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(AtomicPusherExecutor)

    def __init__(
        self, *, stages: list[Any], push_destination: Any, custom_config: dict[str, Any], **inputs
    ) -> None:
        spec = AtomicPusherSpec(
            stages=channel_utils.union(stages),
            push_destination=push_destination,
            custom_config=json.dumps(custom_config, sort_keys=True),
            pushed_model=Channel(type=PushedModel),
            **inputs,
        )
        super().__init__(spec=spec)
