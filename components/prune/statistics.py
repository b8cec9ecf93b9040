"""BatchNorm statistics after a cut: what a channel's mean was does not hold without the others."""

from collections.abc import Iterable

import keras
import tensorflow as tf

from components.prune.keras_graph import leaves


def recalibrate(model: keras.Model, batches: Iterable) -> None:
    """Replace the BatchNorm statistics by averages over batches, weights untouched.

    After a cut this regains more accuracy than any criterion keeps. Layers that are not trainable
    keep their statistics, as Keras never renews those.

    Args:
        model: The network, changed in place.
        batches: Inputs, or tuples that begin with them: a few thousand training examples, mixed
            in class; no labels are read.
    """
    norms = [
        layer
        for _, layer in leaves(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for index, batch in enumerate(batches):
        for norm in norms:
            norm.momentum = index / (index + 1)  # a running mean over the batches so far
        inputs = batch[0] if isinstance(batch, tuple) else batch
        model(keras.tree.map_structure(tf.convert_to_tensor, inputs), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
