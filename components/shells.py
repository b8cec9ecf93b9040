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
    ModelEvaluation,
    PushedModel,
)

from components import evidence
from components.artifact import shipped_folder
from components.gate import decide, decide_data
from components.promotion import SIZE_DECISION, gather
from components.push import PUSHED_DIGEST, PUSHED_NOW, push
from components.serving.signing import signing_key
from schemas.canonical import digest
from schemas.errors import GateRefusal
from schemas.refresh import Thresholds
from schemas.stages import parse_config

BLESSED = "blessed"
# Input of the Pusher to the name under which it is evidence.
_EVIDENCE = {
    "anomalies": "anomalies",
    "statistics": "statistics",
    "evaluation": "evaluation",
    standard_component_specs.INFRA_BLESSING_KEY: "size",
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
    anomalies: InputArtifact[ExampleAnomalies],
    statistics: InputArtifact[ExampleStatistics],
    code_version: Parameter[str],
) -> OutputDict(examples=int):
    """Block the pipeline on anomalies, which ExampleValidator only notes down.

    Raises:
        GateRefusal: naming every anomaly.
    """
    found = evidence.split_anomalies(Path(anomalies.uri), Path(statistics.uri))
    decision = decide_data(found)
    if not decision.blessed:
        raise GateRefusal("the data gate refused: " + "; ".join(decision.reasons))
    return {"examples": sum(examples for examples, _ in found.values())}


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
def SizeGate(  # noqa: N802
    model: InputArtifact[Model],
    blessing: OutputArtifact[InfraBlessing],
    artifact: Parameter[str],
    thresholds: Parameter[str],
    code_version: Parameter[str],
) -> OutputDict(size_bytes=int):
    """Bless a model whose shipped files keep to the size limit.

    ``thresholds`` is their JSON, ``artifact`` what ships: ``saved_model`` or ``tflite``.
    """
    report = evidence.size_report(Path(model.uri), artifact)
    decision = decide(report, Thresholds(**json.loads(thresholds)))
    blessing.set_int_custom_property(BLESSED, int(decision.blessed))
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SIZE_DECISION).write_text(json.dumps(decision.to_json(), indent=2) + "\n")
    return {"size_bytes": report.bytes}


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
        origin = {"model": os.path.relpath(model.uri, serving), "model_digest": weights}
        result = push(
            shipped_folder(model.uri, custom["artifact"]),
            serving,
            record={**custom["record"], **origin},
            identity=digest({"model": weights, **custom["same_when"]}),
            promotion=gather(
                about={**custom["record"], **custom["about"]},
                thresholds=Thresholds(**custom["thresholds"]),
                split=custom["split"],
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
