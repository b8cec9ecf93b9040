"""Networks of every shape that the walk of a channel graph claims to understand."""

import keras
import numpy as np
from keras import layers, ops

from components.models.text import HashedBigrams, KnownWords, MeanOfWords
from components.prune.keras_graph import functional, leaves


def head(inputs, x, pool=layers.GlobalAveragePooling2D):
    return keras.Model(inputs, layers.Dense(4)(pool()(x)))


def residual():
    inputs = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    y = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(8, 3, padding="same")(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Conv2D(16, 3, strides=2)(x)
    return head(inputs, x)


def concatenated():
    inputs = keras.Input((8, 8, 3))
    one = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    two = layers.SeparableConv2D(8, 3, padding="same", depth_multiplier=2)(one)
    x = layers.Concatenate()([one, two])
    x = layers.SeparableConv2D(12, 3)(x)
    return head(inputs, x, layers.GlobalMaxPooling2D)


def added_to_concatenated():
    """The sum couples two convolutions that the concatenation put side by side with a third."""
    inputs = keras.Input((8, 8, 3))
    one, two = (layers.Conv2D(width, 3)(inputs) for width in (4, 8))
    x = layers.Add()([layers.Concatenate()([one, two]), layers.Conv2D(12, 3)(inputs)])
    return head(inputs, x)


def depthwise():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1)(inputs)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Add()([x, y])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)
    return head(inputs, x)


def shared_layer():
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    convolution, norm = layers.Conv2D(8, 3), layers.BatchNormalization()
    one, two = norm(convolution(left)), norm(convolution(right))
    x = layers.Subtract()([one, two])
    x = layers.Conv2D(12, 3, activation="relu")(x)
    x = layers.Dense(4)(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"left": left, "right": right}, x)


def vgg_flatten():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(4),
        ]
    )


