"""Graph surgery on networks of every shape that the walk claims to understand."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from components.prune import Limits, channel_graph, choose, cut, fresh, recalibrate, scores
from components.prune.keras_graph import calls, leaves
from components.prune.surgery import in_float32, mask, prove_equal, random_inputs, shrink
from schemas.errors import FailedError, InputError
from tests.components.prune_networks import (
    NETWORKS,
    head,
    input_shapes,
    randomized,
    residual,
    shared_layer,
)


def answers(model, inputs):
    found = keras.tree.flatten(model(inputs, training=False))
    return np.concatenate([np.asarray(one).ravel() for one in found])


def half_of(model, graph, criterion="l1_in_out"):
    limits = Limits(floor=0.1, round_to=1)
    return choose(graph, scores(model, graph, criterion), ratio=0.5, limits=limits)


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_shrunk_network_equals_masked_network(build):
    keras.utils.set_random_seed(0)
    model = randomized(build())
    graph = channel_graph(model)
    removed = half_of(model, graph)
    before = model.get_weights()

    done = cut(model, graph, removed, seed=3)

    small = done.model
    assert len(removed) == int(0.5 * len(graph.prunable())) > 0
    assert small.count_params() < model.count_params()
    assert done.difference < 1e-5
    inputs = random_inputs(model, seed=3, examples=16)
    whole, masked = answers(model, inputs), answers(mask(model, graph, removed), inputs)
    assert np.abs(whole - masked).max() > 0.01 * np.abs(whole).max()  # the proof proves something
    assert [path for path, _ in leaves(small)] == [path for path, _ in leaves(model)]
    assert input_shapes(small) == input_shapes(model)
    widths = {name: after for name, (_, after) in done.widths.items()}
    assert {name: one for name, (one, _) in channel_graph(small).widths().items()} == widths
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_shrunk_network_survives_a_file(build, tmp_path):
    model = randomized(build())
    graph = channel_graph(model)
    small = shrink(model, graph, half_of(model, graph, "random"))
    small.save(tmp_path / "small.keras")
    again = keras.saving.load_model(tmp_path / "small.keras")
    inputs = random_inputs(small, seed=0, examples=4)

    np.testing.assert_array_equal(answers(small, inputs), answers(again, inputs))


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
    removed = half_of(model, graph)

    assert removed == set()
    assert prove_equal(model, shrink(model, graph, removed), seed=0) == 0


def grouped():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(layers.Conv2D(8, 3)(inputs))
    return head(inputs, x)


def channels_first():
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(8, 1)(layers.Permute((2, 3, 1))(inputs))
    x = layers.Permute((3, 2, 1), name="turn")(x)
    return keras.Model(inputs, layers.Conv2D(4, 1, data_format="channels_first", name="first")(x))


def after_convolution(*more):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3)(inputs)
    for layer in more:
        x = layer(x)
    return head(inputs, x)


def softmax_gate():
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(4)(layers.Dense(8, activation="softmax")(inputs)))


def scores_returned():
    inputs = keras.Input((6, 8))
    x, attention = layers.MultiHeadAttention(2, 4, name="mha")(
        inputs, inputs, return_attention_scores=True
    )
    return keras.Model(inputs, [layers.Dense(4)(x), attention])


def heads_masked():
    inputs, allowed = keras.Input((6, 8)), keras.Input((2, 6, 6))
    x = layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs, attention_mask=allowed)
    return keras.Model([inputs, allowed], layers.Dense(4)(x))


def held_by_two_models():
    dense = layers.Dense(8, name="dense")
    one = keras.Sequential([keras.Input((8,)), dense], name="one")
    two = keras.Sequential([keras.Input((8,)), dense], name="two")
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(4)(two(one(inputs))))


def stateful():
    inputs = keras.Input(batch_shape=(16, 6, 8))
    return keras.Model(inputs, layers.Dense(4)(layers.LSTM(8, stateful=True, name="rnn")(inputs)))


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (grouped, {"grouped (Conv2D)": "grouped convolution"}),
        (channels_first, {"turn (Permute)": "another axis", "first (Conv2D)": "channels_first"}),
        (
            lambda: after_convolution(layers.LayerNormalization(name="norm")),
            {"norm (LayerNormalization)": "each depends on all"},
        ),
        (
            lambda: after_convolution(layers.GroupNormalization(groups=1, name="norm")),
            {"norm (GroupNormalization)": "each depends on all"},
        ),
        (
            lambda: after_convolution(layers.Softmax(name="soft")),
            {"soft (Softmax)": "softmax couples"},
        ),
        (
            lambda: after_convolution(layers.Activation("log_softmax", name="soft")),
            {"soft (Activation)": "log_softmax couples"},
        ),
        (
            lambda: after_convolution(layers.Rescaling([1.0] * 8, name="scale")),
            {"scale (Rescaling)": "fixed number for each channel"},
        ),
        (
            lambda: after_convolution(layers.Normalization(name="data")),
            {"data (Normalization)": "fixed numbers for each channel"},
        ),
        (
            lambda: after_convolution(layers.Lambda(lambda x: x[..., ::-1], name="mystery")),
            {"mystery (Lambda)": "no rule"},
        ),
        (
            lambda: after_convolution(lambda x: x * np.arange(8, dtype="float32")),
            {"multiply": "an operand is an array"},
        ),
        (softmax_gate, {"dense": "softmax couples"}),
        (scores_returned, {"mha (MultiHeadAttention)": "scores"}),
        (heads_masked, {"mha (MultiHeadAttention)": "axis of heads"}),
        (held_by_two_models, {"two/dense (Dense)": "two models"}),
        (stateful, {"rnn (LSTM)": "state between batches"}),
    ],
)
def test_what_is_not_understood_is_frozen_and_named(build, named):
    model = build()
    graph = channel_graph(model)

    assert len(graph.frozen_by) == len(named)
    for name, reason in named.items():
        told = [why for who, why in graph.frozen_by.items() if who.startswith(name)]
        assert told
        assert reason in told[0]
    assert graph.prunable() == []
    assert cut(model, graph, set(), seed=0).difference == 0


def test_a_layer_refused_once_is_refused_at_every_call():
    """Its kernel has one input axis: what one call cannot lose, no call can."""

    def build(order):
        inputs = keras.Input((6, 8))
        shared = layers.Dense(8, name="shared")
        free = layers.Dense(8)(inputs)
        fixed = layers.LayerNormalization()(layers.Dense(8)(inputs))
        parts = {"free": free, "fixed": fixed}
        x = layers.Add()([shared(parts[name]) for name in order])
        return keras.Model(inputs, layers.Dense(4)(x))

    for order in (["free", "fixed"], ["fixed", "free"]):
        model = randomized(build(order))
        graph = channel_graph(model)
        assert len(graph.prunable()) == 8  # what the shared layer makes, not what it reads
        cut(model, graph, half_of(model, graph), seed=0)


@keras.saving.register_keras_serializable("test_prune")
class Doubled(layers.Layer):
    """A layer of the user's own."""

    def call(self, inputs):
        return 2 * inputs


