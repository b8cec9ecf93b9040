"""What a stage's model weighs and costs, gathered into one `SizeReport`."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from components.artifact import (
    KERAS_FILE,
    SERVING_FOLDER,
    folder_bytes,
    gzip_bytes,
    shipped_folder,
)
from components.cost import cost
from components.lite import LiteModel, convert
from schemas.errors import RefineryError
from schemas.report import SizeReport

BATCHES = (1, 32)


def measure(
    model: keras.Model, folder: str | Path, *, artifact: str, lite: bytes | None = None
) -> SizeReport:
    """Weigh a network and the model directory that holds it.

    Latency is that of a TFLite model on one thread, because every kind of stage can be compared
    by it, and TensorFlow cannot change its number of threads while it runs.

    Args:
        model: The network.
        folder: The model directory, written.
        artifact: What ships of it: ``saved_model`` or ``tflite``.
        lite: The TFLite model; by default a float32 conversion, made here.
    """
    folder = Path(folder)
    ships = shipped_folder(folder, artifact)
    unmeasured = []
    try:
        counted = cost(model)
        macs, peak = counted.macs, counted.peak_activation_bytes
        unmeasured += [f"macs: {name}" for name in counted.unknown]
        if peak is None:
            unmeasured.append("peak_activation_bytes: the size of a tensor depends on the input")
    except RefineryError as error:
        macs = peak = None
        unmeasured.append(f"macs, peak_activation_bytes: {error}")
    latency = ()
    try:
        lite = lite or convert(model, "float32")
        runner = LiteModel(lite)
        latency = tuple(runner.latency(batch) for batch in BATCHES)
    except RefineryError as error:
        unmeasured.append(f"tflite_bytes, latency: {error}")
    serving = folder / SERVING_FOLDER
    return SizeReport(
        format=artifact,
        bytes=folder_bytes(ships),
        gzip_bytes=gzip_bytes(ships),
        parameters=model.count_params(),
        nonzero=sum(int(np.count_nonzero(weight)) for weight in model.get_weights()),
        macs=macs,
        peak_activation_bytes=peak,
        keras_bytes=(folder / KERAS_FILE).stat().st_size,
        saved_model_bytes=folder_bytes(serving) if serving.is_dir() else None,
        tflite_bytes=len(lite) if lite is not None else None,
        latency=latency,
        unmeasured=tuple(unmeasured),
    )
