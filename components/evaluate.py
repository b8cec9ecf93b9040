"""Scores and sizes of a model."""

from pathlib import Path

import keras
import numpy as np

from components.data import Data, batches
from schemas.errors import InputError
from schemas.report import EvalReport, SizeReport

SERVING_FOLDER = "Format-Serving"
KERAS_FILE = "keras/model.keras"


def logits_of(model: keras.Model, data: Data, split: str, *, copy: int = 0) -> np.ndarray:
    """Return logits ``float32[N, classes]`` of one copy in the fixed order of `components.data`."""
    return _scored(model, data, split, copy)[0]


def evaluate(model: keras.Model, data: Data, split: str = "eval") -> EvalReport:
    """Return accuracy and mean cross-entropy (nats) over the originals of a split."""
    logits, labels = _scored(model, data, split, 0)
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


def _scored(model: keras.Model, data: Data, split: str, copy: int) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = [], []
    for inputs, answers in batches(data, split, model, copy=copy):
        logits.append(model(inputs, training=False).numpy())
        labels.append(answers.numpy())
    return np.concatenate(logits), np.concatenate(labels)
