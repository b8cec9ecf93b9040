"""Widths of one network: the order of its channels, the prefixes, the shared weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from components.prune import channel_graph, cut, scores
from components.prune.keras_graph import leaves
from components.prune.surgery import random_inputs
from components.widths import cells, sandwich, slimmable
from schemas.errors import FailedError, InputError
from tests.components.prune_networks import (
    NETWORKS,
    added_to_concatenated,
    generator,
    head,
    input_shapes,
    randomized,
    residual,
    transformer,
)

SHARES = (1.0, 0.5, 0.25)


def answers(model, inputs):
    found = keras.tree.flatten(model(inputs, training=False))
    return np.concatenate([np.asarray(one).ravel() for one in found])


def assert_close(one, two):
    assert np.abs(one - two).max() <= 1e-5 * max(1, np.abs(two).max())


def narrowed(model, shares=SHARES, **settings):
    found = scores(model, channel_graph(model), "l1_in_out")
    return slimmable(model, shares, found, **{"round_to": 1, **settings})


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_order_and_widths_are_exact(build):
    """The order changes no answer; a width answers like a network of its own.

    The width is held against it with other weights and statistics than it was made with.
    """
    keras.utils.set_random_seed(0)
    model = randomized(build())
    graph = channel_graph(model)
    before, found = model.get_weights(), scores(model, graph, "l1_in_out")

    slim = slimmable(model, (1.0, 0.5), found, round_to=1, seed=1)

    inputs = random_inputs(model, seed=2, examples=4)
    assert_close(answers(slim.model, inputs), answers(model, inputs))
    after = scores(slim.model, channel_graph(slim.model), "l1_in_out")
    moved = 0
    for cell in cells(graph):
        old, new = ([values[group] for group in cell.groups] for values in (found, after))
        np.testing.assert_allclose(new, sorted(old, reverse=True), rtol=1e-5)
        moved += new != old
    assert moved
    assert input_shapes(slim.model) == input_shapes(model)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)

    randomized(slim.model, seed=7)
    draws = np.random.default_rng(8)
    for one in slim.own_variables(0.5):
        one.assign(draws.uniform(0.5, 1.5, one.shape))
    small = slim.extract(0.5)
    served = keras.tree.flatten(slim.answer(0.5, inputs))
    served = np.concatenate([np.asarray(one).ravel() for one in served])
    assert_close(served, answers(small, inputs))
    assert np.abs(served - answers(slim.model, inputs)).max() > 1e-3
    assert [path for path, _ in leaves(small)] == [path for path, _ in leaves(slim.model)]
    assert small.count_params() < slim.model.count_params()


def test_a_narrow_width_is_the_pruned_network_before_training():
    slim = narrowed(randomized(residual()))
    width = slim.widths[0.5]
    pruned = cut(slim.model, slim.graph, width.removed, seed=0).model
    inputs = random_inputs(slim.model, seed=1, examples=4)

    np.testing.assert_array_equal(answers(pruned, inputs), answers(slim.extract(0.5), inputs))


@pytest.mark.parametrize("build", [residual, added_to_concatenated, generator, transformer])
def test_widths_are_nested_prefixes(build):
    slim = narrowed(build(), (1.0, 0.6, 0.5, 0.25), round_to=1)
    removed = [width.removed for width in slim.widths.values()]

    assert removed[0] == frozenset()
    for wide, narrow in itertools.pairwise(removed):
        assert wide < narrow
    for cell, gone in itertools.product(cells(slim.graph), removed):
        stays = [group not in gone for group in cell.groups]
        assert stays == sorted(stays, reverse=True)
        assert any(stays)


def test_channels_are_rounded_up_and_keep_to_the_floor():
    slim = narrowed(residual(), (1.0, 0.5, 0.1), round_to=4, floor=0.2)

    assert [list(one.channels.values()) for one in slim.widths.values()] == [
        [8, 12, 8, 16], [4, 8, 4, 8], [4, 4, 4, 4]
    ]  # fmt: skip


def test_channels_side_by_side_keep_a_prefix_each():
    """The wide convolution's kept channels are no prefix, but those of both narrow ones are."""
    slim = narrowed(added_to_concatenated())

    assert sorted(len(cell.groups) for cell in cells(slim.graph)) == [4, 8]
    assert sorted(slim.widths[0.5].channels.values()) == [2, 4, 6]


def test_groups_that_the_criterion_leaves_out_stay():
    model = randomized(residual())
    graph = channel_graph(model)
    found = scores(model, graph, "bn_gamma")
    slim = slimmable(model, (1.0, 0.5), found, round_to=1)

    assert list(slim.widths[0.5].channels.values()) == [4, 12, 4, 16]


