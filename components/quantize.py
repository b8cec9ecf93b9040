"""The quantisation stage: a network becomes a TFLite model, which is held against it."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifact import LITE_FILE, LITE_FOLDER
from components.data import Data, inputs_of, records
from components.evaluate import logits_of
from components.export import TOLERANCE, shipped_vocabulary
from components.lite import (
    READING_FILE,
    VOCABULARY_FILE,
    LiteModel,
    agreement,
    convert,
    reading_json,
)
from components.tokens import Reading, table_of
from components.train import Context
from schemas.errors import FailedError
from schemas.stages import QuantizeConfig

CALIBRATION = 500
_CHECKED = 64
_BATCH = 256


def run(context: Context, config: QuantizeConfig) -> keras.Model:
    """Keep the base as it is, and a TFLite model of it in ``tflite``.

    Raises:
        FailedError: an operation has no TFLite form, or the model does not read its inputs, or
            (float32) does not answer, like the network.
    """
    model, data = context.base, context.data
    calibration = None
    if config.method == "int8":
        count = config.calibration or CALIBRATION
        calibration = calibration_inputs(data, model, count=count, seed=context.seed)
    content = convert(model, config.method, calibration=calibration, sparse=config.sparse)
    files = {LITE_FILE: content, **_reading_files(model, data)}
    lite = _opened(files)
    _check_reading(lite, model, data)
    expected = logits_of(model, data, "eval")
    found = agreement(expected, logits_of(model, data, "eval", forward=lite.logits))
    if config.method == "float32" and found.largest > TOLERANCE * max(1.0, np.abs(expected).max()):
        raise FailedError(
            f"a float32 TFLite model must answer like its network within {TOLERANCE:g}, but "
            f"differs by {found.largest:g}: it is not fit to ship"
        )
    context.files.update({f"{LITE_FOLDER}/{name}": content for name, content in files.items()})
    context.notes.update(
        method=config.method,
        calibration=0 if calibration is None else len(calibration),
        tflite_bytes=len(content),
        agreement=dataclasses.asdict(found),
    )
    context.progress(
        f"{config.method}: {len(content):,} bytes of TFLite, same class as the network for "
        f"{found.same_class:.4f} of {found.examples:,}, largest difference {found.largest:.3g}"
    )
    return model


def calibration_inputs(data: Data, model: keras.Model, *, count: int, seed: int) -> np.ndarray:
    """Return inputs of training originals (copy 0), drawn from all of them and shuffled.

    Args:
        data: The dataset.
        model: The network that takes them.
        count: How many; all of them where there are fewer.
        seed: Decides which, and their order.
    """
    available = data.examples("train")
    chosen = np.random.default_rng(seed).permutation(available)[:count]
    wanted = tf.constant(np.isin(np.arange(available), chosen))
    rows = records(data, "train", 0).enumerate()
    rows = rows.filter(lambda index, _: wanted[index]).map(lambda _, record: record)
    take = _reader(data, model)
    inputs = np.concatenate([take(batch).numpy() for batch in rows.batch(_BATCH)])
    return inputs[np.argsort(np.argsort(chosen))]


def _reader(data: Data, model: keras.Model) -> Any:
    """Return a function from serialized examples to the network's inputs."""
    if data.schema.modality == "image":
        return lambda batch: inputs_of(batch, data.schema)
    reading = Reading.of(model)
    table = table_of(reading.lines(data.vocabulary))
    return lambda batch: reading.ids(inputs_of(batch, data.schema), table)


def _reading_files(model: keras.Model, data: Data) -> dict[str, bytes]:
    """Return what has to ship beside a model that takes token ids."""
    if data.schema.modality != "text":
        return {}
    reading = Reading.of(model)
    rule = reading_json(tokens=reading.tokens, truncate=reading.truncate, pad=reading.pad)
    return {
        VOCABULARY_FILE: shipped_vocabulary(reading, data).encode(),
        READING_FILE: rule.encode(),
    }


def _opened(files: dict[str, bytes]) -> LiteModel:
    """Return the model as it is read from its folder."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return LiteModel.load(folder)


def _check_reading(lite: LiteModel, model: keras.Model, data: Data) -> None:
    """Compare the token ids of the rule that ships with those that the network was trained on.

    Raises:
        FailedError: they differ.
    """
    if data.schema.modality != "text":
        return
    batch = next(iter(records(data, "eval", 0).batch(_CHECKED)))
    texts = [text.decode() for text in inputs_of(batch, data.schema).numpy()]
    if not np.array_equal(lite.ids(texts), _reader(data, model)(batch).numpy()):
        raise FailedError(
            "the vocabulary and the rule that ship give other token ids than training"
        )
