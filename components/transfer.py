"""Transfer: a trained network, a new head, and care for what the lower layers know.

Freezing by depth, gradual unfreezing and learning rates that fall with depth (Howard and Ruder,
"Universal Language Model Fine-tuning", 2018), and a guard against forgetting. Plain functions
over any single-output Keras network; one of `keras.applications` serves as well as ours.

A frozen BatchNorm layer normalises by its stored statistics and does not update them, also in
training. Thawed, it uses and updates those of the batch again.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from components.data import Data
from components.evaluate import evaluate
from components.train import Triangular, smoothed_cross_entropy, weighted_mean
from schemas.errors import FailedError, GateRefusal, InputError


def load_trained(path: str | Path) -> keras.Model:
    """Load a network from a ``.keras`` file, without running code that the file brings.

    Raises:
        InputError: no such file, or one that cannot be read safely.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise InputError(f"a trained network is an existing .keras file, not {path}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"{path}: cannot be loaded safely as a Keras network: {error}") from error


def copy_of(model: keras.Model) -> keras.Model:
    """Return the same network with weights of its own and the same names."""
    twin = model.__class__.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    return twin


def features_of(model: keras.Model) -> keras.Model:
    """Return the network up to its features ``float32[N, D]``: what its last Dense layer takes.

    A network without one (``include_top=False``) gives its output, averaged over positions.
    The result shares its weights with ``model``.

    Raises:
        InputError: several outputs, or an output that is neither features nor an image.
    """
    if len(model.outputs) != 1:
        raise InputError(f"transfer needs a network with one output, not {len(model.outputs)}")
    last = model.layers[-1]
    features = last.input if isinstance(last, layers.Dense) else model.outputs[0]
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name="transfer_pool")(features)
    if len(features.shape) != 2:
        raise InputError(f"features must be [N, D] or [N, H, W, D], not {features.shape}")
    return keras.Model(_entry(model), features)


def _entry(model: keras.Model) -> Any:
    """Return the inputs as the network takes them: a single one bare, which signatures rely on."""
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs


def with_new_head(model: keras.Model, classes: int, *, seed: int) -> keras.Model:
    """Return a copy of the network whose last Dense layer is a fresh one: logits of ``classes``.

    ``model`` itself stays as it is.

    Raises:
        InputError: as `features_of`, or fewer than two classes.
    """
    if classes < 2:
        raise InputError(f"a head needs at least 2 classes, not {classes}")
    body = features_of(copy_of(model))
    start = keras.initializers.GlorotUniform(seed)
    logits = layers.Dense(classes, kernel_initializer=start, name="logits")(body.outputs[0])
    return keras.Model(_entry(body), logits, name=model.name)


def weighted_layers(model: keras.Model) -> list[Any]:
    """Return the layers that hold weights, from the inputs to the head."""
    return [layer for layer in model.layers if layer.weights]


def freeze(model: keras.Model, share: float) -> int:
    """Freeze the first ``share`` of the layers with weights, thaw the others; return how many.

    The last such layer, the head, always learns.

    Raises:
        InputError: the share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the frozen share of the layers must be from 0 to 1, not {share}")
    found = weighted_layers(model)
    count = min(round(share * len(found)), len(found) - 1)
    for at, layer in enumerate(found):
        layer.trainable = at >= count
    return count


def frozen_share(share: float, epoch: int, unfreeze: int) -> float:
    """Return the share that is frozen in an epoch: it falls to 0 over ``unfreeze`` epochs.

    With ``unfreeze`` 0 it stays.
    """
    return share * max(0.0, 1 - epoch / unfreeze) if unfreeze else share


def fit_gradually(
    model: keras.Model,
    batches_of: Callable[[int], Iterable[Sequence[Any]]],
    *,
    epochs: int,
    steps: int,
    learning_rate: float,
    share: float = 0.0,
    unfreeze: int = 0,
    layer_decay: float = 1.0,
    label_smoothing: float = 0.0,
) -> list[float]:
    """Train in place (SGD, Nesterov); return the mean loss (nats) of every epoch.

    Args:
        model: Network that returns logits. All its layers are left thawed.
        batches_of: Gives the batches ``(inputs, labels, weights float32[n])`` of an epoch.
        epochs: How often it is asked.
        steps: Batches of all epochs together, for the triangular schedule.
        learning_rate: Peak of the schedule, for the head.
        share: Share of the layers that is frozen at first, see `freeze`.
        unfreeze: Epochs until none is frozen; 0: never.
        layer_decay: A layer learns at this times the rate of the next layer with weights.
        label_smoothing: As in `components.train.smoothed_cross_entropy`.

    Raises:
        InputError: ``layer_decay`` outside (0, 1], or a share outside [0, 1].
        FailedError: the loss stopped being a number.
    """
    if not 0 < layer_decay <= 1:
        raise InputError(f"layer_decay must be above 0 and at most 1, not {layer_decay}")
    freeze(model, 0)
    optimizer = keras.optimizers.SGD(Triangular(learning_rate, steps), momentum=0.9, nesterov=True)
    optimizer.build(model.trainable_variables)
    found = weighted_layers(model)
    factors = {
        id(variable): layer_decay ** (len(found) - 1 - at)
        for at, layer in enumerate(found)
        for variable in layer.trainable_variables
    }

    def step(inputs, labels, weights):
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            losses = smoothed_cross_entropy(logits, labels, label_smoothing)
            loss = weighted_mean(losses, weights)
        gradients = tape.gradient(loss, [one.value for one in variables])
        # SGD is linear in the gradient: scaling it is scaling the rate.
        scaled = [g * factors[id(one)] for g, one in zip(gradients, variables, strict=True)]
        optimizer.apply(scaled, variables)
        return loss

    means: list[float] = []
    frozen = None
    for epoch in range(epochs):
        count = freeze(model, frozen_share(share, epoch, unfreeze))
        if count != frozen:  # what learns is fixed when the step is traced
            frozen, traced = count, tf.function(step, reduce_retracing=True)
        means.append(float(np.mean([float(traced(*batch)) for batch in batches_of(epoch)])))
        if not np.isfinite(means[-1]):
            raise FailedError(
                f"the training loss must stay a number, but became {means[-1]} in epoch "
                f"{epoch + 1}: lower learning_rate ({learning_rate})"
            )
    freeze(model, 0)
    return means


def check_not_forgotten(
    before: keras.Model, after: keras.Model, previous: Data, *, tolerance: float
) -> dict[str, float]:
    """Compare both networks on the previous dataset's eval split; return both accuracies.

    Args:
        before: The network that was pushed last.
        after: The one that was warm-started from it.
        previous: The dataset that ``before`` was made for.
        tolerance: Accuracy (0 to 1) that may be lost.

    Raises:
        InputError: a network does not answer for the classes of that dataset.
        GateRefusal: more was lost.
    """
    classes = len(previous.schema.label_names)
    for model in (before, after):
        if model.output_shape[-1] != classes:
            raise InputError(
                f"{previous.root}: a network must know its {classes} classes to be compared "
                f"there, not {model.output_shape[-1]}: keep the head in a warm start"
            )
    old, new = (evaluate(model, previous).accuracy for model in (before, after))
    if old - new > tolerance:
        raise GateRefusal(
            f"a warm start may lose {tolerance:.4f} of accuracy on the previous eval split, but "
            f"fell from {old:.4f} to {new:.4f}: lower learning_rate or freeze more"
        )
    return {"previous_accuracy_before": old, "previous_accuracy_after": new}
