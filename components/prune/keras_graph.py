"""The one place that reads Keras's private graph: which operation is called on which tensors.

Keras 3 offers no public view of the calls inside a Functional model; these attributes are those
of Keras 3.10 to 3.15, and a test notices when they change.
"""

from dataclasses import dataclass

import keras

from schemas.errors import InputError


@dataclass(frozen=True)
class Tensor:
    """A symbolic tensor: its identity within the model, shape (``None``: any size) and dtype."""

    key: int
    shape: tuple[int | None, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Call:
    """One call of an operation (mostly a layer); a shared layer has several."""

    operation: keras.Operation
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def functional(model: keras.Model) -> keras.Model:
    """Return the Functional model behind ``model``.

    Raises:
        InputError: a subclassed or unbuilt model, whose graph is unknown.
    """
    if isinstance(model, keras.Sequential):
        model = model._functional
    if not isinstance(model, keras.Model) or not hasattr(model, "_nodes_by_depth"):
        raise InputError(
            f"pruning and sizes read the graph of a Functional or built Sequential model, not of "
            f"{type(model).__name__}: build it with keras.Model(inputs, outputs)"
        )
    return model


def calls(model: keras.Model) -> list[Call]:
    """Return every call of the model, each after those that it depends on."""
    graph = functional(model)
    found = []
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            found.append(
                Call(node.operation, _tensors(node.input_tensors), _tensors(node.output_tensors))
            )
    return found


def outputs(model: keras.Model) -> tuple[Tensor, ...]:
    """Return the model's outputs."""
    return _tensors(functional(model).outputs)


def _tensors(tensors) -> tuple[Tensor, ...]:
    return tuple(Tensor(id(one), tuple(one.shape), one.dtype) for one in tensors)
