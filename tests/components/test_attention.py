"""Attention maps: by hand, matched by size, and in a training step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from components.attention import (
    attention_distance,
    attention_map,
    feature_maps,
    last_of_each_size,
    pairs_of,
    watched,
)
from schemas.errors import InputError


def network(width, *, prefix="", nested=False):
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255, name=f"{prefix}scaled")(inputs)
    x = layers.Conv2D(width, 3, padding="same", name=f"{prefix}first")(x)
    x = layers.ReLU(name=f"{prefix}first_relu")(x)
    shared = layers.ReLU(name=f"{prefix}twice")
    x = layers.Add(name=f"{prefix}both")([shared(x), shared(layers.BatchNormalization()(x))])
    if nested:
        inside = keras.Sequential([keras.Input((8, 8, width)), layers.Conv2D(4, 3)], name="inside")
        x = inside(x)
    else:
        x = layers.Conv2D(width, 3, strides=2, padding="same", name=f"{prefix}second")(x)
    x = layers.GlobalAveragePooling2D(name=f"{prefix}pool")(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def test_maps_by_hand():
    features = tf.constant([[[[1.0, 1.0], [0.0, 2.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    # Means of squares over channels: (1, 2), and nothing at all.
    expected = [[1 / 5**0.5, 2 / 5**0.5], [0, 0]]
    assert attention_map(features).numpy() == pytest.approx(np.array(expected), abs=1e-6)
    assert attention_map(-7 * features).numpy() == pytest.approx(np.array(expected), abs=1e-6)


def test_distance_by_hand():
    teacher = [tf.constant([[1.0, 0.0], [0.6, 0.8]]), tf.constant([[1.0], [1.0]])]
    student = [tf.constant([[0.0, 1.0], [0.6, 0.8]]), tf.constant([[0.5], [1.0]])]
    distance = attention_distance(teacher, student).numpy()
    assert distance == pytest.approx([0.5 * (2 + 0.25), 0.0])


def test_feature_maps_are_weighed_have_positions_and_one_call():
    found = feature_maps(network(4))
    names = [name for name in found if not name.startswith("batch")]
    assert names == ["first", "first_relu", "both", "second"]
    assert last_of_each_size(found) == {"both": (8, 8), "second": (4, 4)}
    assert feature_maps(network(4, nested=True))["inside"] == (6, 6)
    assert feature_maps(keras.Sequential([keras.Input((5, 3)), layers.Conv1D(2, 2, name="c")])) == {
        "c": (4,)
    }


def test_pairs_are_the_last_of_each_common_size():
    teacher, student = feature_maps(network(8)), feature_maps(network(4, prefix="s_"))
    assert pairs_of(teacher, student) == [("both", "s_both"), ("second", "s_second")]
    assert pairs_of({"one": (8, 8), "two": (3, 3)}, student) == [("one", "s_both")]
    named = [("first", "s_first_relu")]
    assert pairs_of(teacher, student, named) == named


@pytest.mark.parametrize(
    ("named", "match"),
    [
        ([("frst", "s_first")], "feature map of the teacher 'frst'. Did you mean 'first'"),
        ([("first", "s_twice")], "feature map of the student 's_twice'"),
        ([("first", "s_second")], r"\(8, 8\) and 's_second' of the student \(4, 4\)"),
    ],
)
def test_pairs_that_cannot_be_compared(named, match):
    teacher, student = feature_maps(network(8)), feature_maps(network(4, prefix="s_"))
    with pytest.raises(InputError, match=match):
        pairs_of(teacher, student, named)
    with pytest.raises(InputError, match="set attention to 0"):
        pairs_of({"one": (7, 7)}, student)


def test_watching_changes_nothing():
    model = network(4)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    more = watched(model, ["both", "second"])
    logits, both, second = more(images, training=False)
    assert np.array_equal(logits, model(images, training=False))
    assert (both.shape, second.shape) == ((3, 8, 8, 4), (3, 4, 4, 4))
    assert [id(one) for one in more.trainable_variables] == [
        id(one) for one in model.trainable_variables
    ]


def test_gradients_of_a_dead_map_stay_numbers():
    features = tf.Variable(tf.zeros((1, 2, 2, 3)))
    with tf.GradientTape() as tape:
        distance = attention_distance([tf.constant([[1.0, 0, 0, 0]])], [attention_map(features)])
    assert np.isfinite(tape.gradient(distance, features).numpy()).all()
