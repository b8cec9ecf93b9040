"""Scores of a model."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, batches
from schemas.report import EvalReport

Forward = Callable[[tf.Tensor], tf.Tensor | np.ndarray]


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


def evaluate(
    model: keras.Model, data: Data, split: str = "eval", *, forward: Forward | None = None
) -> EvalReport:
    """Return accuracy and mean cross-entropy (nats) over the originals of a split.

    ``forward`` answers in the network's stead: another form of it, such as a TFLite model.
    """
    return judge(*_scored(forward or _eager(model), batches(data, split, model)), split=split)


def judge(logits: np.ndarray, labels: np.ndarray, *, split: str = "eval") -> EvalReport:
    """Return accuracy and mean cross-entropy (nats) of logits ``float32[N, classes]``."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    losses = log_total - shifted[np.arange(len(labels)), labels]
    return EvalReport(
        split=split,
        examples=len(labels),
        accuracy=float((logits.argmax(axis=1) == labels).mean()),
        loss=float(losses.mean()),
    )


def _eager(model: keras.Model) -> Forward:
    return lambda inputs: model(inputs, training=False)


def _scored(forward: Forward, rows: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = [], []
    for inputs, answers in rows:
        logits.append(np.asarray(forward(inputs)))
        labels.append(answers.numpy())
    return np.concatenate(logits), np.concatenate(labels)
