"""Training: the one loop all stages share, and the stage that trains on labels alone."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, steps_per_epoch, training_batches
from components.models import build_model
from components.signals import StoredSignals
from schemas.errors import FailedError
from schemas.stages import Fitting, TrainConfig

WARM_UP = 0.3

Loss = Callable[..., tf.Tensor]
Beside = Callable[[int], Sequence[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a stage is given beside its config.

    Attributes:
        data: The dataset.
        base: The network to start from, where the stage kind takes one.
        teacher: The network to learn from, where one is named; it is set or ``signals`` is.
        seed: Decides weights and order.
        progress: Called with one line of text now and then.
        notes: What the stage wants kept in its report.
        files: What the stage wants kept beside the network: path below the model directory to
            content. A stage that makes no other network ships these instead of a SavedModel.
        signals: The stored answers of a teacher, where one is named and was stored.
    """

    data: Data
    base: keras.Model | None
    teacher: keras.Model | None
    seed: int
    progress: Callable[[str], None]
    notes: dict
    files: dict[str, bytes] = field(default_factory=dict)
    signals: StoredSignals | None = None


def run(context: Context, config: TrainConfig) -> keras.Model:
    """Train a new network on the labels."""
    model = build_model(config.model, context.data)
    fit(model, context, config, label_loss(config.label_smoothing))
    return model


def label_loss(smoothing: float) -> Loss:
    """Return smoothed cross-entropy, ``float32[N]`` of the arguments ``(logits, labels)``."""
    return functools.partial(smoothed_cross_entropy, smoothing=smoothing)


def smoothed_cross_entropy(logits, labels, smoothing: float):
    """Return ``float32[N]``: cross-entropy (nats) with ``smoothing`` spread over all classes.

    Labels are class indices ``int[N]``, or the share of every class ``float32[N, classes]``.
    """
    classes = logits.shape[-1]
    shares = labels if labels.dtype.is_floating else tf.one_hot(labels, classes)
    targets = shares * (1 - smoothing) + smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def nothing(copy: int) -> Sequence[np.ndarray]:
    """Return no array to read along with a copy."""
    return ()


def weighted_mean(losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the mean of ``float32[N]`` losses, each times its weight.

    The sum is divided by N, not by the weights' sum: weights are 1 on average over the training
    split, so the scale of the loss stays, and every batch is an unbiased sample of the weighted
    whole.
    """
    return tf.reduce_mean(weights * losses)


def fit(
    model: keras.Model,
    context: Context,
    config: Fitting,
    loss: Loss,
    *,
    beside: Beside = nothing,
    network: Callable[..., Any] | None = None,
) -> None:
    """Train ``model`` in place through all epochs; see `epochs_of`."""
    for _ in epochs_of(model, context, config, loss, beside=beside, network=network):
        pass


def epochs_of(
    model: keras.Model,
    context: Context,
    config: Fitting,
    loss: Loss,
    *,
    beside: Beside = nothing,
    network: Callable[..., Any] | None = None,
) -> Iterator[float]:
    """Train ``model`` in place, one epoch for each value taken: its mean loss.

    Epoch ``e`` reads stored copy ``e % copies``.

    Args:
        model: Network that returns logits.
        context: Dataset, seed and progress.
        config: Epochs, batch size, optimizer and the rest.
        loss: Gives ``float32[N]`` for ``(logits, labels, *beside)``. What is minimised is its
            mean, each example's share scaled by its stored weight.
        beside: Gives for a copy the arrays that are read along with it (teacher logits).
        network: What is called in place of the model: the same weights with more outputs, which
            the loss gets in place of the logits.

    Raises:
        FailedError: the loss stopped being a number.
    """
    network = network or model
    data = context.data
    copies = data.copies()[: config.copies]
    order = [copies[epoch % len(copies)] for epoch in range(config.epochs)]
    # Copies differ in length where classes were balanced or leaking copies dropped.
    steps = sum(
        steps_per_epoch(data, config.batch_size, config.examples, copy=copy) for copy in order
    )
    optimizer = _optimizer(config, steps)
    optimizer.build(model.trainable_variables)
    decay = [
        config.weight_decay if len(one.shape) > 1 and config.optimizer == "sgd" else 0.0
        for one in model.trainable_variables
    ]

    @tf.function(reduce_retracing=True)
    def step(inputs, labels, weights, *more):
        with tf.GradientTape() as tape:
            value = weighted_mean(loss(network(inputs, training=True), labels, *more), weights)
        variables = [one.value for one in model.trainable_variables]
        gradients = tape.gradient(value, variables)
        gradients = [
            gradient + rate * variable if rate else gradient
            for gradient, variable, rate in zip(gradients, variables, decay, strict=True)
        ]
        optimizer.apply(gradients, model.trainable_variables)
        return value

    for epoch, copy in enumerate(order):
        started = time.monotonic()
        rows = training_batches(
            data,
            model,
            copy=copy,
            batch_size=config.batch_size,
            seed=context.seed * 10_007 + epoch,
            examples=config.examples,
            beside=beside(copy),
        )
        mean = float(tf.reduce_mean([step(*batch) for batch in rows]))
        if not np.isfinite(mean):
            raise FailedError(
                f"the training loss must stay a number, but became {mean} in epoch {epoch + 1}: "
                f"lower learning_rate ({config.learning_rate})"
            )
        seconds = time.monotonic() - started
        context.progress(
            f"epoch {epoch + 1}/{config.epochs}  copy {copy}  loss {mean:.4f}  {seconds:.1f} s"
        )
        yield mean


class Triangular(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly to the peak over the first `WARM_UP` of the steps, then fall to zero."""

    def __init__(self, peak: float, steps: int) -> None:
        self.peak = peak
        self.steps = max(steps, 1)

    def __call__(self, step):
        """Return the learning rate of a step."""
        done = (tf.cast(step, tf.float32) + 0.5) / self.steps
        return self.peak * tf.minimum(done / WARM_UP, (1 - done) / (1 - WARM_UP))

    def get_config(self) -> dict:
        """Return what `__init__` takes."""
        return {"peak": self.peak, "steps": self.steps}


def _optimizer(config: Fitting, steps: int) -> keras.optimizers.Optimizer:
    rate = Triangular(config.learning_rate, steps)
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    return keras.optimizers.Adam(rate, weight_decay=config.weight_decay or None)