def squeeze_and_excite():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3)(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Dense(8, activation="relu")(gate)
    gate = layers.Dense(8, activation="sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    return head(inputs, x)


def squeeze_by_reshape():
    """The form of EfficientNet: pooled to a vector, reshaped to one pixel."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="swish")(inputs)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(4, 1, activation="swish")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(gate)
    return head(inputs, layers.Multiply()([x, gate]))


def conv1d_text():
    ids = keras.Input((12,), dtype="int32")
    x = layers.Embedding(50, 8)(ids)
    x = layers.Conv1D(12, 3, activation="relu")(x)
    x = layers.SeparableConv1D(8, 3)(x)
    x = layers.MaxPooling1D(2)(layers.DepthwiseConv1D(2)(x))
    return head(ids, x, layers.GlobalMaxPooling1D)


def averaged_words():
    ids = keras.Input((12,), dtype="int32")
    words = KnownWords(40)(ids)
    x = MeanOfWords()(layers.Embedding(50, 8)(words), words)
    pairs = HashedBigrams(30)(words)
    y = MeanOfWords()(layers.Embedding(31, 8)(pairs), pairs)
    return keras.Model(ids, layers.Dense(4)(layers.Concatenate()([x, y])))


def transposed():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
    x = layers.Conv2DTranspose(12, 3, strides=2, activation="relu")(x)
    return keras.Model(inputs, layers.Conv2D(4, 1)(x))


def transformer():
    """Frozen stream (LayerNorm), prunable heads and feed-forward."""
    inputs = keras.Input((6, 8))
    x = layers.MultiHeadAttention(4, 4)(inputs, inputs)
    x = layers.LayerNormalization()(layers.Add()([inputs, x]))
    y = layers.Dense(16, activation="gelu")(x)
    x = layers.Add()([x, layers.Dense(8)(y)])
    return head(inputs, x, layers.GlobalAveragePooling1D)


def attention_without_norm():
    """No norm: the stream itself is prunable, and the heads of cross-attention with it."""
    inputs = keras.Input((6, 8))
    memory = layers.Dense(12)(inputs)
    x = layers.Dense(8)(inputs)
    y = layers.MultiHeadAttention(4, 3, value_dim=5, use_gate=True)(x, memory, use_causal_mask=True)
    y = layers.Add()([x, y])
    y = layers.MultiHeadAttention(2, 3, output_shape=10, use_bias=False)(y, memory, key=x)
    return head(inputs, y, layers.GlobalAveragePooling1D)


def grouped_query_attention():
    inputs = keras.Input((6, 8))
    x = layers.Dense(8)(inputs)
    x = layers.GroupQueryAttention(4, 6, 3, use_gate=True)(x, x)
    return head(inputs, x, layers.GlobalAveragePooling1D)


def recurrent():
    ids = keras.Input((7,), dtype="int32")
    x = layers.Embedding(30, 8, mask_zero=True)(ids)
    x = layers.LSTM(8, return_sequences=True)(x)
    x = layers.GRU(12, return_sequences=True)(x)
    x, state = layers.GRU(8, reset_after=False, return_sequences=True, return_state=True)(x)
    y = layers.SimpleRNN(8)(x, initial_state=state)
    return keras.Model(ids, layers.Dense(4)(y))


def bidirectional():
    ids = keras.Input((7,), dtype="int32")
    x = layers.Embedding(30, 8)(ids)
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
    backward = layers.GRU(6, go_backwards=True, return_sequences=True)
    x = layers.Bidirectional(
        layers.GRU(6, return_sequences=True), backward_layer=backward, merge_mode="sum"
    )(x)
    x = layers.TimeDistributed(layers.Dense(8, activation="relu"))(x)
    return head(ids, x, layers.GlobalAveragePooling1D)


def normalised():
    """Norms that keep channels apart: instance norm, blocks of two, LayerNorm over positions."""
    inputs = keras.Input((8, 8, 3))
    x = layers.PReLU()(layers.Conv2D(8, 3, padding="same")(inputs))
    x = layers.GroupNormalization(groups=-1)(x)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.GroupNormalization(groups=4)(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.LayerNormalization(axis=(1, 2))(layers.Conv2D(12, 3)(x))
    return head(inputs, x)


def generator():
    """Units that become positions and channels; padding, cropping, upsampling, noise."""
    inputs = keras.Input((5,))
    x = layers.Dense(3 * 3 * 8, activation="leaky_relu")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Reshape((3, 3, 8))(x)
    x = layers.UpSampling2D()(layers.GaussianNoise(0.1)(x))
    x = layers.Cropping2D(1)(layers.ZeroPadding2D(2)(layers.Conv2D(12, 3)(x)))
    x = layers.Permute((2, 1, 3))(layers.AveragePooling2D(2)(x))
    x = layers.Conv1D(8, 3)(layers.Reshape((-1, 12))(x))
    return keras.Model(inputs, layers.Conv1D(4, 1)(x))


def plain_ops():
    """Operators and keras.ops instead of layers."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    x = ops.relu(x) * 0.5 + x
    x = ops.maximum(x, layers.Conv2D(8, 1)(inputs)) - 1.0
    x = ops.mean(layers.Rescaling(2.0)(x), axis=(1,))[:, 2]
    return keras.Model(inputs, layers.Dense(4)(x))


def merged():
    inputs = keras.Input((8, 8, 3))
    a, b, c = (layers.Conv2D(8, 3, activation=name)(inputs) for name in ("elu", "tanh", "mish"))
    x = layers.Average()([a, layers.Maximum()([b, c])])
    x = layers.Concatenate(axis=1)([x, layers.Minimum()([a, c])])
    attention = layers.Conv2D(1, 1, activation="sigmoid")(x)
    return head(inputs, layers.Multiply()([layers.Conv2D(8, 1)(x), attention]))


def block(width, name):
    inputs = keras.Input((None, None, width))
    x = layers.Conv2D(12, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(width, 3, padding="same")(x)
    return keras.Model(inputs, layers.Add()([inputs, x]), name=name)


def nested():
    """A residual block called twice, and a Sequential that holds another one."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1)(inputs)
    twice = block(8, "twice")
    x = twice(layers.ReLU()(twice(x)))
    inner = keras.Sequential([layers.Conv2D(8, 3), layers.BatchNormalization()], name="inner")
    outer = keras.Sequential([layers.ReLU(), inner, layers.Conv2D(12, 3)], name="outer")
    return head(inputs, outer(x))


def nested_two_inputs():
    left, right = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    joined = layers.Dense(12, activation="relu")(layers.Concatenate()([left, right]))
    join = keras.Model({"a": left, "b": right}, [joined, layers.Add()([left, right])], name="join")
    inputs = keras.Input((5,))
    x, y = join({"a": layers.Dense(8)(inputs), "b": layers.Dense(8)(inputs)})
    return keras.Model(inputs, [layers.Dense(4, name="one")(x), layers.Dense(2, name="two")(y)])


def volumes():
    inputs = keras.Input((6, 6, 6, 2))
    x = layers.Conv3D(8, 3, activation="silu")(inputs)
    x = layers.Conv3DTranspose(8, 2)(layers.MaxPooling3D(2)(x))
    return head(inputs, x, layers.GlobalAveragePooling3D)


NETWORKS = [
    residual,
    concatenated,
    added_to_concatenated,
    depthwise,
    shared_layer,
    vgg_flatten,
    squeeze_and_excite,
    squeeze_by_reshape,
    conv1d_text,
    averaged_words,
    transposed,
    transformer,
    attention_without_norm,
    grouped_query_attention,
    recurrent,
    bidirectional,
    normalised,
    generator,
    plain_ops,
    merged,
    nested,
    nested_two_inputs,
    volumes,
]


def input_shapes(model):
    return keras.tree.map_structure(lambda one: one.shape, functional(model).input)


def randomized(model, seed=0):
    """Give every weight (BatchNorm statistics too) a value that a mistake would show."""
    generator = np.random.default_rng(seed)
    for _, layer in leaves(model):
        values = [generator.uniform(0.2, 1.0, one.shape) for one in layer.weights]
        if not isinstance(layer, layers.BatchNormalization):
            values = [one - 0.6 for one in values]
        layer.set_weights(values)
    return model
