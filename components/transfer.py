"""Transfer: a trained network, a new head, and care for what the lower layers know.

Freezing by depth, gradual unfreezing and learning rates that fall with depth (Howard and Ruder,
"Universal Language Model Fine-tuning", 2018), and a guard against forgetting. Plain functions
over any single-output Keras network; one of `keras.applications` serves as well as ours.

A frozen BatchNorm layer normalises by its stored statistics and does not update them, also in
training. Thawed, it uses and updates those of the batch again.
"""

import dataclasses
from pathlib import Path
from typing import Any

import keras
from keras import layers

from components.data import Data
from components.evaluate import evaluate
from components.train import Pace
from schemas.errors import GateRefusal, InputError
from schemas.model_files import check_keras_file


def load_trained(path: str | Path) -> keras.Model:
    """Load a network from a ``.keras`` file, without running code that the file brings.

    Raises:
        InputError: no such file, or one that cannot be read safely.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise InputError(f"a trained network is an existing .keras file, not {path}")
    check_keras_file(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise anything over a file that was tampered with
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{path}: cannot be loaded safely as a Keras network ({type(error).__name__}: {reason})"
        ) from error


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
    if isinstance(last, layers.Softmax | layers.Activation):
        last = next((one for one in model.layers if one.output is last.input), last)
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
    """Return the layers that hold weights, from the inputs to the head.

    Those of a network inside the network stand for themselves.
    """
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += weighted_layers(layer)
        elif layer.weights:
            found.append(layer)
    return found


def frozen_count(model: keras.Model, share: float) -> int:
    """Return how many layers with weights that share is; the last one, the head, never counts.

    Raises:
        InputError: the share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the frozen share of the layers must be from 0 to 1, not {share}")
    found = len(weighted_layers(model))
    return min(round(share * found), found - 1)


def freeze(model: keras.Model, share: float) -> int:
    """Freeze the first ``share`` of the layers with weights, thaw the others; return how many.

    Raises:
        InputError: as `frozen_count`.
    """
    count = frozen_count(model, share)
    for at, layer in enumerate(weighted_layers(model)):
        layer.trainable = at >= count
    return count


def frozen_share(share: float, epoch: int, unfreeze: int) -> float:
    """Return the share that is frozen in an epoch: it falls to 0 over ``unfreeze`` epochs.

    With ``unfreeze`` 0 it stays.
    """
    return share * max(0.0, 1 - epoch / unfreeze) if unfreeze else share


def pace_of(
    model: keras.Model, *, share: float = 0.0, unfreeze: int = 0, layer_decay: float = 1.0
) -> Pace:
    """Return what learns in which epoch of a fine-tuning, and how fast.

    Thaws all layers first: an optimizer has to know what will ever learn.

    Args:
        model: The network.
        share: Share of the layers that is frozen at first, see `freeze`.
        unfreeze: Epochs until none is frozen; 0: never.
        layer_decay: A layer learns at this times the rate of the next layer with weights.
    """
    freeze(model, 0)
    found = weighted_layers(model)
    factors = {
        id(variable): layer_decay ** (len(found) - 1 - at)
        for at, layer in enumerate(found)
        for variable in layer.trainable_variables
    }
    return Pace(
        begin=lambda epoch: freeze(model, frozen_share(share, epoch, unfreeze)),
        factor=lambda variable: factors[id(variable)],
    )


def accuracy_on_previous(model: keras.Model, previous: Data, data: Data) -> float:
    """Return the accuracy (0 to 1) on an earlier dataset's eval split.

    Args:
        model: The network.
        previous: That dataset.
        data: The one it is trained on now: texts are read by its vocabulary.

    Raises:
        InputError: the earlier dataset has other classes or other images.
    """
    for what, theirs, ours in (
        ("classes", previous.schema.label_names, data.schema.label_names),
        ("an image_shape", previous.schema.image_shape, data.schema.image_shape),
    ):
        if theirs != ours:
            raise InputError(
                f"{previous.root}: the previous dataset must have the same {what} to be compared "
                f"on, not {theirs} beside {ours}",
                path=("previous",),
            )
    return evaluate(model, dataclasses.replace(previous, vocabulary=data.vocabulary)).accuracy


def check_not_forgotten(before: float, after: float, *, tolerance: float) -> None:
    """Compare accuracies on the previous eval split, before and after a warm start.

    Raises:
        GateRefusal: more than ``tolerance`` (0 to 1) was lost.
    """
    if before - after > tolerance:
        raise GateRefusal(
            f"a warm start may lose {tolerance:.4f} of accuracy on the previous eval split, but "
            f"fell from {before:.4f} to {after:.4f}: lower learning_rate or freeze more"
        )
