"""Training: the one loop all stages share, and the stage that trains on labels alone."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, steps_per_epoch, training_batches
from components.export import Served
from components.models import build_model
from components.signals import StoredSignals
from schemas.errors import FailedError
from schemas.fitting import Fitting
from schemas.stages import TrainConfig

WARM_UP = 0.3

Loss = Callable[..., tf.Tensor]
Beside = Callable[[int], Sequence[np.ndarray]]
Batches = Callable[[int], Iterable[Sequence[Any]]]


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
        served: Further forms of the network that its SavedModel is to serve, by signature.
        workspace: Folder where a stage may leave what the next run goes on from when this one is
            cut off; it belongs to all runs of the stage. None: there is none.
        extras: As ``files``, but what does not ship.
    """

    data: Data
    base: keras.Model | None
    teacher: keras.Model | None
    seed: int
    progress: Callable[[str], None]
    notes: dict
    files: dict[str, bytes] = field(default_factory=dict)
    signals: StoredSignals | None = None
    served: dict[str, Served] = field(default_factory=dict)
    workspace: Path | None = None
    extras: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Which weights learn in an epoch, and at which share of the learning rate.

    Attributes:
        begin: Called before every epoch, from 0; makes layers trainable or not. Equal answers say
            that nothing changed.
        factor: What a variable's updates are scaled by, weight decay included.
    """

    begin: Callable[[int], object]
    factor: Callable[[keras.Variable], float]


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
    pace: Pace | None = None,
) -> None:
    """Train ``model`` in place through all epochs; see `epochs_of`."""
    for _ in epochs_of(model, context, config, loss, beside=beside, network=network, pace=pace):
        pass


def epochs_of(
    model: keras.Model,
    context: Context,
    config: Fitting,
    loss: Loss,
    *,
    beside: Beside = nothing,
    network: Callable[..., Any] | None = None,
    pace: Pace | None = None,
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
        pace: What learns in which epoch and how fast; without it all does, at the same rate.

    Raises:
        FailedError: the loss stopped being a number.
    """
    data = context.data
    copies = data.copies()[: config.copies]
    order = [copies[epoch % len(copies)] for epoch in range(config.epochs)]
    # Copies differ in length where classes were balanced or leaking copies dropped.
    steps = sum(
        steps_per_epoch(data, config.batch_size, config.examples, copy=copy) for copy in order
    )

    def rows(epoch: int) -> tf.data.Dataset:
        return training_batches(
            data,
            model,
            copy=order[epoch],
            batch_size=config.batch_size,
            seed=context.seed * 10_007 + epoch,
            examples=config.examples,
            beside=beside(order[epoch]),
        )

    started = time.monotonic()
    means = losses_of(model, config, loss, rows, steps=steps, network=network, pace=pace)
    for epoch, mean in enumerate(means):
        seconds = time.monotonic() - started
        context.progress(
            f"epoch {epoch + 1}/{config.epochs}  copy {order[epoch]}  loss {mean:.4f}  "
            f"{seconds:.1f} s"
        )
        yield mean
        started = time.monotonic()


def losses_of(
    model: keras.Model,
    config: Fitting,
    loss: Loss,
    rows: Batches,
    *,
    steps: int,
    network: Callable[..., Any] | None = None,
    pace: Pace | None = None,
) -> Iterator[float]:
    """Train ``model`` in place on any batches: the loop below `epochs_of`.

    Args:
        model: Network that returns logits. With a ``pace`` all that will ever learn is trainable.
        config: Epochs, optimizer and the rest; it limits nothing here.
        loss: As in `epochs_of`.
        rows: Gives the batches ``(inputs, labels, weights float32[n], *beside)`` of an epoch.
        steps: Batches of all epochs together, for the schedule.
        network: As in `epochs_of`.
        pace: As in `epochs_of`.

    Raises:
        FailedError: the loss stopped being a number.
    """
    network = network or model
    optimizer = _optimizer(config, steps)
    optimizer.build(model.trainable_variables)

    def step(inputs, labels, weights, *more):
        learning = model.trainable_variables
        decay = [
            config.weight_decay if len(one.shape) > 1 and config.optimizer == "sgd" else 0.0
            for one in learning
        ]
        with tf.GradientTape() as tape:
            value = weighted_mean(loss(network(inputs, training=True), labels, *more), weights)
        variables = [one.value for one in learning]
        gradients = tape.gradient(value, variables)
        gradients = [
            gradient + rate * variable if rate else gradient
            for gradient, variable, rate in zip(gradients, variables, decay, strict=True)
        ]
        slowed = []
        if pace is not None:
            slowed = [(one, pace.factor(one)) for one in learning if pace.factor(one) != 1]
        before = [tf.identity(one.value) for one, _ in slowed]
        optimizer.apply(gradients, learning)
        # A share of the step, not of the gradient, which Adam would scale back.
        for (one, factor), old in zip(slowed, before, strict=True):
            one.assign(old + factor * (one.value - old))
        return value

    learns, traced = None, None
    for epoch in range(config.epochs):
        now = pace.begin(epoch) if pace is not None else None
        if traced is None or now != learns:  # what learns is fixed when the step is traced
            learns, traced = now, tf.function(step, autograph=False, reduce_retracing=True)
        mean = float(tf.reduce_mean([traced(*batch) for batch in rows(epoch)]))
        if not np.isfinite(mean):
            raise FailedError(
                f"the training loss must stay a number, but became {mean} in epoch {epoch + 1}: "
                f"lower learning_rate ({config.learning_rate})"
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
