"""Rules of the operations without weights: act, pool, merge, join, reshape."""

import numpy as np
from keras import layers

from components.prune.graph import ChannelGraph, Setting
from components.prune.keras_graph import Call, Tensor
from components.prune.registry import (
    CHANNELS_FIRST,
    LAYER_RULES,
    MIXES,
    NO_SIZE,
    Carried,
    freeze,
    mixing,
    op_rule,
    refuse,
    rule,
    through,
)

SPREAD = "one channel is spread over all of them"

LAYER_RULES.update(
    dict.fromkeys(
        [
            layers.ReLU,
            layers.LeakyReLU,
            layers.ELU,
            layers.Dropout,
            layers.AlphaDropout,
            layers.GaussianNoise,
            layers.GaussianDropout,
            layers.ActivityRegularization,
            layers.Identity,
            layers.RepeatVector,
        ],
        through,
    )
)


@rule(
    *(
        getattr(layers, f"{kind}{rank}D")
        for rank in (1, 2, 3)
        for kind in (
            "MaxPooling",
            "AveragePooling",
            "GlobalMaxPooling",
            "GlobalAveragePooling",
            "ZeroPadding",
            "Cropping",
            "UpSampling",
            "SpatialDropout",
        )
    ),
    layers.Resizing,
    layers.CenterCrop,
)
def spatial(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Work on the positions of each channel by itself."""
    if getattr(call.operation, "data_format", "channels_last") != "channels_last":
        return refuse(graph, call, inputs, CHANNELS_FIRST)
    return [inputs[0]]


@rule(layers.Activation)
def activation(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Act on each channel by itself, unless the function couples them."""
    name = mixing(call.operation.activation)
    if name:
        return refuse(graph, call, inputs, MIXES.format(name))
    return [inputs[0]]


@rule(layers.Softmax)
def softmax(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Freeze what a softmax over the channels reads; over another axis it leaves them alone."""
    axes = call.operation.axis
    rank = len(call.inputs[0].shape)
    if rank - 1 in {axis % rank for axis in (axes if isinstance(axes, list | tuple) else [axes])}:
        return refuse(graph, call, inputs, MIXES.format("softmax"))
    return [inputs[0]]


@rule(layers.Rescaling)
def rescaling(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Freeze channels that are scaled by numbers of their own."""
    if np.ndim(call.operation.scale) or np.ndim(call.operation.offset):
        freeze(graph, call, inputs[0], "it has a fixed number for each channel")
    return [inputs[0]]


@rule(
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
)
def merge(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Couple channel *i* of all inputs."""
    wide = call.outputs[0].shape[-1]
    if wide is None or any(one is None for one in inputs):
        return refuse(graph, call, inputs, NO_SIZE)
    full = [one for one in inputs if len(one) == wide]
    if not full:
        return refuse(graph, call, inputs, SPREAD)
    for atoms in inputs:
        if len(atoms) == wide:
            graph.unite(full[0], atoms)
        else:
            freeze(graph, call, atoms, SPREAD)
    return [full[0]]


@rule(layers.Concatenate)
def concatenate(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Put channels side by side; along another axis the inputs' channels are coupled."""
    if any(one is None for one in inputs):
        return refuse(graph, call, inputs, NO_SIZE)
    if call.operation.axis in (-1, len(call.inputs[0].shape) - 1):
        return [np.concatenate(inputs)]
    for atoms in inputs[1:]:
        graph.unite(inputs[0], atoms)
    return [inputs[0]]


@rule(layers.Flatten)
def flatten(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Put every position's channels one after another."""
    if call.operation.data_format != "channels_last":
        return refuse(graph, call, inputs, CHANNELS_FIRST)
    if inputs[0] is None or None in call.inputs[0].shape[1:]:
        return refuse(graph, call, inputs, "it flattens an axis that has no fixed size")
    return [_spread(call, inputs).reshape(-1)]


@rule(layers.Reshape)
def reshape(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Find the channels that fill each entry of the new last axis; they leave together.

    What is left keeps its order, so that the smaller tensor reshapes to the smaller target.
    """
    before, after = call.inputs[0].shape[1:], call.outputs[0].shape[1:]
    if inputs[0] is None or not after or after[-1] is None:
        return refuse(graph, call, inputs, NO_SIZE)
    atoms = inputs[0]
    if before[-1] != after[-1]:
        if None in before or None in after:
            return refuse(graph, call, inputs, "it reshapes an axis that has no fixed size")
        rows = _spread(call, inputs).reshape(-1, after[-1])
        atoms = rows[0]
        for row in rows[1:]:
            changed = row != atoms
            graph.unite(atoms[changed], row[changed])
    if call.operation.target_shape[-1] != -1:
        last = len(call.operation.target_shape) - 1
        graph.count(Setting(call.path, (*call.keys, "target_shape"), last, atoms))
    return [atoms]


@rule(layers.Permute)
def permute(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Exchange other axes than the channels'."""
    if call.operation.dims[-1] != len(call.operation.dims):
        return refuse(graph, call, inputs, "it moves the channels to another axis")
    return [inputs[0]]


@op_rule(
    *"Absolute Cast Celu Copy Elu Exp Gelu HardSigmoid HardSilu HardTanh LeakyRelu".split(),
    *"Negative Relu Relu6 Selu Sigmoid Silu Softplus Softsign Sqrt Square Tanh".split(),
)
def unary_op(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Act on each channel by itself."""
    return [inputs[0]]


@op_rule("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum")
def binary_op(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Couple the channels of two tensors, or change each channel by one number."""
    constants = [one for one in call.arguments.values() if not isinstance(one, Tensor)]
    if any(not isinstance(one, int | float) for one in constants) or not call.arguments:
        return refuse(graph, call, inputs, "an operand is an array")
    return merge(graph, call, inputs)


@op_rule("Mean", "Sum", "Max", "Min")
def reduction_op(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Reduce other axes than the channels'."""
    rank = len(call.inputs[0].shape)
    axes = call.operation.axis
    axes = [axes] if isinstance(axes, int) else axes
    if axes is None or rank - 1 in {axis % rank for axis in axes}:
        return refuse(graph, call, inputs, "it reduces the channels")
    return [inputs[0]]


@op_rule("GetItem")
def item_op(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Select along other axes than the channels' (a class token, say)."""
    key = call.arguments.get("key", ...)
    parts = key if isinstance(key, list | tuple) else [key]
    plain = all(isinstance(part, int | slice) for part in parts)
    if not plain or len(parts) >= len(call.inputs[0].shape) or len(call.inputs) != 1:
        return refuse(graph, call, inputs, "it may select among the channels")
    return [inputs[0]]


def _spread(call: Call, inputs: Carried) -> np.ndarray:
    """Return the atom of every element of one example's tensor: ``int64[*shape]``."""
    return np.broadcast_to(inputs[0], call.inputs[0].shape[1:])
