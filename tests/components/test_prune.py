"""Graph surgery on networks of every shape that the walk claims to understand."""

import keras
import numpy as np
import pytest
from keras import layers

from components.models.text import HashedBigrams, KnownWords, MeanOfWords
from components.prune.criteria import l1_in_out
from components.prune.keras_graph import calls, functional
from components.prune.surgery import choose, mask, prove_equal, shrink
from components.prune.walk import channel_graph
from schemas.errors import FailedError, InputError


def residual():
    inputs = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    y = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(8, 3, padding="same")(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Conv2D(16, 3, strides=2)(x)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def concatenated():
    inputs = keras.Input((8, 8, 3))
    one = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    two = layers.SeparableConv2D(8, 3, padding="same", depth_multiplier=2)(one)
    x = layers.Concatenate()([one, two])
    x = layers.SeparableConv2D(12, 3)(x)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalMaxPooling2D()(x)))


def depthwise():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1)(inputs)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Add()([x, y])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


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
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def conv1d_text():
    ids = keras.Input((12,), dtype="int32")
    x = layers.Embedding(50, 8)(ids)
    x = layers.Conv1D(12, 3, activation="relu")(x)
    return keras.Model(ids, layers.Dense(4)(layers.GlobalMaxPooling1D()(x)))


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


def transformer_feed_forward():
    inputs = keras.Input((6, 8))
    x = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    x = layers.LayerNormalization()(layers.Add()([inputs, x]))
    y = layers.Dense(16, activation="gelu")(x)
    x = layers.Add()([x, layers.Dense(8)(y)])
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


def input_shapes(model):
    return keras.tree.map_structure(lambda one: one.shape, functional(model).input)


NETWORKS = [
    residual,
    concatenated,
    depthwise,
    shared_layer,
    vgg_flatten,
    squeeze_and_excite,
    conv1d_text,
    averaged_words,
    transposed,
    transformer_feed_forward,
]


def randomized(model, seed=0):
    """Give every weight (BatchNorm statistics too) a value that a mistake would show."""
    generator = np.random.default_rng(seed)
    model.set_weights([generator.uniform(0.2, 1.0, one.shape) for one in model.get_weights()])
    for layer in model.layers:
        if not isinstance(layer, layers.BatchNormalization):
            layer.set_weights([one - 0.6 for one in layer.get_weights()])
    return model


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_shrunk_network_equals_masked_network(build):
    keras.utils.set_random_seed(0)
    model = randomized(build())
    graph = channel_graph(model)
    removed = choose(graph, l1_in_out(model, graph), ratio=0.5, floor=0.2, round_to=1)

    assert len(removed) == int(0.5 * len(graph.prunable())) > 0
    before = model.get_weights()
    small = shrink(model, graph, removed)

    assert small.count_params() < model.count_params()
    assert prove_equal(mask(model, graph, removed), small, seed=3) < 1e-5
    assert [one.name for one in small.layers] == [one.name for one in model.layers]
    assert input_shapes(small) == input_shapes(model)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_single_groups_can_leave():
    model = randomized(residual())
    graph = channel_graph(model)

    for group in graph.prunable()[::6]:
        small = shrink(model, graph, {group})
        prove_equal(mask(model, graph, {group}), small, seed=group)


def test_proof_fails_for_another_network():
    model = randomized(residual())
    graph = channel_graph(model)
    one, two = graph.prunable()[:2]

    with pytest.raises(FailedError, match="must answer like the masked one"):
        prove_equal(mask(model, graph, {one}), shrink(model, graph, {two}), seed=0)


def test_residual_stream_is_one_group_per_channel():
    graph = channel_graph(residual())
    streams = [graph.groups(atoms).tolist() for atoms in graph.produced.values()]

    assert streams[0] == streams[2]
    assert not set(streams[0]) & set(streams[1])
    assert len(graph.prunable()) == 8 + 12 + 16


def test_outputs_and_inputs_are_frozen():
    graph = channel_graph(keras.Sequential([keras.Input((5,)), layers.Dense(4)]))

    assert graph.prunable() == []


def test_removing_nothing_changes_nothing():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
    graph = channel_graph(model)
    removed = choose(graph, l1_in_out(model, graph), ratio=0.9, floor=0.2, round_to=4)

    assert removed == set()
    assert prove_equal(model, shrink(model, graph, removed), seed=0) == 0


def nested():
    inner = keras.Sequential([keras.Input((8, 8, 8)), layers.Conv2D(8, 3)], name="inner")
    inputs = keras.Input((8, 8, 3))
    x = inner(layers.Conv2D(8, 1, name="before")(inputs))
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


def grouped():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(layers.Conv2D(8, 3)(inputs))
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


def layer_norm():
    inputs = keras.Input((8, 8, 3))
    x = layers.LayerNormalization(name="norm")(layers.Conv2D(8, 3)(inputs))
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


def softmax_gate():
    inputs = keras.Input((5,))
    x = layers.Dense(8, activation="softmax")(inputs)
    return keras.Model(inputs, layers.Dense(4)(x))


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (nested, ["inner (Sequential)"]),
        (grouped, ["grouped (Conv2D)"]),
        (layer_norm, ["norm (LayerNormalization)"]),
        (softmax_gate, []),
    ],
)
def test_what_is_not_understood_freezes_its_inputs(build, named):
    model = build()
    graph = channel_graph(model)

    assert graph.unknown == named
    assert graph.prunable() == []
    assert shrink(model, graph, set()).count_params() == model.count_params()


def test_floor_rounding_and_ratio():
    model = residual()
    graph = channel_graph(model)
    prunable = graph.prunable()
    scores = {group: float(rank) for rank, group in enumerate(prunable)}

    removed = choose(graph, scores, ratio=0.9, floor=0.5, round_to=4)

    widths = {
        name: len(set(graph.groups(atoms).tolist()) - removed)
        for name, atoms in graph.produced.items()
        if set(graph.groups(atoms).tolist()) <= set(prunable)
    }
    assert sorted(widths.values()) == [4, 4, 8, 8]


def test_lowest_scores_leave_first():
    model = residual()
    graph = channel_graph(model)
    scores = {group: float(group % 7) for group in graph.prunable()}

    removed = choose(graph, scores, ratio=0.25, floor=0.1, round_to=1)

    assert max(scores[one] for one in removed) <= min(
        scores[one] for one in graph.prunable() if one not in removed
    )


def test_l1_prefers_the_channel_that_nothing_uses():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(6), layers.Dense(4)])
    first, second = model.layers
    kernel, bias = first.get_weights()
    kernel[:, 2] = 0.001
    first.set_weights([kernel, bias])
    kernel, bias = second.get_weights()
    kernel[2] = 0.001
    second.set_weights([kernel, bias])
    graph = channel_graph(model)
    scores = l1_in_out(model, graph)

    assert min(graph.prunable(), key=scores.get) == graph.produced[first.name][2]


def test_private_graph_reading_sees_every_call_in_order():
    model = shared_layer()
    found = calls(model)
    kinds = [type(call.operation).__name__ for call in found]

    assert kinds.count("Conv2D") == 3
    assert kinds.count("InputLayer") == 2
    seen = set()
    for call in found:
        assert {one.key for one in call.inputs} <= seen
        seen |= {one.key for one in call.outputs}


def test_subclassed_model_is_refused():
    class Opaque(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(InputError, match="Functional"):
        channel_graph(Opaque())
