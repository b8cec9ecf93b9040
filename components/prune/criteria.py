"""How much each group of coupled channels matters; the lowest leave first.

Every criterion makes layers comparable in its own way, so that groups can be ranked across them:
magnitudes are taken relative to the mean of their weight, Taylor scores to their bundle's norm.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.prune.graph import ChannelGraph
from components.prune.keras_graph import leaves
from schemas.errors import InputError, unknown_name

Scores = dict[int, float]
Loss = Callable[[Any, Any], tf.Tensor]

MAGNITUDES: dict[str, tuple[tuple[str, ...], int]] = {
    "l1": (("out",), 1),
    "l2": (("out",), 2),
    "l1_in_out": (("in", "out"), 1),
}
CRITERIA = (*MAGNITUDES, "bn_gamma", "taylor", "random")


def scores(
    model: keras.Model,
    graph: ChannelGraph,
    criterion: str,
    *,
    seed: int = 0,
    batches: Iterable | None = None,
    loss: Loss | None = None,
) -> Scores:
    """Score the groups of a network; a group that the criterion cannot score is left out.

    Args:
        model: The network.
        graph: Its channel graph.
        criterion: One of `CRITERIA`.
        seed: Decides the ``random`` criterion.
        batches: ``(inputs, labels)`` batches of training examples, mixed in class: for ``taylor``.
        loss: Gives ``float32[N]`` of ``(labels, outputs)``: for ``taylor``; cross-entropy of
            logits if None.

    Raises:
        InputError: unknown criterion, or one that lacks what it needs.
    """
    if criterion in MAGNITUDES:
        roles, order = MAGNITUDES[criterion]
        return magnitude(model, graph, roles=roles, order=order)
    if criterion == "bn_gamma":
        return bn_gamma(model, graph)
    if criterion == "random":
        return random(graph, seed)
    if criterion == "taylor":
        if batches is None:
            raise InputError("the criterion taylor needs batches of training examples, not None")
        return taylor(model, graph, batches, loss)
    raise InputError(unknown_name("criterion", criterion, CRITERIA))


def magnitude(
    model: keras.Model,
    graph: ChannelGraph,
    *,
    roles: tuple[str, ...] = ("in", "out"),
    order: int = 1,
) -> Scores:
    """Score a group by the mean magnitude of the weights that make it and that read it.

    Magnitudes are relative to the mean of their weight, so that layers compare. ``out`` alone
    with order 1 is the filter norm of Li et al., "Pruning Filters for Efficient ConvNets" (2016),
    with order 2 that of He et al., "Soft Filter Pruning" (2018); with ``in`` the consumers are
    counted too.
    """
    layers = dict(leaves(model))
    totals: Scores = {}
    counts: dict[int, int] = {}
    for slot in graph.slots.values():
        if slot.role not in roles:
            continue
        weight = np.abs(np.asarray(layers[slot.layer].weights[slot.weight]))
        others = tuple(axis for axis in range(weight.ndim) if axis != slot.axis)
        sizes = weight.mean(axis=others)
        if order == 2:
            sizes = np.sqrt(np.square(weight).mean(axis=others))
        sizes = sizes / max(float(sizes.mean()), np.finfo(np.float32).tiny)
        for group, size in zip(graph.groups(slot.atoms), sizes, strict=True):
            totals[int(group)] = totals.get(int(group), 0.0) + float(size)
            counts[int(group)] = counts.get(int(group), 0) + 1
    return {group: total / counts[group] for group, total in totals.items()}


def bn_gamma(model: keras.Model, graph: ChannelGraph) -> Scores:
    """Score a group by its BatchNorm scales: Liu et al., "Network Slimming" (2017).

    Groups that no BatchNorm scales get no score, and so stay.

    Raises:
        InputError: the network has no BatchNorm with a scale.
    """
    layers = dict(leaves(model))
    found: dict[int, list[float]] = {}
    for slot in graph.slots.values():
        layer = layers[slot.layer]
        if isinstance(layer, keras.layers.BatchNormalization) and layer.scale:
            if layer.weights[slot.weight] is layer.gamma:
                sizes = np.abs(np.asarray(layer.gamma))
                for group, size in zip(graph.groups(slot.atoms), sizes, strict=True):
                    found.setdefault(int(group), []).append(float(size))
    if not found:
        raise InputError(
            "the criterion bn_gamma needs BatchNormalization layers with a scale, and this network "
            "has none: choose l1_in_out or taylor"
        )
    return {group: float(np.mean(sizes)) for group, sizes in found.items()}


def random(graph: ChannelGraph, seed: int) -> Scores:
    """Score at random, for comparison: uniform in [0, 1), decided by the seed."""
    groups = graph.prunable()
    values = np.random.default_rng(seed).random(len(groups))
    return dict(zip(groups, values.tolist(), strict=True))


def taylor(
    model: keras.Model, graph: ChannelGraph, batches: Iterable, loss: Loss | None = None
) -> Scores:
    """Score a group by the change of the loss that its removal causes, to first order.

    Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference"
    (2017): ``|sum of activation * gradient|``. Summed over a batch that equals the sum of
    ``weight * gradient`` over all weights that read the channel, which is how it is computed here:
    exact at every kind of layer, and without a look at activations. The mean over batches is
    taken, so small batches (16 to 32) tell channels apart that help some examples and hurt
    others. Scores are divided by the l2 norm of their bundle's, as the paper does by layer.

    Raises:
        InputError: there are no batches, or a score is not a number.
    """
    loss = loss or _cross_entropy
    layers = dict(leaves(model))
    readers = [slot for slot in graph.slots.values() if slot.role == "in"]
    keys = list(dict.fromkeys((slot.layer, slot.weight) for slot in readers))
    weights = [layers[layer].weights[index] for layer, index in keys]

    @tf.function(reduce_retracing=True)
    def gradients(inputs, labels):
        values = [weight.value for weight in weights]
        with tf.GradientTape() as tape:
            tape.watch(values)
            mean = tf.reduce_mean(loss(labels, model(inputs, training=False)))
        return [
            value * gradient
            for value, gradient in zip(
                values, tape.gradient(mean, values, unconnected_gradients="zero"), strict=True
            )
        ]

    totals: Scores = {}
    number = 0
    for inputs, labels, *_ in batches:
        number += 1
        products = dict(zip(keys, gradients(inputs, labels), strict=True))
        change: Scores = {}
        for slot in readers:
            product = np.asarray(products[slot.layer, slot.weight], np.float64)
            others = tuple(axis for axis in range(product.ndim) if axis != slot.axis)
            for group, one in zip(graph.groups(slot.atoms), product.sum(axis=others), strict=True):
                change[int(group)] = change.get(int(group), 0.0) + float(one)
        for group, one in change.items():
            totals[group] = totals.get(group, 0.0) + abs(one)
    if not number or not all(np.isfinite(one) for one in totals.values()):
        raise InputError(
            f"the criterion taylor needs training batches with a finite loss; {number} were read"
        )
    found = {}
    for bundle in graph.bundles():
        values = {group: totals[group] / number for group in bundle.groups if group in totals}
        norm = max(float(np.linalg.norm(list(values.values()))), np.finfo(np.float32).tiny)
        found.update({group: value / norm for group, value in values.items()})
    return found


def _cross_entropy(labels, logits) -> tf.Tensor:
    """Return ``float32[N]`` (nats) for class indices ``int[N]`` or shares ``float[N, classes]``."""
    if labels.dtype.is_floating:
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int64), logits)
