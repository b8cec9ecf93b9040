"""Rebuild a network without the groups that leave, and prove that nothing else changed."""

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from components.prune.graph import ChannelGraph
from components.prune.keras_graph import calls, functional, leaves, trusted
from schemas.errors import FailedError, InputError

TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A network after surgery, and the evidence.

    Attributes:
        model: The smaller network.
        removed: The groups that left, of the graph it was cut by.
        widths: Per layer that makes channels: how many before, and after.
        difference: Largest difference from the masked network, as `prove_equal` measures it.
    """

    model: keras.Model
    removed: frozenset[int]
    widths: dict[str, tuple[int, int]]
    difference: float


def cut(model: keras.Model, graph: ChannelGraph, removed: Collection[int], *, seed: int) -> Cut:
    """Return ``model`` without the removed groups, proven to answer like the masked network.

    Raises:
        FailedError: the proof did not hold.
    """
    small = shrink(model, graph, removed)
    difference = prove_equal(mask(model, graph, removed), small, seed=seed)
    return Cut(
        model=small,
        removed=frozenset(removed),
        widths=graph.widths(removed),
        difference=difference,
    )


def shrink(model: keras.Model, graph: ChannelGraph, removed: Collection[int]) -> keras.Model:
    """Return a new network without the removed groups; ``model`` is left as it is.

    Rebuilt from the config with smaller counts, which keeps layer and input names, shared layers
    and the input structure; kept weights are gathered along each axis. It is not compiled.
    """
    gone = list(removed)
    counts = {
        (one.layer, one.keys, one.index): int((~np.isin(graph.groups(one.atoms), gone)).sum())
        for one in graph.settings.values()
    }
    small = rebuilt(model, counts)

    def gathered(path: str, values: list[np.ndarray]) -> list[np.ndarray]:
        for slot in slots.get(path, ()):
            stay = ~np.isin(graph.groups(slot.atoms), gone)
            values[slot.weight] = np.compress(stay, values[slot.weight], axis=slot.axis)
        return values

    slots = _slots_by_layer(graph)
    copy_weights(model, small, gathered)
    return small


def mask(model: keras.Model, graph: ChannelGraph, removed: Collection[int]) -> keras.Model:
    """Return a network of unchanged size in which nothing listens to the removed groups."""
    masked = rebuilt(model)
    mask_into(masked, model, graph, removed)
    return masked


def mask_into(
    target: keras.Model, model: keras.Model, graph: ChannelGraph, removed: Collection[int]
) -> None:
    """Write the weights of ``model`` into ``target``, a copy of it, with the groups masked."""
    gone = list(removed)
    slots = _slots_by_layer(graph)

    def silenced(path: str, values: list[np.ndarray]) -> list[np.ndarray]:
        for slot in slots.get(path, ()):
            if slot.role == "in":
                silent = np.isin(graph.groups(slot.atoms), gone)
                np.moveaxis(values[slot.weight], slot.axis, 0)[silent] = 0
        return values

    copy_weights(model, target, silenced)


def prove_equal(masked: keras.Model, small: keras.Model, *, seed: int, examples: int = 16) -> float:
    """Compare both networks on random inputs and return the largest difference.

    It is the largest absolute difference of an answer. Where the largest absolute answer of that
    output exceeds 1 it is divided by that, for float32 rounds large answers more coarsely. Where
    that is below 0.01 it is divided by a hundred times that, so that a network whose answers are
    all tiny proves something too. Networks that compute in half precision are compared in float32.

    Raises:
        FailedError: they differ by more than `TOLERANCE`.
    """
    masked, small = in_float32(masked), in_float32(small)
    inputs = random_inputs(masked, seed=seed, examples=examples)
    before = [np.asarray(one) for one in keras.tree.flatten(masked(inputs, training=False))]
    after = [np.asarray(one) for one in keras.tree.flatten(small(inputs, training=False))]
    worst = 0.0
    for one, two in zip(before, after, strict=True):
        largest = max(float(np.abs(one).max()), np.finfo(np.float32).tiny)
        difference = float(np.abs(one - two).max()) / max(largest, min(1.0, 100 * largest))
        if not difference <= TOLERANCE:
            raise FailedError(
                f"the pruned network must answer like the masked one within {TOLERANCE:g}, but "
                f"differs by {difference:g}: its graph was misread; please report the network"
            )
        worst = max(worst, difference)
    return worst


def random_inputs(model: keras.Model, *, seed: int, examples: int):
    """Return random inputs that the model accepts, in the structure it takes them.

    Integers, and floats that an Embedding reads, stay below the size of every vocabulary.

    Raises:
        InputError: the model reads strings.
    """
    ids = {
        tensor.key
        for call in calls(model)
        if isinstance(call.operation, keras.layers.Embedding)
        for tensor in call.inputs
    }
    generator = np.random.default_rng(seed)
    vocabularies = [
        layer.input_dim for _, layer in leaves(model) if isinstance(layer, keras.layers.Embedding)
    ]

    def draw(tensor):
        shape = (examples, *(32 if size is None else size for size in tensor.shape[1:]))
        if tensor.dtype == "string":
            raise InputError(
                f"a proof needs numbers to draw, but the input {tensor.name} takes strings: prune "
                "the network behind the lookup, and join them afterwards"
            )
        if id(tensor) not in ids and not np.issubdtype(np.dtype(tensor.dtype), np.integer):
            return generator.normal(size=shape).astype(tensor.dtype)
        top = min(vocabularies, default=256)
        return generator.integers(0, top, size=shape).astype(tensor.dtype)

    return keras.tree.map_structure(draw, functional(model).input)


def in_float32(model: keras.Model) -> keras.Model:
    """Return the network itself, or a copy that computes in float32 where it does not."""
    if all(layer.compute_dtype not in ("float16", "bfloat16") for _, layer in leaves(model)):
        return model
    wide = rebuilt(model, dtype="float32")
    copy_weights(model, wide)
    return wide


def fresh(model: keras.Model) -> keras.Model:
    """Return the same architecture with new random weights.

    They come from the global seed of Keras. Statistics of the data (`Normalization`) are kept.
    """
    new = rebuilt(model)
    found = dict(leaves(new))
    for path, layer in leaves(model):
        if isinstance(layer, keras.layers.Normalization):
            _set(found[path], [np.array(weight) for weight in layer.weights])
    return new


def copy_weights(
    source: keras.Model,
    target: keras.Model,
    change: Callable[[str, list[np.ndarray]], list[np.ndarray]] = lambda path, values: values,
) -> None:
    """Copy the weights of a network into one with the same layers, changed by layer."""
    found = dict(leaves(target))
    for path, layer in leaves(source):
        _set(found[path], change(path, [np.array(weight) for weight in layer.weights]))


def rebuilt(
    model: keras.Model,
    counts: Mapping[tuple[str, tuple[str, ...], int | None], int] | None = None,
    dtype: str | None = None,
) -> keras.Model:
    """Return a new network from the config of ``model`` with other counts or another precision.

    Args:
        model: Functional or Sequential model.
        counts: New numbers by path of the layer, keys in its config, and position in the list
            that stands there (None: a plain number).
        dtype: Precision of every layer; None: as it is.
    """
    config = copy.deepcopy(model.get_config())
    _forget_shapes(config)
    if dtype:
        _set_precision(config, dtype)
    found = dict(_settings(config, ""))
    for (path, keys, index), count in (counts or {}).items():
        settings = found[path]
        for key in keys[:-1]:
            settings = settings[key]
        if index is None:
            settings[keys[-1]] = count
        else:
            entries = list(settings[keys[-1]] or [None])
            entries[index] = count
            settings[keys[-1]] = entries
    own = {
        type(one).__name__: type(one)
        for _, one in leaves(model)
        if not type(one).__module__.startswith("keras.")
    }
    with keras.saving.custom_object_scope(own), trusted():
        return type(model).from_config(config)


def _settings(config: dict[str, Any], prefix: str):
    """Yield the config of every layer, by path, of a model's config."""
    for entry in config["layers"]:
        settings = entry["config"]
        path = prefix + settings["name"]
        if isinstance(settings.get("layers"), list):
            yield from _settings(settings, f"{path}/")
        else:
            yield path, settings


def _forget_shapes(config: Any) -> None:
    """Drop the shapes that layers were built for, and arrays that they were initialised with.

    The new shapes follow from the inputs, and the weights are written over.
    """
    if isinstance(config, dict):
        config.pop("build_config", None)
        config.pop("build_input_shape", None)
        for key, one in config.items():
            if key.endswith("_initializer") and isinstance(one, dict):
                if isinstance(one.get("config", {}).get("value"), dict | list):
                    config[key] = "glorot_uniform"
    for one in _children(config):
        _forget_shapes(one)


def _set_precision(config: Any, dtype: str) -> None:
    if isinstance(config, dict) and isinstance(config.get("dtype"), dict):
        config["dtype"] = dtype
    for one in _children(config):
        _set_precision(one, dtype)


def _children(config: Any) -> list[Any]:
    if isinstance(config, dict):
        return list(config.values())
    return list(config) if isinstance(config, list | tuple) else []


def _set(layer: keras.Layer, values: list[np.ndarray]) -> None:
    layer.set_weights(values)
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def _slots_by_layer(graph: ChannelGraph) -> dict[str, list]:
    found: dict[str, list] = {}
    for slot in graph.slots.values():
        found.setdefault(slot.layer, []).append(slot)
    return found