def test_the_shared_weights_learn_in_every_width():
    keras.utils.set_random_seed(1)
    slim = narrowed(residual())
    network, loss = sandwich(slim, label_smoothing=0.0)
    draws = np.random.default_rng(0)
    labels = tf.constant(draws.integers(0, 4, 64))
    images = draws.normal(size=(64, 8, 8, 3)) + np.eye(4)[labels][:, None, None, :3] * 3
    images = tf.constant(images, tf.float32)
    optimizer = keras.optimizers.Adam(0.02)
    variables = slim.model.trainable_variables

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(network(images), labels))
        optimizer.apply(tape.gradient(value, [one.value for one in variables]), variables)
        return value

    before = [one.numpy() for one in slim.own_variables(0.25)]
    first, *_, last = [float(step()) for _ in range(40)]
    assert last < 0.5 * first
    after = [one.numpy() for one in slim.own_variables(0.25)]
    assert all((one != two).any() for one, two in zip(before, after, strict=True))
    slim.recalibrate([images])
    for share in SHARES:
        right = np.argmax(slim.answer(share, images), axis=1) == labels.numpy()
        assert right.mean() > 0.6  # by chance: 0.25


def two_norms():
    inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3)(inputs)))
    return head(inputs, layers.BatchNormalization(name="second")(layers.Conv2D(12, 3)(x)))


def test_statistics_are_private_and_those_of_the_width():
    slim = narrowed(randomized(two_norms()))
    images = np.random.default_rng(0).normal(2, 3, (100, 8, 8, 3))
    kernels = slim.model.get_weights()
    slim.recalibrate([images])

    norm = slim.model.get_layer("second")
    for share in SHARES:
        small = slim.extract(share)
        own = small.get_layer(norm.name)
        inside = keras.Model(small.input, own.input)
        seen = np.asarray(inside(images, training=False))
        np.testing.assert_allclose(own.moving_mean, seen.mean((0, 1, 2)), atol=1e-4)
        np.testing.assert_allclose(own.moving_variance, seen.var((0, 1, 2)), rtol=1e-3)
    half = slim.extract(0.5).get_layer(norm.name)
    assert not np.allclose(half.moving_mean, norm.moving_mean[:6], rtol=0.1)
    np.testing.assert_array_equal(half.gamma, norm.gamma[:6])
    assert {id(one) for one in slim.own_variables(0.5)}.isdisjoint(
        id(one) for share in (1.0, 0.25) for one in slim.own_variables(share)
    )
    for one, two in zip(kernels, slim.model.get_weights(), strict=True):
        if one.ndim > 1:
            np.testing.assert_array_equal(one, two)


def test_random_layers_draw_anew_in_every_step():
    inputs = keras.Input((8,))
    x = layers.Dropout(0.5)(layers.Dense(16)(inputs))
    slim = narrowed(keras.Model(inputs, layers.Dense(4)(x)))
    given = np.ones((4, 8), np.float32)
    one, two = (np.asarray(slim.answer(0.5, given, training=True)) for _ in range(2))

    assert (one != two).any()
    np.testing.assert_array_equal(slim.answer(0.5, given), slim.answer(0.5, given))


def test_the_proof_fails_for_another_network():
    slim = narrowed(randomized(transformer()))
    small = slim.extract(0.5)
    small.layers[-1].bias.assign_add(np.full(4, 0.01))

    with pytest.raises(FailedError, match="width 0.5 differs"):
        slim.prove(0.5, small)


@pytest.mark.parametrize(
    ("shares", "match"),
    [
        ((1.0, 0.25, 0.5), "each below the one before"),
        ((1.0, 0.5, 0.5), "each below the one before"),
        ((1.0,), "at least two"),
        ((0.5, 0.25), "begin with 1.0"),
        ((1.0, 0.5, 0.0), "end above 0"),
        ((1.0, 0.5, 0.45), "0.5 and 0.45 keep the same channels .*round_to"),
        ((1.0, 0.99), "1 and 0.99 keep the same channels"),
    ],
)
def test_widths_that_make_no_sense_are_refused(shares, match):
    with pytest.raises(InputError, match=match):
        narrowed(residual(), shares, round_to=4)


def test_a_network_without_channels_to_leave_is_refused():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4)])

    with pytest.raises(InputError, match="nothing in this network can be narrowed"):
        narrowed(model)
    with pytest.raises(InputError, match="no width 0.3; it has 1, 0.5, 0.25"):
        narrowed(residual()).answer(0.3, np.zeros((1, 8, 8, 3)))


def test_half_precision_is_proven_too():
    keras.utils.set_random_seed(2)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, dtype="mixed_bfloat16", activation="relu")(inputs)
    slim = narrowed(head(inputs, x))

    assert slim.extract(0.5).count_params() < slim.model.count_params()