class Unregistered(Doubled):
    """One that Keras could not load from a file."""


def test_own_layers_are_rebuilt_registered_or_not():
    model = randomized(after_convolution(Doubled(), Unregistered()))
    graph = channel_graph(model)

    assert [name.split(" ")[1] for name in graph.frozen_by] == ["(Doubled)"]
    cut(model, graph, set(), seed=0)


def test_statistics_of_the_data_are_kept():
    inputs = keras.Input((8,))
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).normal(3, 5, (100, 8)))
    model = keras.Model(inputs, layers.Dense(4)(layers.Dense(8)(norm(inputs))))
    graph = channel_graph(model)
    small = cut(model, graph, half_of(model, graph), seed=0).model

    np.testing.assert_allclose(small.layers[1].mean, norm.mean)
    twin = fresh(small)
    np.testing.assert_allclose(twin.layers[1].mean, norm.mean)
    assert not np.allclose(twin.layers[2].kernel, small.layers[2].kernel)


def test_ids_as_floats_and_rows_from_an_array():
    rows = np.random.default_rng(0).normal(size=(20, 8))
    inputs = keras.Input((6,))
    x = layers.Embedding(20, 8, embeddings_initializer=keras.initializers.Constant(rows))(inputs)
    model = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))
    graph = channel_graph(model)
    small = cut(model, graph, half_of(model, graph), seed=0).model

    assert small.layers[1].output_dim == 4
    assert np.abs(fresh(small).layers[1].embeddings).sum() > 0


