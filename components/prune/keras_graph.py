"""The one place that touches what is private in Keras: which operation is called on which tensors.

Keras 3 offers no public view of the calls inside a Functional model; these attributes are those
of Keras 3.10 to 3.15, and a test notices when they change.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
from keras.src.saving.serialization_lib import SafeModeScope

from schemas.errors import InputError


@dataclass(frozen=True)
class Tensor:
    """A symbolic tensor: its identity within the model, shape (``None``: any size) and dtype."""

    key: int
    shape: tuple[int | None, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Call:
    """One call of an operation (mostly a layer); a shared layer has several.

    Attributes:
        operation: What is called.
        inputs: Every tensor among its arguments.
        outputs: What it returns.
        path: Path of the layer in the model: names joined by ``/``.
        arguments: All arguments by parameter name, tensors as `Tensor`.
        owner: The layer that ``path`` names; another than ``operation`` inside a wrapper.
        keys: Where in the owner's config the operation's own config stands.
    """

    operation: keras.Operation
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    path: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    owner: keras.Operation | None = None
    keys: tuple[str, ...] = ()


def functional(model: keras.Model) -> keras.Model:
    """Return the Functional model behind ``model``.

    Raises:
        InputError: a subclassed or unbuilt model, whose graph is unknown.
    """
    found = model._functional if isinstance(model, keras.Sequential) else model
    if not isinstance(found, keras.Model) or not hasattr(found, "_nodes_by_depth"):
        raise InputError(
            f"pruning and sizes read the graph of a Functional or built Sequential model, not of "
            f"{type(model).__name__}: build it with keras.Model(inputs, outputs)"
        )
    return found


def is_graph(operation: keras.Operation) -> bool:
    """Tell whether an operation is a model whose inside can be read."""
    if isinstance(operation, keras.Sequential):
        operation = operation._functional
    return isinstance(operation, keras.Model) and hasattr(operation, "_nodes_by_depth")


def is_op(operation: keras.Operation) -> bool:
    """Tell whether an operation is one of ``keras.ops`` called on symbolic tensors."""
    return type(operation).__module__.startswith("keras.src.ops.")


def calls(model: keras.Model, prefix: str = "") -> list[Call]:
    """Return every call of the model, each after those that it depends on."""
    graph = functional(model)
    found = []
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            found.append(
                Call(
                    node.operation,
                    _tensors(node.input_tensors),
                    _tensors(node.output_tensors),
                    prefix + node.operation.name,
                    _arguments(node),
                    node.operation,
                )
            )
    return found


def inputs(model: keras.Model) -> tuple[Tensor, ...]:
    """Return the model's inputs."""
    return _tensors(functional(model).inputs)


def outputs(model: keras.Model) -> tuple[Tensor, ...]:
    """Return the model's outputs."""
    return _tensors(functional(model).outputs)


def leaves(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """Yield the layers of a model and of the models inside it, with their paths.

    A layer that two models hold comes once for each; a subclassed model counts as a layer.
    """
    for layer in model.layers:
        if is_graph(layer):
            yield from leaves(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def trusted() -> SafeModeScope:
    """Return the scope in which configs may hold Python functions: those made in this process."""
    return SafeModeScope(safe_mode=False)


def _arguments(node) -> dict[str, Any]:
    """Return the arguments of a call by the names of the parameters."""

    def named(one):
        return _tensors([one])[0] if isinstance(one, keras.KerasTensor) else one

    try:
        bound = inspect.signature(node.operation.call).bind(
            *node.arguments.args, **node.arguments.kwargs
        )
    except TypeError:  # arguments that Keras itself adds or takes away (InputLayer, training)
        return {}
    return {name: keras.tree.map_structure(named, one) for name, one in bound.arguments.items()}


def _tensors(tensors) -> tuple[Tensor, ...]:
    return tuple(Tensor(id(one), tuple(one.shape), one.dtype) for one in tensors)
