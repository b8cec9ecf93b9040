"""Rules of attention and of recurrent layers."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
from keras import layers

from components.prune.graph import HEADS, Atoms, ChannelGraph, Setting
from components.prune.keras_graph import Call, Tensor
from components.prune.registry import (
    LAYER_RULES,
    MIXES,
    NO_SIZE,
    Carried,
    make,
    mixing,
    own,
    refuse,
    rule,
)

GATES = {layers.SimpleRNN: 1, layers.LSTM: 4, layers.GRU: 3}
STATEFUL = "it keeps its state between batches"


@rule(layers.MultiHeadAttention)
def multi_head_attention(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Make heads, which leave whole, and the channels of the output projection.

    The size of a head stays: it scales the attention scores.
    """
    layer = call.operation
    if layer._output_shape is not None and len(layer._output_shape) != 1:
        return refuse(graph, call, inputs, "its output has several axes of channels")
    return _attention(graph, call, inputs, layer.num_heads, "num_heads", "output_shape")


@rule(layers.GroupQueryAttention)
def group_query_attention(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Make key-value heads, each with the query heads that read it, as wide as the query."""
    layer = call.operation
    return _attention(graph, call, inputs, layer.num_key_value_heads, "num_key_value_heads", None)


def _attention(
    graph: ChannelGraph,
    call: Call,
    inputs: Carried,
    heads: int,
    key_of_heads: str,
    key_of_width: str | None,
) -> Carried:
    layer = call.operation
    carried = dict(zip((one.key for one in call.inputs), inputs, strict=True))
    query, value, key = (_argument(call, carried, name) for name in ("query", "value", "key"))
    key = value if key is None else key
    if query is None or value is None or key is None:
        return refuse(graph, call, inputs, NO_SIZE)
    if len(call.outputs) != 1 or getattr(layer, "_return_attention_scores", False):
        return refuse(graph, call, inputs, "it returns its attention scores, head by head")
    mask = call.arguments.get("attention_mask")
    if mask is not None and len(mask.shape) > 3:
        return refuse(graph, call, inputs, "its mask has an axis of heads")
    atoms = make(graph, call, heads, key_of_heads, kind=HEADS)
    queries = atoms
    if key_of_width is None:
        queries = atoms.repeat(layer.num_query_heads // heads)
        graph.count(Setting(call.path, (*call.keys, "num_query_heads"), None, queries))
    gate = [("_gate_dense", query, queries)] if hasattr(layer, "_gate_dense") else []
    for name, given, made in (
        ("_query_dense", query, queries),
        ("_key_dense", key, atoms),
        ("_value_dense", value, atoms),
        *gate,
    ):
        projection = getattr(layer, name)
        own(graph, call, projection.kernel, 0, "in", given)
        own(graph, call, projection.kernel, 1, "out", made)
        if projection.bias is not None:
            own(graph, call, projection.bias, 0, "pass", made)
    output = layer._output_dense
    own(graph, call, output.kernel, 0, "in", queries)
    width = output.kernel.shape[-1]
    if key_of_width is None:
        channels = query
    elif call.path in graph.produced:
        channels = graph.produced[call.path]
    else:
        channels = graph.produced[call.path] = graph.new(width)
        graph.count(Setting(call.path, (*call.keys, key_of_width), 0, channels))
    own(graph, call, output.kernel, -1, "out", channels)
    if output.bias is not None:
        own(graph, call, output.bias, 0, "pass", channels)
    return [channels]


def _argument(call: Call, carried: dict[int, Atoms | None], name: str) -> Atoms | None:
    given = call.arguments.get(name)
    return carried.get(given.key) if isinstance(given, Tensor) else None


@rule(*GATES)
def recurrent(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Make units; each has a column per gate, and a row that the others read it by."""
    layer = call.operation
    if inputs[0] is None:
        return refuse(graph, call, inputs, NO_SIZE)
    if layer.stateful:
        return refuse(graph, call, inputs, STATEFUL)
    for one in (layer.activation, getattr(layer, "recurrent_activation", None)):
        name = mixing(one)
        if name:
            return refuse(graph, call, inputs, MIXES.format(name))
    atoms = make(graph, call, layer.units, "units")
    gates = np.tile(atoms, GATES[type(layer)])
    own(graph, call, layer.cell.kernel, 0, "in", inputs[0])
    own(graph, call, layer.cell.kernel, 1, "out", gates)
    own(graph, call, layer.cell.recurrent_kernel, 0, "in", atoms)
    own(graph, call, layer.cell.recurrent_kernel, 1, "out", gates)
    if layer.use_bias:
        own(graph, call, layer.cell.bias, -1, "pass", gates)
    carried = dict(zip((one.key for one in call.inputs), inputs, strict=True))
    for state in _states(call):
        graph.unite(atoms, carried[state.key])
    return [atoms] * len(call.outputs)


def _states(call: Call) -> list[Tensor]:
    """Return the initial states that a recurrent layer is called with."""
    given = keras.tree.flatten(call.arguments.get("initial_state"))
    return [one for one in given if isinstance(one, Tensor)]


@rule(layers.Bidirectional)
def bidirectional(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Make units in both directions; unit *i* of both leaves together.

    Where no backward layer was given, one number counts the units of both.
    """
    layer = call.operation
    backward = "backward_layer" if "backward_layer" in layer.get_config() else "layer"
    directions = [
        replace(call, operation=layer.forward_layer, keys=("layer", "config")),
        replace(call, operation=layer.backward_layer, keys=(backward, "config")),
    ]
    kinds = {type(one.operation) for one in directions}
    if len(kinds) != 1 or not kinds <= set(GATES):
        return refuse(graph, call, inputs, "it wraps another layer than LSTM, GRU or SimpleRNN")
    if layer.forward_layer.units != layer.backward_layer.units:
        return refuse(graph, call, inputs, "its directions differ in units")
    if layer.return_state or _states(call):
        return refuse(graph, call, inputs, "it hands on its states")
    atoms = recurrent(graph, directions[0], inputs)[0]
    if call.path in graph.refused:
        return [atoms]
    recurrent(graph, directions[1], inputs)
    if layer.merge_mode == "concat":
        return [np.concatenate([atoms, atoms])]
    return [atoms] * len(call.outputs)


@rule(layers.TimeDistributed)
def time_distributed(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Do to each step what the wrapped layer's rule says."""
    inner = call.operation.layer
    known: Callable | None = LAYER_RULES.get(type(inner))
    if known is None or len(call.inputs) != 1 or len(call.outputs) != 1:
        return refuse(graph, call, inputs, "no rule for the layer that it repeats")
    step = replace(
        call,
        operation=inner,
        keys=(*call.keys, "layer", "config"),
        inputs=tuple(replace(one, shape=(one.shape[0], *one.shape[2:])) for one in call.inputs),
        outputs=tuple(replace(one, shape=(one.shape[0], *one.shape[2:])) for one in call.outputs),
    )
    return known(graph, step, inputs)
