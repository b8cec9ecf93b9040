"""What one example costs a network: multiplications and memory, counted from its graph.

The counts are those of the network as written, on any machine: what a runtime fuses or skips is
not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from components.models.compact import CheckedPairs, ScaledSum
from components.models.text import AtWords, HashedBigrams, MeanOfWords
from components.prune.keras_graph import Call, Tensor, calls, outputs
from components.tokens import KnownWords

Count = Callable[[Any, Call], int]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one example costs.

    Attributes:
        macs: Multiply-accumulate operations of convolutions, matrix products, recurrences and
            attention. Sums, scalings, normalisations and activations count as none.
        peak_activation_bytes: The most that the tensors alive at one moment take, inputs and
            outputs of the running operation included. An operation on single elements writes over
            an input that nobody needs any more.
            None where the size of a tensor depends on the input.
        unknown: Operations whose multiplications are missing from ``macs``: name and class.
    """

    macs: int
    peak_activation_bytes: int | None
    unknown: tuple[str, ...]


def cost(model: keras.Model) -> Cost:
    """Count one example's multiplications and memory in a Functional or Sequential model.

    Raises:
        InputError: the model is neither, so that its graph is unknown.
    """
    macs, unknown = 0, []
    for call in calls(model):
        count, names = _macs(call)
        macs += count
        unknown += [one for one in names if one not in unknown]
    peak = _peak(model) if _sized(model) else None
    return Cost(macs=macs, peak_activation_bytes=peak, unknown=tuple(unknown))


def _macs(call: Call) -> tuple[int, list[str]]:
    """Return the multiplications of one call, and the operations that were not counted."""
    operation = call.operation
    if isinstance(operation, keras.Model):
        inner = cost(operation)
        return inner.macs, [f"{operation.name}/{one}" for one in inner.unknown]
    if isinstance(operation, layers.Bidirectional):
        counted = [
            _macs(Call(way, call.inputs, call.outputs))
            for way in (operation.forward_layer, operation.backward_layer)
        ]
        return sum(macs for macs, _ in counted), [name for _, names in counted for name in names]
    name = f"{operation.name} ({type(operation).__name__})"
    if isinstance(operation, keras.Layer):
        free = type(operation) in _FREE
    else:
        free = type(operation).__name__ in _FREE_OPERATIONS
    if free:
        return 0, []
    if type(operation) not in _RULES:
        return 0, [name]
    if not _fixed(call):
        return 0, [f"{name}, whose input has no fixed size"]
    return _RULES[type(operation)](operation, call), []


def _fixed(call: Call) -> bool:
    """Tell whether the tensors of a call have one size whatever the example."""
    return not any(None in one.shape[1:] for one in (*call.inputs, *call.outputs))


def _sized(model: keras.Model) -> bool:
    return all(
        _fixed(call) and (not isinstance(call.operation, keras.Model) or _sized(call.operation))
        for call in calls(model)
    )


def _convolution(layer: Any, call: Call) -> int:
    (_, *inner), (_, *outer) = call.inputs[0].shape, call.outputs[0].shape
    channels = _channels(layer, inner)
    # A transposed convolution multiplies every input by the kernel, any other every output.
    places = inner if "Transpose" in type(layer).__name__ else outer
    positions = math.prod(_spatial(layer, places))
    groups = getattr(layer, "groups", 1)
    return positions * math.prod(layer.kernel_size) * channels // groups * layer.filters


def _depthwise(layer: Any, call: Call) -> int:
    channels = _channels(layer, call.inputs[0].shape[1:]) * layer.depth_multiplier
    return _positions(layer, call) * math.prod(layer.kernel_size) * channels


def _separable(layer: Any, call: Call) -> int:
    between = _channels(layer, call.inputs[0].shape[1:]) * layer.depth_multiplier
    return _positions(layer, call) * between * (math.prod(layer.kernel_size) + layer.filters)


def _dense(layer: Any, call: Call) -> int:
    return math.prod(call.inputs[0].shape[1:]) * layer.units


def _recurrent(gates: int) -> Count:
    def count(layer: Any, call: Call) -> int:
        _, steps, features = call.inputs[0].shape
        return steps * gates * (features + layer.units) * layer.units

    return count


