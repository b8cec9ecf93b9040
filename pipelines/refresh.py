"""From a materialized dataset to a pushed model: the TFX pipeline, and how it is run.

The nodes, in order: Examples, Schema and Probes (importers), StatisticsGen, ExampleValidator,
DataGate, one node per model stage of the recipe, Evaluator (TFMA, on the test split), Answers,
SizeGate, AccuracyGate, Pusher. The gates are documented in `docs/gates.md`.

Everything of a refresh lies below its root: ``metadata.sqlite`` for all of them, and per recipe
and profile a folder (see `Places`). TFX is imported inside the functions, so that importing this
module, or being told that the root is occupied, takes no time.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import evidence, notify
from components.data_checks import DatasetProfile
from components.promotion import DATA, PROFILE
from components.serving.baseline import Baseline, find_baseline, kept_evidence
from components.serving.store import record_refusal
from components.sources import Sources, sources_of
from pipelines.augment.policy import parse_policy
from pipelines.code_version import code_version, gate_sources, software, stage_sources
from pipelines.probes.build import write_probes
from pipelines.quiet import quiet
from pipelines.refresh_report import (
    CACHED,
    DONE,
    FAILED,
    GATED_SPLIT,
    RUNNING,
    NodeEvent,
    NodeResult,
    Progress,
    build_report,
    node_progress,
    write_report,
)
from pipelines.refresh_store import Places, heal, only_one, times_judged, write_schema
from pipelines.refresh_summary import render
from schemas.canonical import canonical_json
from schemas.errors import (
    EXIT_DONE,
    EXIT_REFUSED,
    FailedError,
    InputError,
    RefineryError,
    unknown_name,
)
from schemas.manifest import MANIFEST, SPLITS, Manifest, load_manifest
from schemas.recipe import Recipe
from schemas.refresh import PROFILES, RefreshPlan
from schemas.report import RefreshReport
from schemas.stages import config_settings

PUSHER = "Pusher"
_OTHERS = 11
"""How many nodes there are beside the model stages."""
# TFX's own Beam jobs are small: in memory they take seconds where worker processes take 30.
BEAM_ARGS = ("--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")


@dataclass(frozen=True, kw_only=True)
class RefreshOutcome:
    """How a refresh ended: ``pushed``, ``nothing_new`` or ``refused``.

    Attributes:
        status: As in `RefreshReport`.
        exit_code: 0, or 3 when a gate refused.
        report: The report.
        report_path: Where it was written.
        summary: The report as a table for people.
    """

    status: str
    exit_code: int
    report: RefreshReport
    report_path: Path
    summary: str


class _NodeError(Exception):
    """A node raised its ``__cause__``; ``results`` holds the nodes up to and with it."""

    def __init__(self, node: str, results: list[NodeResult]) -> None:
        super().__init__(node)
        self.results = results


def run_refresh(
    *,
    recipe: Recipe,
    dataset_dir: Path,
    root: Path,
    profile: str = "full",
    verbose: bool = False,
    progress: Progress | None = None,
) -> RefreshOutcome:
    """Run the refresh of a recipe on its dataset; what an earlier run did already is taken over.

    Args:
        recipe: With a ``refresh`` section, overrides applied.
        dataset_dir: A materialized dataset; it may lie anywhere.
        root: Where metadata, artifacts, served models and reports go. One refresh at a time.
        profile: ``smoke``, ``demo`` or ``full``.
        verbose: Leave the libraries' messages on the terminal instead of in ``refresh.log``.
        progress: Called when a node starts and ends; by default lines go to standard error.

    Raises:
        InputError: the recipe, the dataset or the root cannot be used, or the root is occupied.
        FailedError: a node failed; the message says which and why.
    """
    if recipe.refresh is None:
        raise InputError(f"recipe {recipe.name!r} has no refresh section; add one to train from it")
    if profile not in PROFILES:
        raise InputError(unknown_name("profile", profile, PROFILES))
    plan = recipe.refresh.for_profile(profile)
    dataset = Path(dataset_dir).resolve()
    manifest = load_manifest(dataset)
    _check_files(dataset, manifest)
    places = Places(Path(root).resolve(), f"{recipe.name}-{profile}")
    sources = _sources(plan, places, manifest.digest)
    if plan.notify is not None:
        notify.check(plan.notify)
    with only_one(places.root), quiet(verbose=verbose, log=places.log) as terminal:
        started = time.monotonic()
        run = datetime.datetime.now().isoformat()
        heal(places)
        progress = progress or node_progress(terminal)
        cause: BaseException | None = None
        try:
            baseline = find_baseline(places.serving)
            probes = _probes(plan, recipe, dataset, places, progress)
            tell = _teller(progress, index=0, total=len(plan.stages) + _OTHERS, node="loading TFX")
            tell(RUNNING)
            pipeline = build_pipeline(
                plan,
                recipe=recipe,
                dataset=dataset,
                manifest=manifest,
                places=places,
                sources=sources,
                probes=probes,
                baseline=baseline,
            )
            tell(DONE)
            timed = plan.gates.ceilings.latency_p95_ms is not None
            results = run_nodes(
                pipeline,
                run=run,
                places=places,
                progress=progress,
                never_cached={PUSHER, *(["SizeGate"] if timed else [])},
            )
        except _NodeError as error:
            results, cause = error.results, error.__cause__
        except BaseException as error:
            if isinstance(error, Exception):
                said = {"recipe": recipe.name, "profile": profile, "run": run, "error": str(error)}
                _tell(plan, "failed", said)
            heal(places)
            raise
        report = build_report(
            results,
            plan=plan,
            recipe=recipe.name,
            dataset=dataset,
            digest=manifest.digest,
            run=run,
            seconds=time.monotonic() - started,
            cause=cause,
            test_uses=times_judged(places, probes),
        )
        for path in (places.report_of(run), places.report):
            write_report(report, path)
        if report.status == "refused":
            about = {"recipe": recipe.name, "profile": profile, "run": run}
            about["dataset_digest"] = manifest.digest
            record_refusal(places.serving, "; ".join(report.reasons), about)
    _tell(plan, report.status, report.to_json())
    if report.status == "failed":
        if isinstance(cause, RefineryError):
            raise cause
        raise FailedError(f"{report.error} (details: {places.log})") from cause
    return RefreshOutcome(
        status=report.status,
        exit_code=EXIT_REFUSED if report.status == "refused" else EXIT_DONE,
        report=report,
        report_path=places.report,
        summary=render(report, path=places.report),
    )


def build_pipeline(
    plan: RefreshPlan,
    *,
    recipe: Recipe,
    dataset: Path,
    manifest: Manifest,
    places: Places,
    sources: Mapping[str, Sources],
    probes: Path,
    baseline: Baseline,
) -> Any:
    """Return the TFX pipeline (``tfx.dsl.Pipeline``) of a plan.

    Args:
        plan: Stages and gates.
        recipe: Gives the name for the record of a push, and the seed of every stage.
        dataset: The materialized dataset.
        manifest: Its manifest.
        places: Where everything goes.
        sources: By stage, what it reads from outside.
        probes: Slices and corrupted forms of the test split (`pipelines.probes.build`).
        baseline: What is live.
    """
    import tensorflow_data_validation as tfdv
    from tfx import v1 as tfx

    from components import shells

    gate_version, stage_version = code_version(gate_sources()), code_version(stage_sources())
    gates = canonical_json(dataclasses.asdict(plan.gates)).decode()
    splits = sorted({shard.split for shard in manifest.shards})
    examples = tfx.dsl.Importer(
        source_uri=str(dataset),
        artifact_type=tfx.types.standard_artifacts.Examples,
        properties={"split_names": json.dumps(splits), "span": 0, "version": 0},
        custom_properties={
            "payload_format": "FORMAT_TF_EXAMPLE",
            "file_format": "tfrecords_gzip",
            "digest": manifest.digest,
        },
    ).with_id("Examples")
    schema = tfx.dsl.Importer(
        source_uri=str(write_schema(dataset, manifest, places)),
        artifact_type=tfx.types.standard_artifacts.Schema,
    ).with_id("Schema")
    asked = tfx.dsl.Importer(
        source_uri=str(probes),
        artifact_type=tfx.types.standard_artifacts.Examples,
        properties={"split_names": json.dumps([GATED_SPLIT]), "span": 0, "version": 0},
        custom_properties={"digest": probes.name},
    ).with_id("Probes")
    data, forms = examples.outputs["result"], asked.outputs["result"]
    statistics = tfx.components.StatisticsGen(
        examples=data,
        schema=schema.outputs["result"],
        stats_options=tfdv.StatsOptions(
            enable_semantic_domain_stats=manifest.schema.encoding == "png",
            num_top_values=5,
            num_rank_histogram_buckets=5,
        ),
    )
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["result"]
    )
    previous, previous_why = _last_accepted(places, baseline)
    data_gate = shells.DataGate(
        examples=data,
        anomalies=validator.outputs["anomalies"],
        statistics=statistics.outputs["statistics"],
        gates=canonical_json(dataclasses.asdict(plan.data)).decode(),
        previous=previous,
        previous_why=previous_why,
        code_version=gate_version,
    )
    stages: dict[str, Any] = {}
    for stage in plan.stages:
        links = {"base": stage.base, "teacher": stage.teacher}
        stages[stage.name] = shells.ModelStage(
            examples=data,
            name=stage.name,
            kind=stage.kind,
            config=canonical_json(config_settings(stage.config)).decode(),
            seed=recipe.seed,
            sources=canonical_json(sources[stage.name]).decode(),
            code_version=stage_version,
            **{key: stages[name].outputs["model"] for key, name in links.items() if name},
        ).with_id(stage.name)
        stages[stage.name].add_upstream_node(data_gate)
    model = stages[plan.push].outputs["model"]
    evaluator = tfx.components.Evaluator(
        examples=data,
        model=model,
        eval_config=evidence.eval_config(),
        example_splits=[GATED_SPLIT],
        # TFMA itself loads SavedModels; a TFLite model answers through the interpreter.
        module_path="components.lite_evaluation" if plan.artifact == "tflite" else None,
    )
    answers = shells.Answers(
        examples=data,
        probes=forms,
        model=model,
        artifact=plan.artifact,
        split=GATED_SPLIT,
        code_version=f"{stage_version} {gate_version}",
    )
    judged = {
        "examples": data,
        "probes": forms,
        "model": model,
        "answers": answers.outputs["answers"],
        "gates": gates,
        "code_version": gate_version,
    }
    size_gate = shells.SizeGate(artifact=plan.artifact, **judged)
    # Weights are the same model only with the same code and data: both decide what is exported.
    same_when = {"dataset_digest": manifest.digest, "code_version": stage_version}
    accuracy_gate = shells.AccuracyGate(
        evaluation=evaluator.outputs["evaluation"],
        baseline=canonical_json(baseline.to_json()).decode(),
        serving=str(places.serving),
        same_when=canonical_json(same_when).decode(),
        **judged,
    )
    record = {
        "recipe": recipe.name,
        "profile": plan.profile,
        "fingerprint": manifest.fingerprint,
        "stage": plan.push,
        "artifact": plan.artifact,
        **same_when,
    }
    pusher = shells.AtomicPusher(
        model=model,
        model_blessing=accuracy_gate.outputs["blessing"],
        infra_blessing=size_gate.outputs["blessing"],
        stages=[one.outputs["model"] for one in stages.values()],
        checks=data_gate.outputs["checks"],
        anomalies=validator.outputs["anomalies"],
        statistics=statistics.outputs["statistics"],
        evaluation=evaluator.outputs["evaluation"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(places.serving))
        ),
        custom_config={
            "artifact": plan.artifact,
            "record": record,
            "same_when": same_when,
            "about": {"gate_version": gate_version, **software()},
            "instead_of": baseline.version,
            "dataset": str(dataset / MANIFEST),
            "stages": list(stages),
            "keep": plan.keep,
        },
    ).with_id(PUSHER)
    return tfx.dsl.Pipeline(
        pipeline_name=places.name,
        pipeline_root=str(places.artifacts),
        components=[
            examples, schema, asked, statistics, validator, data_gate, *stages.values(), evaluator,
            answers, size_gate, accuracy_gate, pusher,
        ],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(places.metadata)
        ),
        beam_pipeline_args=list(BEAM_ARGS),
    )  # fmt: skip


def run_nodes(
    pipeline: Any,
    *,
    run: str,
    places: Places,
    progress: Progress,
    never_cached: Collection[str] = (PUSHER,),
) -> list[NodeResult]:
    """Run the nodes one after the other, as LocalDagRunner does, and watch each.

    LocalDagRunner itself says nothing while it runs, stays green when a node's inputs cannot be
    resolved, and would take the Pusher's result from the cache although another model went live.

    Args:
        pipeline: A ``tfx.dsl.Pipeline``.
        run: Identifier of the run.
        places: Where the metadata lies.
        progress: Called at the start and the end of every node, and with a stage's own lines.
        never_cached: Nodes that run again whatever happened before: the Pusher, and a gate that
            measures time, whose verdict of a busy minute must not last.

    Raises:
        _NodeError: a node failed; no later node was started.
    """
    from tfx.dsl.compiler import compiler, constants
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher, runtime_parameter_utils
    from tfx.orchestration.portable.mlmd import execution_lib

    from components import shells

    proto = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        proto, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run}
    )
    deployment = runner_utils.extract_local_deployment_config(proto)
    connection = metadata.sqlite_metadata_connection_config(str(places.metadata))
    results: list[NodeResult] = []
    for index, entry in enumerate(proto.nodes, start=1):
        node = entry.pipeline_node
        name = node.node_info.id
        if name in never_cached:
            node.execution_options.caching_options.enable_cache = False
        tell = _teller(progress, index=index, total=len(proto.nodes), node=name)
        tell(RUNNING)
        try:
            with shells.stage_progress(lambda line, tell=tell: tell(RUNNING, line)):
                info = launcher.Launcher(
                    pipeline_node=node,
                    mlmd_connection=metadata.Metadata(connection),
                    pipeline_info=proto.pipeline_info,
                    pipeline_runtime_spec=proto.runtime_spec,
                    executor_spec=runner_utils.extract_executor_spec(deployment, name),
                    custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
                ).launch()
            with metadata.Metadata(connection) as handle:
                state = _state(handle, info)
                outputs = execution_lib.get_output_artifacts(handle, info.execution_id)
        except Exception as error:
            results.append(NodeResult(node=name, state=FAILED, seconds=tell(FAILED)))
            raise _NodeError(name, results) from error
        results.append(NodeResult(node=name, state=state, seconds=tell(state), outputs=outputs))
    return results


def _state(handle: Any, info: Any) -> str:
    """Return ``done`` or ``cached`` from the metadata; anything else is an error.

    Raises:
        FailedError: the node was skipped or its inputs could not be resolved, which the launcher
            reports by returning quietly.
    """
    from ml_metadata.proto.metadata_store_pb2 import Execution

    if info is None or info.execution_id is None:
        raise FailedError("it was skipped: an input that it needs does not exist")
    (execution,) = handle.store.get_executions_by_id([info.execution_id])
    states = {Execution.COMPLETE: DONE, Execution.CACHED: CACHED}
    if execution.last_known_state not in states:
        state = Execution.State.Name(execution.last_known_state)
        raise FailedError(f"it ended as {state}: an input that it needs could not be resolved")
    return states[execution.last_known_state]


def _teller(progress: Progress, *, index: int, total: int, node: str) -> Callable[..., float]:
    """Return ``tell(state, line="") -> seconds since the first call of this function``."""
    started = time.monotonic()

    def tell(state: str, line: str = "") -> float:
        seconds = time.monotonic() - started
        progress(
            NodeEvent(
                index=index,
                total=total,
                node=node,
                state=state,
                seconds=seconds,
                line=line.removeprefix(f"{node}: "),
            )
        )
        return seconds

    return tell


def _tell(plan: RefreshPlan, status: str, report: Mapping[str, Any]) -> None:
    """Let those hear of the outcome whom the recipe names."""
    if plan.notify is not None:
        unheard = notify.notify(plan.notify, status=status, report=report)
        if unheard:
            print(unheard, file=sys.stderr)


def _probes(
    plan: RefreshPlan, recipe: Recipe, dataset: Path, places: Places, progress: Progress
) -> Path:
    """Write the probes of the test split where they are not there yet, and return their folder."""
    tell = _teller(progress, index=0, total=len(plan.stages) + _OTHERS, node="probes")
    tell(RUNNING)
    folder = write_probes(
        dataset,
        places.probes,
        policy=parse_policy(recipe.policy, recipe.modality),
        seed=recipe.seed,
        robustness=plan.robustness,
        progress=_by_tenths(lambda line: tell(RUNNING, line)),
    )
    tell(DONE)
    return folder


def _by_tenths(tell: Callable[[str], Any]) -> Callable[[int, int], None]:
    """Return a callback that tells how much is done whenever another tenth is."""
    told = 0

    def show(done: int, total: int) -> None:
        nonlocal told
        if 10 * done // total > told:
            told = 10 * done // total
            tell(f"{done:,} of {total:,}")

    return show


def _last_accepted(places: Places, baseline: Baseline) -> tuple[str, str]:
    """Return the profile of the dataset that the live model was made from, or why there is none."""
    if baseline.state == "first_run":
        return "", "no dataset was accepted before"
    path = kept_evidence(places.serving, baseline.version, DATA, PROFILE)
    if path is None:
        return "", f"the bundle of version {baseline.version} keeps no profile of its dataset"
    try:
        text = path.read_text("utf-8")
        DatasetProfile.from_json(json.loads(text))
    except (OSError, ValueError) as error:  # InputError is one: of an earlier program
        return "", f"the profile of version {baseline.version}'s dataset cannot be read: {error}"
    return text, ""


def _sources(plan: RefreshPlan, places: Places, dataset: str) -> dict[str, Sources]:
    """Return what each stage reads from outside.

    Raises:
        InputError: it is not there; the message names stage and key.
    """
    found: dict[str, Sources] = {}
    for stage in plan.stages:
        try:
            found[stage.name] = sources_of(stage.config, serving=places.serving, dataset=dataset)
        except InputError as error:
            raise InputError(f"stage {stage.name!r}: {error}") from error
    return found


def _check_files(dataset: Path, manifest: Manifest) -> None:
    """Refuse a dataset that lacks a split, or whose shards are not as long as its manifest says.

    Raises:
        InputError: naming the split or the first such shard.
    """
    for split in SPLITS:
        if not any(one.examples for one in manifest.shards if one.split == split):
            raise InputError(
                f"a refresh needs examples in the splits {', '.join(SPLITS)}; {dataset} has none "
                f"in {split}: give it a share in the recipe and materialize again"
            )
    for shard in manifest.shards:
        path = dataset / shard.path
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            raise InputError(
                f"{path} must have the {shard.bytes:,} bytes of the manifest, "
                f"but {'is missing' if size is None else f'has {size:,}'}: see what "
                f"`beam_runner.py verify {dataset}` says, and materialize again"
            )
