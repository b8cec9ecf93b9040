"""The rules of the walk by kind of layer, and what they have in common.

A rule receives the graph, a call, and per input tensor the atoms of its last axis (None: that
axis has no fixed size). It writes down what the layer owns and returns the atoms of each output.
"""

from collections.abc import Callable

import keras

from components.prune.graph import Atoms, ChannelGraph, Setting, Slot
from components.prune.keras_graph import Call, Tensor

Carried = list[Atoms | None]
Rule = Callable[[ChannelGraph, Call, Carried], Carried]

LAYER_RULES: dict[type, Rule] = {}
OP_RULES: dict[str, Rule] = {}

CHANNELWISE = frozenset(
    "linear relu relu6 leaky_relu elu selu celu gelu silu swish sigmoid hard_sigmoid hard_silu "
    "hard_swish hard_tanh tanh softplus softsign exponential mish log_sigmoid squareplus "
    "sparse_plus sparse_sigmoid hard_shrink soft_shrink tanh_shrink threshold".split()
)
MIXES = "{} couples its channels"
NO_SIZE = "its last axis has no fixed size"
CHANNELS_FIRST = "channels_first is not covered"


def rule(*kinds: type) -> Callable[[Rule], Rule]:
    """Declare (as a decorator) the rule of these kinds of layers."""

    def declare(function: Rule) -> Rule:
        LAYER_RULES.update(dict.fromkeys(kinds, function))
        return function

    return declare


def op_rule(*names: str) -> Callable[[Rule], Rule]:
    """Declare (as a decorator) the rule of these classes behind ``keras.ops``."""

    def declare(function: Rule) -> Rule:
        OP_RULES.update(dict.fromkeys(names, function))
        return function

    return declare


def passes_channels(kind: type) -> type:
    """Declare (as a decorator) that a layer works on each channel of its first input alone."""
    LAYER_RULES[kind] = through
    return kind


def through(graph: ChannelGraph, call: Call, inputs: Carried) -> Carried:
    """Hand the channels of the first input on."""
    return [inputs[0]]


def fresh_frozen(graph: ChannelGraph, tensor: Tensor) -> Atoms | None:
    """Return new atoms for a tensor, none of which may leave."""
    if not tensor.shape or tensor.shape[-1] is None:
        return None
    atoms = graph.new(tensor.shape[-1])
    graph.freeze(atoms)
    return atoms


def refuse(graph: ChannelGraph, call: Call, inputs: Carried, reason: str) -> Carried:
    """Freeze what goes in and what comes out, and name the operation and the reason.

    It is named only where it stands in the way: channels reach it that might have left, or it has
    trainable weights of its own.
    """
    if any(graph.loose(atoms) for atoms in inputs) or getattr(call.owner, "trainable_weights", []):
        name_reason(graph, call, reason)
    for atoms in inputs:
        graph.freeze(atoms)
    graph.refuse(call.path, reason)
    return [fresh_frozen(graph, tensor) for tensor in call.outputs]


def freeze(graph: ChannelGraph, call: Call, atoms: Atoms | None, reason: str) -> None:
    """Freeze these channels; the operation and the reason are named if they might have left."""
    if graph.loose(atoms):
        name_reason(graph, call, reason)
    graph.freeze(atoms)


def name_reason(graph: ChannelGraph, call: Call, reason: str) -> None:
    """Write down that an operation froze channels, and why."""
    graph.frozen_by.setdefault(f"{call.path} ({type(call.owner).__name__})", reason)


def own(graph: ChannelGraph, call: Call, weight, axis: int, role: str, atoms: Atoms) -> None:
    """Write down that ``atoms`` lie along an axis of a weight of the called layer."""
    index = next(i for i, one in enumerate(call.owner.weights) if one is weight)
    graph.own(Slot(call.path, index, axis % len(weight.shape), role, atoms))


def make(graph: ChannelGraph, call: Call, count: int, key: str, *, kind: str = "") -> Atoms:
    """Return the atoms that a layer makes, the same at each of its calls.

    Args:
        graph: What is written to.
        call: The call.
        count: How many channels the layer makes.
        key: The setting that counts them.
        kind: Told behind the path where a layer makes channels of two kinds.
    """
    name = call.path + kind
    if name not in graph.produced:
        graph.produced[name] = graph.new(count)
    graph.count(Setting(call.path, (*call.keys, key), None, graph.produced[name]))
    return graph.produced[name]


def mixing(activation) -> str | None:
    """Return the name of an activation that couples the channels (softmax does), or None."""
    if activation is None:
        return None
    if isinstance(activation, keras.Layer):
        return None if LAYER_RULES.get(type(activation)) is through else activation.name
    name = getattr(activation, "__name__", str(activation))
    return None if name in CHANNELWISE else name


def finish(graph: ChannelGraph, call: Call, atoms: Atoms) -> Carried:
    """Return the atoms a layer makes, frozen where its activation couples them."""
    name = mixing(getattr(call.operation, "activation", None))
    if name:
        freeze(graph, call, atoms, MIXES.format(name))
    return [atoms]
