"""Attention maps: where in its input a layer is active (Zagoruyko and Komodakis, 2017).

"Paying More Attention to Attention", activation-based: the map of a layer is the sum over its
channels of the squared activations, brought to length 1. So networks of any widths compare, as
long as the positions are the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from components.prune.keras_graph import calls
from schemas.errors import InputError, unknown_name

TINY = 1e-12

Sizes = Mapping[str, tuple[int, ...]]


def feature_maps(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Return the layers whose output has positions and channels: name to the positions' shape.

    They stand in the order from the inputs to the outputs. Left out are outputs that no weight
    has changed yet (the scaled input), those of a single position or of no fixed size, and layers
    that are called more than once. A model inside the model counts as one layer.
    """
    weighed: set[int] = set()
    found: dict[str, tuple[int, ...]] = {}
    every = calls(model)
    times = Counter(call.operation.name for call in every)
    for call in every:
        if not (
            getattr(call.operation, "weights", []) or weighed & {one.key for one in call.inputs}
        ):
            continue
        weighed |= {one.key for one in call.outputs}
        if times[call.operation.name] > 1 or len(call.outputs) != 1:
            continue
        (output,) = call.outputs
        size = output.shape[1:-1]
        known = isinstance(call.operation, keras.Layer) and id(call.operation.output) == output.key
        if known and size and None not in size and np.prod(size) > 1:
            found[call.operation.name] = size
    return found


def last_of_each_size(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Return the last feature map of each shape of positions, in the order of the network."""
    last = {size: layer for layer, size in sizes.items()}
    return {layer: size for layer, size in sizes.items() if last[size] == layer}


def pairs_of(
    teacher: Sizes, student: Sizes, named: Sequence[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """Return which layer of the teacher each layer of the student is compared with.

    Args:
        teacher: The teacher's feature maps.
        student: All of the student's feature maps.
        named: Pairs to compare, the teacher's layer first. Without any, each size that both have
            gives one pair: the last feature map of that size of both.

    Raises:
        InputError: a named layer has no feature map, a pair differs in size, or no size is in
            common.
    """
    for theirs, ours in named:
        for role, name, sizes in (("teacher", theirs, teacher), ("student", ours, student)):
            if name not in sizes:
                raise InputError(unknown_name(f"feature map of the {role}", name, sizes))
        if teacher[theirs] != student[ours]:
            raise InputError(
                f"attention_layers: a pair needs as many positions, but {theirs!r} of the teacher "
                f"has {teacher[theirs]} and {ours!r} of the student {student[ours]}"
            )
    if named:
        return list(named)
    last = {size: layer for layer, size in last_of_each_size(student).items()}
    pairs = [
        (layer, last[size]) for layer, size in last_of_each_size(teacher).items() if size in last
    ]
    if not pairs:
        raise InputError(
            f"attention needs feature maps of one size in teacher and student, which have "
            f"{sorted(set(teacher.values()))} and {sorted(set(student.values()))}: set attention "
            "to 0"
        )
    return pairs


def watched(model: keras.Model, layers: Sequence[str]) -> keras.Model:
    """Return the same network with its logits and the outputs of these layers as a list."""
    outputs = [model.get_layer(name).output for name in layers]
    return keras.Model(model.input, [*model.outputs, *outputs])


def attention_map(features: tf.Tensor) -> tf.Tensor:
    """Map activations ``float[N, ..., C]`` to attention ``float32[N, positions]`` of length 1."""
    energy = _energy(tf.cast(features, tf.float32))
    return unit(tf.reshape(energy, (tf.shape(energy)[0], int(np.prod(energy.shape[1:])))))


@tf.custom_gradient
def _energy(features: tf.Tensor):
    """Return the sums of squares over the last axis; the gradient takes one pass, not three."""

    def gradient(upstream):
        return features * (2 * upstream[..., None])

    return tf.reduce_sum(tf.square(features), axis=-1), gradient


def unit(maps: tf.Tensor) -> tf.Tensor:
    """Scale each row of ``float32[N, positions]`` to length 1; a row of zeros stays one."""
    total = tf.reduce_sum(tf.square(maps), axis=-1, keepdims=True)
    return maps * tf.math.rsqrt(tf.maximum(total, TINY**2))


def attention_distance(teacher: Sequence[tf.Tensor], student: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return ``float32[N]``: half the squared distance of the maps, summed over the pairs.

    Both are lists of ``float32[N, positions]`` of length 1. The paper writes the distance itself;
    its published code squares it, as here.
    """
    squares = [
        tf.reduce_sum(tf.math.squared_difference(one, other), axis=-1)
        for one, other in zip(teacher, student, strict=True)
    ]
    return 0.5 * tf.add_n(squares)