def test_strings_cannot_be_drawn():
    inputs = keras.Input((1,), dtype="string", name="words")
    x = layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot")(inputs)
    model = keras.Model(inputs, layers.Dense(4)(layers.Dense(8)(x)))

    with pytest.raises(InputError, match="input words takes strings"):
        cut(model, channel_graph(model), set(), seed=0)


def test_half_precision_is_proven_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomized(residual())
    finally:
        keras.config.set_dtype_policy("float32")
    graph = channel_graph(model)
    done = cut(model, graph, half_of(model, graph), seed=0)

    assert done.difference < 1e-5
    assert {layer.compute_dtype for layer in done.model.layers[1:]} == {"bfloat16"}
    wide = in_float32(done.model)
    assert {layer.compute_dtype for layer in wide.layers} == {"float32"}


def test_recalibration_gives_the_mean_over_the_batches():
    inputs = keras.Input((4,))
    inner = keras.Sequential([layers.BatchNormalization()], name="inner")
    model = keras.Model(inputs, inner(inputs))
    rows = np.random.default_rng(0).normal(2, 3, (60, 4)).astype("float32")
    norm = inner.layers[0]
    gamma = norm.gamma.numpy()
    recalibrate(model, [rows[:20], (rows[20:40], "labels"), rows[40:]])

    np.testing.assert_allclose(norm.moving_mean, rows.mean(0), rtol=1e-5)
    variances = [rows[i : i + 20].var(0) for i in (0, 20, 40)]
    np.testing.assert_allclose(norm.moving_variance, np.mean(variances, 0), rtol=1e-4)
    np.testing.assert_array_equal(norm.gamma, gamma)
    assert norm.momentum == 0.99


WIDTHS = st.sampled_from([4, 6, 8])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["conv", "residual", "concat", "depthwise", "shared", "norm", "gate", "nested"]
        ),
        WIDTHS,
    ),
    min_size=2,
    max_size=5,
)


def grown(steps):
    """Build a network step by step; ``shared`` calls the last convolution's layer again."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(steps[0][1], 1)(inputs)
    for kind, width in steps:
        depth = x.shape[-1]
        if kind == "conv":
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        elif kind == "residual":
            y = layers.Conv2D(width, 3, padding="same", activation="elu")(x)
            x = layers.Add()([x, layers.Conv2D(depth, 1)(y)])
        elif kind == "concat":
            x = layers.Concatenate()([x, layers.Conv2D(width, 1)(x)])
        elif kind == "depthwise":
            x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + width // 8)(x)
        elif kind == "shared":
            shared = layers.Conv2D(depth, 1, activation="tanh")
            x = layers.Subtract()([shared(x), shared(shared(x))])
        elif kind == "norm":
            x = layers.ReLU()(layers.BatchNormalization()(x))
        elif kind == "gate":
            gate = layers.Dense(width, activation="relu")(layers.GlobalAveragePooling2D()(x))
            gate = layers.Reshape((1, 1, depth))(layers.Dense(depth, activation="sigmoid")(gate))
            x = layers.Multiply()([x, gate])
        else:
            inside = keras.Sequential([layers.Conv2D(width, 1), layers.ReLU()])
            x = inside(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=STEPS, seed=st.integers(0, 9), ratio=st.sampled_from([0.2, 0.5, 0.8]))
def test_surgery_is_exact_on_generated_networks(steps, seed, ratio):
    model = randomized(grown(steps), seed)
    graph = channel_graph(model)
    removed = choose(
        graph,
        scores(model, graph, "random", seed=seed),
        ratio=ratio,
        limits=Limits(floor=0.1, round_to=1),
    )

    assert graph.frozen_by == {}
    assert removed
    assert cut(model, graph, removed, seed=seed).difference < 1e-5


def test_answers_that_are_all_tiny_prove_something_too():
    model = randomized(residual())
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 1e-9, bias * 1e-9])
    graph = channel_graph(model)
    one, two = graph.prunable()[:2]

    with pytest.raises(FailedError, match="must answer like the masked one"):
        prove_equal(mask(model, graph, {one}), shrink(model, graph, {two}), seed=0)


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