def _attention(layer: Any, call: Call) -> int:
    query, value = call.inputs[0].shape, call.inputs[1].shape
    key = call.inputs[2].shape if len(call.inputs) > 2 else value
    heads, key_dim, value_dim = layer.num_heads, layer.key_dim, layer.value_dim
    asked, told = math.prod(query[1:-1]), math.prod(value[1:-1])
    projected = asked * query[-1] * key_dim + told * (key[-1] * key_dim + value[-1] * value_dim)
    mixed = asked * told * (key_dim + value_dim)
    return heads * (projected + mixed + asked * value_dim * call.outputs[0].shape[-1])


def _channels(layer: Any, shape: Any) -> Any:
    return shape[-1] if layer.data_format == "channels_last" else shape[0]


def _spatial(layer: Any, shape: Any) -> Any:
    return shape[:-1] if layer.data_format == "channels_last" else shape[1:]


def _positions(layer: Any, call: Call) -> int:
    return math.prod(_spatial(layer, call.outputs[0].shape[1:]))


def _peak(model: keras.Model) -> int:
    """Return the most bytes of tensors that are alive at one moment, for one example."""
    steps = calls(model)
    last = {one.key: index for index, step in enumerate(steps) for one in step.inputs}
    last |= {one.key: len(steps) for one in outputs(model)}
    alive: dict[int, int] = {}
    peak = 0
    for index, step in enumerate(steps):
        own = {one.key for one in (*step.inputs, *step.outputs)}
        alive |= {one.key: _bytes(one) for one in step.outputs}
        taken = sum(alive.values())
        if isinstance(step.operation, keras.Model):
            inside = _peak(step.operation)
            taken = sum(size for key, size in alive.items() if key not in own) + inside
        elif _in_place(step, last, index):
            taken -= _bytes(step.outputs[0])
        peak = max(peak, taken)
        alive = {key: size for key, size in alive.items() if last.get(key, -1) > index}
    return peak


def _in_place(step: Call, last: dict[int, int], index: int) -> bool:
    """Tell whether the step's output may take the place of its first input."""
    if not step.inputs or type(step.operation) not in _ELEMENTWISE:
        return False
    first, result = step.inputs[0], step.outputs[0]
    return last[first.key] == index and _bytes(first) == _bytes(result)


def _bytes(tensor: Tensor) -> int:
    """Return the bytes of one example's tensor."""
    # bfloat16 is no type of NumPy.
    width = 2 if tensor.dtype == "bfloat16" else np.dtype(tensor.dtype).itemsize
    return width * math.prod(tensor.shape[1:])


_RULES: dict[type, Count] = {
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
    layers.DepthwiseConv1D: _depthwise,
    layers.DepthwiseConv2D: _depthwise,
    layers.SeparableConv1D: _separable,
    layers.SeparableConv2D: _separable,
    layers.Dense: _dense,
    layers.SimpleRNN: _recurrent(1),
    layers.GRU: _recurrent(3),
    layers.LSTM: _recurrent(4),
    layers.MultiHeadAttention: _attention,
}

_ELEMENTWISE = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.Flatten,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ReLU,
    layers.Rescaling,
    layers.Reshape,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    KnownWords,
)

_FREE = (
    *_ELEMENTWISE,
    layers.Add,
    layers.Average,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
    layers.Concatenate,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Embedding,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
    layers.GroupNormalization,
    layers.InputLayer,
    layers.LayerNormalization,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
    layers.Normalization,
    layers.Permute,
    layers.RepeatVector,
    layers.Softmax,
    layers.Subtract,
    layers.UnitNormalization,
    layers.UpSampling1D,
    layers.UpSampling2D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
    AtWords,
    CheckedPairs,
    HashedBigrams,
    MeanOfWords,
    ScaledSum,
)

# Calls of `keras.ops`, and of operators between tensors, by class.
_FREE_OPERATIONS = frozenset(
    "Abs Add Cast Clip Concatenate Divide Equal ExpandDims GetItem Greater GreaterEqual Less "
    "LessEqual Max Maximum Mean Min Minimum Multiply Negative NotEqual Power Relu Reshape Sigmoid "
    "Softmax Sqrt Square Squeeze Stack Subtract Sum Tanh Transpose TrueDivide Where".split()
)
