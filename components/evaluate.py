"""Scores and sizes of a model."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, batches
from schemas.errors import InputError
from schemas.report import EvalReport, SizeReport

SERVING_FOLDER = "Format-Serving"
KERAS_FILE = "keras/model.keras"

Forward = Callable[[tf.Tensor], tf.Tensor]


def logits_of(
    model: keras.Model,
    data: Data,
    split: str,
    *,
    copy: int = 0,
    examples: int | None = None,
    forward: Forward | None = None,
) -> np.ndarray:
    """Return logits ``float32[N, classes]`` of one copy in the fixed order of `components.data`.

    ``forward`` is the network's `compiled` form, worth making where several copies are scored.
    """
    rows = batches(data, split, model, copy=copy, examples=examples)
    return _scored(forward or _eager(model), rows)[0]


def compiled(model: keras.Model) -> Forward:
    """Return inference of the network as one graph: a third cheaper than call by call."""
    return tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)


def evaluate(model: keras.Model, data: Data, split: str = "eval") -> EvalReport:
    """Return accuracy and mean cross-entropy (nats) over the originals of a split."""
    logits, labels = _scored(_eager(model), batches(data, split, model))
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    losses = log_total - shifted[np.arange(len(labels)), labels]
    return EvalReport(
        split=split,
        examples=len(labels),
        accuracy=float((logits.argmax(axis=1) == labels).mean()),
        loss=float(losses.mean()),
    )


def saved_model_size(folder: str | Path, parameters: int | None = None) -> SizeReport:
    """Return the bytes of every file of a SavedModel directory.

    Raises:
        InputError: the directory holds no SavedModel.
    """
    folder = Path(folder)
    if not (folder / "saved_model.pb").is_file():
        raise InputError(
            f"{folder}: a SavedModel directory holds saved_model.pb; this one does not"
        )
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return SizeReport(format="saved_model", bytes=total, parameters=parameters)


def _eager(model: keras.Model) -> Forward:
    return lambda inputs: model(inputs, training=False)


def _scored(forward: Forward, rows: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = [], []
    for inputs, answers in rows:
        logits.append(forward(inputs).numpy())
        labels.append(answers.numpy())
    return np.concatenate(logits), np.concatenate(labels)
