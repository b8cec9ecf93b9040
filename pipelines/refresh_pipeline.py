"""The TFX pipeline of a refresh.

The nodes, in order: Examples, Schema and Probes (importers), StatisticsGen, ExampleValidator,
DataGate, one node per model stage of the recipe, Evaluator (TFMA, on the test split), Answers,
AccuracyGate, SizeGate, Pusher. The gates are documented in `docs/gates.md`. TFX is imported inside
the function, so that importing this module takes no time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import evidence
from components.serving.baseline import Baseline
from components.sources import Sources
from pipelines.code_version import (
    code_version,
    export_sources,
    gate_sources,
    software,
    stage_sources,
)
from pipelines.refresh_nodes import PUSHER
from pipelines.refresh_report import GATED_SPLIT
from pipelines.refresh_store import Places, check_text, last_accepted, write_schema
from schemas.canonical import canonical_json, digest
from schemas.manifest import MANIFEST, Manifest
from schemas.recipe import Recipe
from schemas.refresh import RefreshPlan
from schemas.stages import config_settings

# TFX's own Beam jobs are small: in memory they take seconds where worker processes take 30.
BEAM_ARGS = ("--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")
OTHER_NODES = 11
"""How many nodes there are beside the model stages."""


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

    Raises:
        InputError: the path of the dataset is no text.
    """
    check_text("dataset", dataset)
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
    data_gate = shells.DataGate(
        examples=data,
        anomalies=validator.outputs["anomalies"],
        statistics=statistics.outputs["statistics"],
        gates=canonical_json(dataclasses.asdict(plan.data)).decode(),
        previous=canonical_json(last_accepted(places.serving, baseline).to_json()).decode(),
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
    # What may change an answer: the Evaluator and Answers run again together, or they disagree. The
    # Evaluator takes no parameter of ours, but Beam's arguments are part of its cache key.
    answering = f"{stage_version}-{gate_version}-{digest(software()['versions'])[:16]}"
    evaluator = tfx.components.Evaluator(
        examples=data,
        model=model,
        eval_config=evidence.eval_config(),
        example_splits=[GATED_SPLIT],
        # TFMA itself loads SavedModels; a TFLite model answers through the interpreter.
        module_path="components.lite_evaluation" if plan.artifact == "tflite" else None,
    ).with_beam_pipeline_args([*BEAM_ARGS, f"--job_name=evaluator-{answering}"])
    # Equal weights serve alike only if they are exported alike. How they were trained is past.
    same_when = {
        "dataset_digest": manifest.digest,
        "export_version": code_version(export_sources()),
    }
    told_apart = canonical_json(same_when).decode()
    answers = shells.Answers(
        examples=data,
        probes=forms,
        model=model,
        artifact=plan.artifact,
        split=GATED_SPLIT,
        same_when=told_apart,
        code_version=answering,
    )
    judged = {
        "model": model,
        "answers": answers.outputs["answers"],
        "gates": gates,
        "code_version": gate_version,
    }
    size_gate = shells.SizeGate(artifact=plan.artifact, **judged)
    accuracy_gate = shells.AccuracyGate(
        examples=data,
        probes=forms,
        evaluation=evaluator.outputs["evaluation"],
        baseline=canonical_json(baseline.to_json()).decode(),
        serving=str(places.serving),
        same_when=told_apart,
        **judged,
    )
    record = {
        "recipe": recipe.name,
        "profile": plan.profile,
        "fingerprint": manifest.fingerprint,
        "stage": plan.push,
        "artifact": plan.artifact,
        "code_version": stage_version,
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
