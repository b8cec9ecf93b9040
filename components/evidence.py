"""Read what TFX's own components left: evaluations and anomalies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import FailedError
from schemas.report import EvalReport

if TYPE_CHECKING:
    from components.acceptance import Predictions

ACCURACY_METRIC = "sparse_categorical_accuracy"
LOSS_METRIC = "sparse_categorical_crossentropy"
COUNT_METRIC = "example_count"
AGREEMENT = 1e-6


def eval_config() -> Any:
    """Return the ``tfma.EvalConfig`` whose evaluation `eval_report` reads.

    Accuracy, loss and count, over all examples and for each label. There is no threshold, so the
    Evaluator blesses nothing: it computes the figures a second time, and the gate decides.
    """
    from tensorflow_model_analysis.proto import config_pb2 as tfma

    names = ("ExampleCount", "SparseCategoricalCrossentropy", "SparseCategoricalAccuracy")
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default", label_key="label", prediction_key="probabilities"
            )
        ],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["label"])],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name=name) for name in names])
        ],
    )


def check_agreement(evaluation: Path, table: Predictions) -> None:
    """Hold TFMA's figures against the table that the gate decides on.

    Both asked the same model the same examples, in other batches.

    Raises:
        FailedError: counts, accuracy (of all and of a class) or loss differ by more than 1e-6.
    """
    found = eval_report(evaluation, split=str(table.about.get("split", "test")))
    ours = {
        "examples": (found.examples, table.examples, 0.0),
        "accuracy": (found.accuracy, float(table.correct.mean()), AGREEMENT),
        "loss": (found.loss, float(table.losses.mean()), AGREEMENT),
    }
    per_class = class_accuracies(evaluation)
    for label, name in enumerate(table.classes):
        part = table.of_class(name)
        if part.examples:
            mean = float(part.correct.mean())
            ours[f"recall of {name}"] = (per_class.get(label), mean, AGREEMENT)
    for what, (theirs, own, limit) in ours.items():
        if theirs is None or not abs(theirs - own) <= limit * max(1.0, abs(own)):
            raise FailedError(
                f"TFMA and the gate must agree on the {what} within {limit:g}, but TFMA has "
                f"{theirs} and the gate {own}: the model does not answer alike twice"
            )


def class_accuracies(evaluation: Path) -> dict[int, float]:
    """Return TFMA's accuracy of the examples of each label."""
    import tensorflow_model_analysis as tfma

    result = tfma.load_eval_result(str(evaluation))
    return {
        int(key[0][1]): float(metrics[""][""][ACCURACY_METRIC]["doubleValue"])
        for key, metrics in result.slicing_metrics
        if len(key) == 1
    }


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
