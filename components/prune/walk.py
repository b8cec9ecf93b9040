"""The walk over a network that finds its channel graph.

From inputs to outputs each tensor carries the atoms of its last axis. Models inside the model are
walked as if their layers stood in their place. Whatever the walk does not understand freezes the
channels that reach it.
"""

import keras
from keras import layers

# They declare the rules.
from components.prune import rules_sequences, rules_shapes, rules_weights  # noqa: F401
from components.prune.graph import Atoms, ChannelGraph, Setting
from components.prune.keras_graph import Call, calls, inputs, is_graph, is_op, outputs
from components.prune.registry import (
    LAYER_RULES,
    OP_RULES,
    Carried,
    Rule,
    fresh_frozen,
    passes_channels,
    refuse,
    rule,
)

__all__ = ["channel_graph", "passes_channels", "rule"]

UNKNOWN = "no rule for this kind of operation"
OTHER_SHAPES = "it is called with tensors of other shapes than it was built for"
TWO_PLACES = "it stands in two models, and Keras stores it twice"


def channel_graph(model: keras.Model) -> ChannelGraph:
    """Walk a Functional or Sequential model and the models inside it.

    Raises:
        InputError: the model is neither.
    """
    graph = ChannelGraph()
    walk = _Walk(graph)
    for atoms in walk.model(model, "", None):
        graph.freeze(atoms)
    return graph


class _Walk:
    """The state of one walk: where each layer was seen first."""

    def __init__(self, graph: ChannelGraph) -> None:
        self.graph = graph
        self.paths: dict[int, str] = {}

    def model(self, model: keras.Model, prefix: str, given: Carried | None) -> Carried:
        """Return the atoms of the model's outputs; ``given`` are those of its inputs."""
        carried: dict[int, Atoms | None] = {}
        if given is not None:
            carried = {one.key: atoms for one, atoms in zip(inputs(model), given, strict=True)}
        for call in calls(model, prefix):
            if isinstance(call.operation, layers.InputLayer):
                results = self.entry(call, [carried.get(call.outputs[0].key)], given is not None)
            else:
                results = self.call(call, [carried[one.key] for one in call.inputs])
            for tensor, atoms in zip(call.outputs, results, strict=True):
                carried[tensor.key] = atoms
        return [carried[one.key] for one in outputs(model)]

    def entry(self, call: Call, given: Carried, inner: bool) -> Carried:
        """Take what a model is called with; at the outermost one it is frozen."""
        if not inner:
            return [fresh_frozen(self.graph, call.outputs[0])]
        if given[0] is not None and call.outputs[0].shape[-1] is not None:
            last = len(call.outputs[0].shape) - 1
            self.graph.count(Setting(call.path, ("batch_shape",), last, given[0]))
        return given

    def call(self, call: Call, given: Carried) -> Carried:
        """Apply the rule of what is called; a layer refused once is refused at every call."""
        if is_graph(call.operation):
            if _fits(call, inputs(call.operation)):
                return self.model(call.operation, f"{call.path}/", given)
            return refuse(self.graph, call, given, OTHER_SHAPES)
        first = self.paths.setdefault(id(call.operation), call.path)
        if first != call.path:
            self.graph.refuse(first, TWO_PLACES)
            self.graph.refuse(call.path, TWO_PLACES)
        if call.path in self.graph.refused:
            return refuse(self.graph, call, given, self.graph.refused[call.path])
        return _rule_of(call)(self.graph, call, given)


def _rule_of(call: Call) -> Rule:
    if is_op(call.operation):
        return OP_RULES.get(type(call.operation).__name__, _unknown)
    return LAYER_RULES.get(type(call.operation), _unknown)


def _unknown(graph: ChannelGraph, call: Call, given: Carried) -> Carried:
    return refuse(graph, call, given, UNKNOWN)


def _fits(call: Call, expected) -> bool:
    """Tell whether a model is called with tensors of the very shapes that it was built for."""
    return len(call.inputs) == len(expected) and all(
        len(one.shape) == len(two.shape) and one.shape[-1] == two.shape[-1]
        for one, two in zip(call.inputs, expected, strict=True)
    )
