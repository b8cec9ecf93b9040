"""Multiplications and activation memory against nets that were counted by hand."""

import keras
import pytest
from keras import layers, ops

from components.cost import cost


def macs_of(layer, *shape):
    """Return the multiplications of one layer on a single input."""
    inputs = keras.Input(shape)
    counted = cost(keras.Model(inputs, layer(inputs)))
    assert counted.unknown == ()
    return counted.macs


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (layers.Dense(5), (7,), 7 * 5),
        (layers.Dense(5), (4, 7), 4 * 7 * 5),
        (layers.Conv2D(6, 3, padding="same"), (8, 8, 4), 64 * 9 * 4 * 6),
        (layers.Conv2D(6, 3, strides=2), (9, 9, 4), 16 * 9 * 4 * 6),
        (layers.Conv2D(6, 3, groups=2, padding="same"), (8, 8, 4), 64 * 9 * 2 * 6),
        (layers.Conv1D(6, 3), (10, 4), 8 * 3 * 4 * 6),
        (layers.Conv2DTranspose(6, 2, strides=2), (4, 4, 3), 16 * 4 * 3 * 6),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 4), 9 * 9 * 8),
        (layers.SeparableConv2D(6, 3, padding="same"), (5, 5, 4), 25 * (9 * 4 + 4 * 6)),
        (layers.SimpleRNN(3), (7, 2), 7 * (2 + 3) * 3),
        (layers.GRU(3), (7, 2), 3 * 7 * (2 + 3) * 3),
        (layers.LSTM(3), (7, 2), 4 * 7 * (2 + 3) * 3),
        (layers.Bidirectional(layers.LSTM(3)), (7, 2), 2 * 4 * 7 * (2 + 3) * 3),
        (layers.BatchNormalization(), (8, 8, 4), 0),
        (layers.MaxPooling2D(), (8, 8, 4), 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_multiplications_of_one_layer(layer, shape, macs):
    assert macs_of(layer, *shape) == macs


def test_attention_projects_and_mixes():
    queries, values = keras.Input((5, 8)), keras.Input((6, 10))
    attended = layers.MultiHeadAttention(2, 4, value_dim=3)(queries, values)
    projections = 5 * 8 * 4 + 6 * 10 * 4 + 6 * 10 * 3 + 5 * 3 * 8
    counted = cost(keras.Model([queries, values], attended))
    assert counted.macs == 2 * (projections + 5 * 6 * (4 + 3))


def test_a_shared_layer_counts_at_each_call_and_a_nested_model_as_its_layers():
    inputs = keras.Input((7,))
    shared = layers.Dense(7, use_bias=False)
    inner = keras.Sequential([keras.Input((7,)), layers.Dense(3), layers.ReLU()])
    counted = cost(keras.Model(inputs, inner(shared(shared(inputs)) + 1)))
    assert counted.macs == 2 * 49 + 21
    assert counted.unknown == ()


def test_what_is_unknown_is_named():
    class Odd(layers.Layer):
        def call(self, x):
            return x * 2

    class Add(layers.Layer):
        def call(self, x):
            return x @ ops.ones((3, 3))

    inputs = keras.Input((3,))
    inner = keras.Model(inputs, Odd(name="inner_odd")(inputs), name="inner")
    outside = keras.Input((3,))
    x = Add(name="not_the_sum")(Odd(name="odd")(inner(outside)))
    counted = cost(keras.Model(outside, layers.Dense(2)(ops.einsum("bi->bi", x))))
    assert counted.macs == 6
    inside, *others = counted.unknown
    assert inside == "inner/inner_odd (Odd)"
    assert others[:2] == ["odd (Odd)", "not_the_sum (Add)"]
    assert others[2].endswith("(Einsum)")


def test_a_size_that_the_input_decides_is_named():
    inputs = keras.Input((None, 4))
    counted = cost(keras.Model(inputs, layers.Conv1D(2, 3, name="words")(inputs)))
    assert counted.macs == 0
    assert counted.peak_activation_bytes is None
    assert counted.unknown == ("words (Conv1D), whose input has no fixed size",)


def test_memory_is_what_lives_at_one_moment():
    """A residual block: the skip lives on while the branch is computed."""
    inputs = keras.Input((8, 8, 2), dtype="uint8")  # 128 bytes
    x = layers.Rescaling(1 / 255)(inputs)  # 512
    y = layers.Conv2D(4, 3, padding="same")(x)  # 1,024
    y = layers.ReLU()(y)  # in its place
    y = layers.Conv2D(2, 3, padding="same")(y)  # 512
    z = layers.Add()([x, y])  # 512
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(z))
    assert cost(model).peak_activation_bytes == 512 + 1_024 + 512
    assert cost(model).macs == 64 * 9 * (2 * 4 + 4 * 2)


def test_in_place_only_where_nobody_needs_the_input():
    inputs = keras.Input((100,))  # 400 bytes
    alone = keras.Model(inputs, layers.ReLU()(inputs))
    assert cost(alone).peak_activation_bytes == 400
    both = keras.Model(inputs, layers.Concatenate()([layers.ReLU()(inputs), inputs]))
    assert cost(both).peak_activation_bytes == 400 + 400 + 800


def test_memory_inside_a_nested_model_counts():
    inner_inputs = keras.Input((10,))
    inner = keras.Model(inner_inputs, layers.Dense(10)(layers.Dense(100)(inner_inputs)))
    inputs = keras.Input((10,))
    model = keras.Model(inputs, layers.Add()([inner(inputs), inner(inputs)]))
    # The second call: its own 40 + 400 bytes, and the first call's result.
    assert cost(model).peak_activation_bytes == 440 + 40


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "millions", "published"),
    [("MobileNetV2", 300.774272, 300), ("ResNet50", 3_857.973248, 3_800)],
)
def test_published_networks_cost_what_their_papers_say(name, millions, published):
    counted = cost(getattr(keras.applications, name)(weights=None))
    assert counted.unknown == ()
    assert counted.macs == millions * 1e6
    assert counted.macs == pytest.approx(published * 1e6, rel=0.02)
