"""Read what the pipeline's artifacts say, as the reports that the gates decide on.

The gate components and the final report both read through these functions, so that what is
printed is what was decided on.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from components.artifact import folder_bytes, shipped_folder
from schemas.errors import FailedError
from schemas.refresh import Thresholds
from schemas.report import EvalReport, SizeReport

ACCURACY_METRIC = "sparse_categorical_accuracy"
LOSS_METRIC = "sparse_categorical_crossentropy"
COUNT_METRIC = "example_count"


def size_report(model: Path, artifact: str) -> SizeReport:
    """Weigh the files that ship of a model artifact; the rest is what its stage measured.

    Args:
        model: The model directory.
        artifact: ``saved_model`` or ``tflite``.

    Raises:
        InputError: the model has no such artifact.
    """
    from components.stages import load_report

    weighed = folder_bytes(shipped_folder(model, artifact))
    measured = SizeReport.from_json(load_report(model)["size"])
    return dataclasses.replace(measured, format=artifact, bytes=weighed)


def eval_config(thresholds: Thresholds) -> Any:
    """Return the ``tfma.EvalConfig`` whose evaluation `eval_report` reads.

    Accuracy with its floor (without a value threshold the Evaluator would write no blessing),
    loss and count, over all examples together. TFMA computes in float32, so the floor is rounded
    to it as well: a figure that meets the floor exactly passes.
    """
    import numpy as np
    from tensorflow_model_analysis.proto import config_pb2 as tfma

    overall = tfma.SlicingSpec()
    least = float(np.float32(thresholds.accuracy))
    floor = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": least})
    )
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default", label_key="label", prediction_key="probabilities"
            )
        ],
        slicing_specs=[overall],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(class_name="ExampleCount"),
                    tfma.MetricConfig(class_name="SparseCategoricalCrossentropy"),
                    tfma.MetricConfig(
                        class_name="SparseCategoricalAccuracy",
                        per_slice_thresholds=[
                            tfma.PerSliceMetricThreshold(slicing_specs=[overall], threshold=floor)
                        ],
                    ),
                ]
            )
        ],
    )


def eval_report(evaluation: Path, *, split: str) -> EvalReport:
    """Return the overall figures of a TFMA evaluation.

    The accuracy is the exact share that TFMA's float32 stands for.

    Args:
        evaluation: Folder that the Evaluator wrote.
        split: Name of the split it evaluated.

    Raises:
        FailedError: the evaluation holds no overall figures.
    """
    import tensorflow_model_analysis as tfma

    result = tfma.load_eval_result(str(evaluation))
    overall = next((metrics for key, metrics in result.slicing_metrics if not key), None)
    if overall is None:
        raise FailedError(f"the evaluation in {evaluation} has no figures over all examples")
    values = overall[""][""]
    try:
        examples = round(values[COUNT_METRIC]["doubleValue"])
        correct = round(values[ACCURACY_METRIC]["doubleValue"] * examples)
        return EvalReport(
            split=split,
            examples=examples,
            accuracy=correct / examples,
            loss=float(values[LOSS_METRIC]["doubleValue"]),
        )
    except KeyError as error:
        raise FailedError(
            f"the evaluation in {evaluation} lacks the metric {error}; it has {sorted(values)}"
        ) from error


def split_anomalies(anomalies: Path, statistics: Path) -> dict[str, tuple[int, list[str]]]:
    """Return, per split, how many examples were examined and the anomalies found, in words.

    Args:
        anomalies: Folder that ExampleValidator wrote (``Split-*/SchemaDiff.pb``).
        statistics: Folder that StatisticsGen wrote (``Split-*/FeatureStats.pb``).
    """
    from tensorflow_data_validation.utils.anomalies_util import load_anomalies_binary
    from tensorflow_data_validation.utils.stats_util import load_stats_binary

    found = {}
    for folder in sorted(anomalies.glob("Split-*")):
        stats = load_stats_binary(str(statistics / folder.name / "FeatureStats.pb"))
        diff = load_anomalies_binary(str(folder / "SchemaDiff.pb"))
        words = [
            f"{name}: {one.short_description} ({one.description})".replace("\n", " ")
            for name, one in sorted(diff.anomaly_info.items())
        ]
        if diff.HasField("dataset_anomaly_info"):
            words.append(diff.dataset_anomaly_info.description)
        split = folder.name.removeprefix("Split-")
        found[split] = (int(stats.datasets[0].num_examples), words)
    return found
