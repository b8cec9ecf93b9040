"""The walk over a network that finds its channel graph: one rule per kind of layer.

From inputs to outputs each tensor carries the atoms of its last axis. Whatever the walk does not
understand freezes the channels that reach it.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from components.prune.graph import Atoms, ChannelGraph, Setting, Slot
from components.prune.keras_graph import Call, Tensor, calls, outputs


def channel_graph(model: keras.Model) -> ChannelGraph:
    """Walk a Functional or Sequential model.

    Raises:
        InputError: the model is neither.
    """
    graph = ChannelGraph()
    carried: dict[int, Atoms | None] = {}
    for call in calls(model):
        inputs = [carried[one.key] for one in call.inputs]
        results = _RULES.get(type(call.operation), _unknown)(graph, call, inputs)
        for tensor, atoms in zip(call.outputs, results, strict=True):
            carried[tensor.key] = atoms
    for tensor in outputs(model):
        graph.freeze(carried[tensor.key])
    return graph


def passes_channels(kind: type) -> type:
    """Declare (as a decorator) that a layer works on each channel of its first input alone."""
    _RULES[kind] = _pass
    return kind


Rule = Callable[[ChannelGraph, Call, list[Atoms | None]], list[Atoms | None]]


def _fresh_frozen(graph: ChannelGraph, tensor: Tensor) -> Atoms | None:
    if not tensor.shape or tensor.shape[-1] is None:
        return None
    atoms = graph.new(tensor.shape[-1])
    graph.freeze(atoms)
    return atoms


def _unknown(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    name = f"{call.operation.name} ({type(call.operation).__name__})"
    if any(graph.loose(atoms) for atoms in inputs) and name not in graph.unknown:
        graph.unknown.append(name)
    for atoms in inputs:
        graph.freeze(atoms)
    return [_fresh_frozen(graph, tensor) for tensor in call.outputs]


def _input(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    return [_fresh_frozen(graph, tensor) for tensor in call.outputs]


def _pass(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    return [inputs[0]]


def _own(graph: ChannelGraph, layer, weight, axis: int, role: str, atoms: Atoms) -> None:
    """Write a slot down; a shared layer's second call unites its channels with the first's."""
    index = next(i for i, one in enumerate(layer.weights) if one is weight)
    axis %= len(weight.shape)
    for slot in graph.slots:
        if (slot.layer, slot.weight, slot.axis) == (layer.name, index, axis):
            graph.unite(slot.atoms, atoms)
            return
    graph.slots.append(Slot(layer.name, index, axis, role, atoms))


def _make(graph: ChannelGraph, layer, count: int, key: str) -> Atoms:
    """Return the atoms that a layer makes, the same at each of its calls."""
    if layer.name not in graph.produced:
        atoms = graph.new(count)
        graph.produced[layer.name] = atoms
        graph.settings.append(Setting(layer.name, key, atoms))
    return graph.produced[layer.name]


def _mixes_channels(layer) -> bool:
    """Tell whether the activation of a layer couples its channels (softmax does)."""
    activation = getattr(layer, "activation", None)
    return activation is not None and getattr(activation, "__name__", "") not in _CHANNELWISE


def _finish(graph: ChannelGraph, layer, atoms: Atoms) -> list[Atoms | None]:
    if _mixes_channels(layer):
        graph.freeze(atoms)
    return [atoms]


def _dense(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    layer = call.operation
    if inputs[0] is None or layer.lora_enabled or layer.quantization_mode:
        return _unknown(graph, call, inputs)
    atoms = _make(graph, layer, layer.units, "units")
    _own(graph, layer, layer.kernel, 0, "in", inputs[0])
    _own(graph, layer, layer.kernel, 1, "out", atoms)
    if layer.use_bias:
        _own(graph, layer, layer.bias, 0, "pass", atoms)
    return _finish(graph, layer, atoms)


def _unsupported_convolution(layer) -> bool:
    return (
        layer.data_format != "channels_last"
        or getattr(layer, "groups", 1) != 1
        or getattr(layer, "lora_enabled", False)
    )


def _convolution(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    layer = call.operation
    if inputs[0] is None or _unsupported_convolution(layer):
        return _unknown(graph, call, inputs)
    transposed = "Transpose" in type(layer).__name__
    atoms = _make(graph, layer, layer.filters, "filters")
    _own(graph, layer, layer.kernel, -1 if transposed else -2, "in", inputs[0])
    _own(graph, layer, layer.kernel, -2 if transposed else -1, "out", atoms)
    if layer.use_bias:
        _own(graph, layer, layer.bias, 0, "pass", atoms)
    return _finish(graph, layer, atoms)


def _depthwise(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    layer = call.operation
    if inputs[0] is None or _unsupported_convolution(layer):
        return _unknown(graph, call, inputs)
    atoms = np.repeat(inputs[0], layer.depth_multiplier)
    _own(graph, layer, layer.kernel, -2, "pass", inputs[0])
    if layer.use_bias:
        _own(graph, layer, layer.bias, 0, "pass", atoms)
    return _finish(graph, layer, atoms)


def _separable(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    layer = call.operation
    if inputs[0] is None or _unsupported_convolution(layer):
        return _unknown(graph, call, inputs)
    atoms = _make(graph, layer, layer.filters, "filters")
    between = np.repeat(inputs[0], layer.depth_multiplier)
    _own(graph, layer, layer.depthwise_kernel, -2, "pass", inputs[0])
    _own(graph, layer, layer.pointwise_kernel, -2, "in", between)
    _own(graph, layer, layer.pointwise_kernel, -1, "out", atoms)
    if layer.use_bias:
        _own(graph, layer, layer.bias, 0, "pass", atoms)
    return _finish(graph, layer, atoms)


def _embedding(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    layer = call.operation
    if layer.lora_enabled or layer.quantization_mode:
        return _unknown(graph, call, inputs)
    graph.freeze(inputs[0])
    atoms = _make(graph, layer, layer.output_dim, "output_dim")
    _own(graph, layer, layer.embeddings, 1, "out", atoms)
    return [atoms]


def _batch_norm(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    layer = call.operation
    rank = len(call.inputs[0].shape)
    if inputs[0] is None or layer.axis not in (-1, rank - 1):
        return _unknown(graph, call, inputs)
    for weight in layer.weights:
        _own(graph, layer, weight, 0, "pass", inputs[0])
    return [inputs[0]]


def _activation(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    if _mixes_channels(call.operation):
        return _unknown(graph, call, inputs)
    return [inputs[0]]


def _last_first(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    if getattr(call.operation, "data_format", "channels_last") != "channels_last":
        return _unknown(graph, call, inputs)
    return [inputs[0]]


def _rescaling(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    if np.ndim(call.operation.scale) or np.ndim(call.operation.offset):
        graph.freeze(inputs[0])
    return [inputs[0]]


def _merge(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    wide = call.outputs[0].shape[-1]
    full = [one for one in inputs if one is not None and len(one) == wide]
    if wide is None or not full or any(one is None for one in inputs):
        return _unknown(graph, call, inputs)
    for atoms in inputs:
        if len(atoms) == wide:
            graph.unite(full[0], atoms)
        else:
            graph.freeze(atoms)  # one channel spread over all of them
    return [full[0]]


def _concatenate(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    if any(one is None for one in inputs):
        return _unknown(graph, call, inputs)
    rank = len(call.inputs[0].shape)
    if call.operation.axis in (-1, rank - 1):
        return [np.concatenate(inputs)]
    for atoms in inputs[1:]:
        graph.unite(inputs[0], atoms)
    return [inputs[0]]


def _flatten(graph: ChannelGraph, call: Call, inputs: list[Atoms | None]) -> list[Atoms | None]:
    shape = call.inputs[0].shape
    inner = shape[1:-1]
    if inputs[0] is None or call.operation.data_format != "channels_last" or None in inner:
        return _unknown(graph, call, inputs)
    if len(shape) < 3:
        return [inputs[0]]
    return [np.tile(inputs[0], int(np.prod(inner)))]


_CHANNELWISE = frozenset(
    "linear relu relu6 leaky_relu elu selu celu gelu silu swish sigmoid hard_sigmoid hard_silu "
    "hard_swish tanh softplus softsign exponential mish".split()
)

_RULES: dict[type, Rule] = {
    layers.InputLayer: _input,
    layers.Dense: _dense,
    layers.Embedding: _embedding,
    layers.BatchNormalization: _batch_norm,
    layers.Activation: _activation,
    layers.Rescaling: _rescaling,
    layers.Flatten: _flatten,
    layers.Concatenate: _concatenate,
    layers.SeparableConv1D: _separable,
    layers.SeparableConv2D: _separable,
    **dict.fromkeys(
        [
            layers.Conv1D,
            layers.Conv2D,
            layers.Conv3D,
            layers.Conv1DTranspose,
            layers.Conv2DTranspose,
            layers.Conv3DTranspose,
        ],
        _convolution,
    ),
    **dict.fromkeys([layers.DepthwiseConv1D, layers.DepthwiseConv2D], _depthwise),
    **dict.fromkeys(
        [
            layers.Add,
            layers.Subtract,
            layers.Multiply,
            layers.Average,
            layers.Maximum,
            layers.Minimum,
        ],
        _merge,
    ),
    **dict.fromkeys(
        [
            layers.ReLU,
            layers.LeakyReLU,
            layers.ELU,
            layers.Dropout,
            layers.SpatialDropout1D,
            layers.SpatialDropout2D,
            layers.GaussianNoise,
            layers.GaussianDropout,
            layers.Identity,
        ],
        _pass,
    ),
    **dict.fromkeys(
        [
            layers.MaxPooling1D,
            layers.MaxPooling2D,
            layers.MaxPooling3D,
            layers.AveragePooling1D,
            layers.AveragePooling2D,
            layers.AveragePooling3D,
            layers.GlobalMaxPooling1D,
            layers.GlobalMaxPooling2D,
            layers.GlobalMaxPooling3D,
            layers.GlobalAveragePooling1D,
            layers.GlobalAveragePooling2D,
            layers.GlobalAveragePooling3D,
            layers.ZeroPadding1D,
            layers.ZeroPadding2D,
            layers.ZeroPadding3D,
            layers.Cropping1D,
            layers.Cropping2D,
            layers.UpSampling1D,
            layers.UpSampling2D,
        ],
        _last_first,
    ),
}
