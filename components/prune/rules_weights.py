"""Rules of the layers that make, scale or normalise channels with weights of their own."""

from keras import layers

from components.prune.graph import ChannelGraph, Setting
from components.prune.keras_graph import Call
from components.prune.registry import (
    CHANNELS_FIRST,
    NO_SIZE,
    Carried,
    finish,
    freeze,
    make,
    own,
    refuse,
    rule,
)

ADAPTED = "it was given an adapter or was quantized"
NORMALISES = "it normalises over the channels, so that each depends on all of them"
GROUPED = "a grouped convolution is not covered"


@rule(layers.Dense)
def dense(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Consume the last axis, make units."""
    layer = call.operation
    if inputs[0] is None:
        return refuse(graph, call, inputs, NO_SIZE)
    if layer.lora_enabled or layer.quantization_mode:
        return refuse(graph, call, inputs, ADAPTED)
    atoms = make(graph, call, layer.units, "units")
    own(graph, call, layer.kernel, 0, "in", inputs[0])
    own(graph, call, layer.kernel, 1, "out", atoms)
    if layer.use_bias:
        own(graph, call, layer.bias, 0, "pass", atoms)
    return finish(graph, call, atoms)


@rule(
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
)
def convolution(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Consume the channels, make filters; a transposed kernel holds them the other way round."""
    layer = call.operation
    problem = _no_convolution(layer, inputs)
    if problem:
        return refuse(graph, call, inputs, problem)
    transposed = "Transpose" in type(layer).__name__
    atoms = make(graph, call, layer.filters, "filters")
    own(graph, call, layer.kernel, -1 if transposed else -2, "in", inputs[0])
    own(graph, call, layer.kernel, -2 if transposed else -1, "out", atoms)
    if layer.use_bias:
        own(graph, call, layer.bias, 0, "pass", atoms)
    return finish(graph, call, atoms)


@rule(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Filter each channel by itself into ``depth_multiplier`` channels that leave with it."""
    layer = call.operation
    problem = _no_convolution(layer, inputs)
    if problem:
        return refuse(graph, call, inputs, problem)
    atoms = inputs[0].repeat(layer.depth_multiplier)
    own(graph, call, layer.kernel, -2, "pass", inputs[0])
    if layer.use_bias:
        own(graph, call, layer.bias, 0, "pass", atoms)
    return finish(graph, call, atoms)


@rule(layers.SeparableConv1D, layers.SeparableConv2D)
def separable(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Filter each channel by itself, then make filters of all of them."""
    layer = call.operation
    problem = _no_convolution(layer, inputs)
    if problem:
        return refuse(graph, call, inputs, problem)
    atoms = make(graph, call, layer.filters, "filters")
    own(graph, call, layer.depthwise_kernel, -2, "pass", inputs[0])
    between = inputs[0].repeat(layer.depth_multiplier)
    own(graph, call, layer.pointwise_kernel, -2, "in", between)
    own(graph, call, layer.pointwise_kernel, -1, "out", atoms)
    if layer.use_bias:
        own(graph, call, layer.bias, 0, "pass", atoms)
    return finish(graph, call, atoms)


@rule(layers.Embedding)
def embedding(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Make the dimensions of the rows that ids name."""
    layer = call.operation
    if layer.lora_enabled or layer.quantization_mode:
        return refuse(graph, call, inputs, ADAPTED)
    freeze(graph, call, inputs[0], "its inputs are ids")
    atoms = make(graph, call, layer.output_dim, "output_dim")
    own(graph, call, layer.embeddings, 1, "out", atoms)
    return [atoms]


@rule(layers.BatchNormalization)
def batch_norm(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Shift and scale each channel by itself."""
    layer = call.operation
    if inputs[0] is None:
        return refuse(graph, call, inputs, NO_SIZE)
    if layer.axis not in (-1, len(call.inputs[0].shape) - 1):
        return refuse(graph, call, inputs, "it normalises along another axis than the channels'")
    for weight in layer.weights:
        if len(weight.shape) == 1:
            own(graph, call, weight, 0, "pass", inputs[0])
    return [inputs[0]]


@rule(layers.GroupNormalization)
def group_norm(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Normalise blocks of channels: a block leaves as a whole, or not at all."""
    layer = call.operation
    if inputs[0] is None:
        return refuse(graph, call, inputs, NO_SIZE)
    if layer.axis not in (-1, len(call.inputs[0].shape) - 1):
        return refuse(graph, call, inputs, "its groups lie along another axis than the channels'")
    if layer.groups == 1:
        return refuse(graph, call, inputs, NORMALISES)
    blocks = inputs[0].reshape(layer.groups, -1)
    for column in range(1, blocks.shape[1]):
        graph.unite(blocks[:, 0], blocks[:, column])
    graph.count(Setting(call.path, (*call.keys, "groups"), None, blocks[:, 0]))
    for weight in layer.weights:
        own(graph, call, weight, 0, "pass", inputs[0])
    return [inputs[0]]


@rule(layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization)
def layer_norm(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Freeze the channels that are normalised together; other axes leave them independent."""
    axes = call.operation.axis
    rank = len(call.inputs[0].shape)
    if rank - 1 in {axis % rank for axis in (axes if isinstance(axes, list | tuple) else [axes])}:
        return refuse(graph, call, inputs, NORMALISES)
    return [inputs[0]]


@rule(layers.Normalization)
def normalization(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Freeze channels with statistics of the data, which are no weights."""
    freeze(graph, call, inputs[0], "its statistics are fixed numbers for each channel")
    return [inputs[0]]


@rule(layers.PReLU)
def prelu(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Act on each channel with a slope of its own, or with one shared by all."""
    alpha = call.operation.alpha
    if inputs[0] is None:
        return refuse(graph, call, inputs, NO_SIZE)
    if alpha.shape[-1] == len(inputs[0]):
        own(graph, call, alpha, -1, "pass", inputs[0])
    return [inputs[0]]


def _no_convolution(layer, inputs: Carried) -> str | None:
    """Return why a convolution cannot be cut, or None."""
    if inputs[0] is None:
        return NO_SIZE
    if layer.data_format != "channels_last":
        return CHANNELS_FIRST
    if getattr(layer, "groups", 1) != 1:
        return GROUPED
    return ADAPTED if getattr(layer, "lora_enabled", False) else None
