"""How the Evaluator scores a model that ships as TFLite: through the interpreter.

The two functions are those that TFX's Evaluator looks for in the module it is given. TFMA's own
extractor for TFLite feeds raw features to the model; ours hold encoded images and plain texts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam

from components.artifact import shipped_folder

ARTIFACT = "tflite"


def custom_eval_shared_model(
    eval_saved_model_path: str, model_name: str, eval_config: Any, **kwargs: Any
) -> Any:
    """Return TFMA's handle of the model directory that the SavedModel's path would lie in."""
    import tensorflow_model_analysis as tfma

    del eval_config, kwargs
    folder = shipped_folder(Path(eval_saved_model_path).parent, ARTIFACT)
    return tfma.types.EvalSharedModel(
        model_name=model_name, model_type=ARTIFACT, model_path=str(folder)
    )


def custom_extractors(
    eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any
) -> list[Any]:
    """Return TFMA's extractors with ours in the place of the one that predicts."""
    import tensorflow_model_analysis as tfma

    predict = tfma.extractors.Extractor(
        stage_name="ExtractPredictions",
        ptransform=beam.ParDo(Predict(eval_shared_model.model_path)),
    )
    return tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
        custom_predict_extractor=predict,
    )


class Predict(beam.DoFn):
    """Add ``predictions``, the probabilities of the classes, to TFMA's batches of examples.

    Args:
        folder: The folder that ships.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def setup(self) -> None:
        """Load the model and what says how its examples are stored."""
        from components.shipped import open_shipped
        from components.stages import load_report
        from schemas.features import ExampleSchema

        schema = ExampleSchema.from_json(load_report(Path(self._folder).parent)["schema"])
        self._model = open_shipped(self._folder, artifact=ARTIFACT, schema=schema)

    def process(self, extracts: dict[str, Any]) -> Any:
        """Yield the batch with its predictions ``float32[N, classes]``."""
        yield {**extracts, "predictions": self._model.probabilities(list(extracts["input"]))}
