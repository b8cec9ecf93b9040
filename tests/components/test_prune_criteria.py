"""What the criteria call unimportant, sensitivity of layers, and schedules in rounds."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from components.prune import (
    CRITERIA,
    Limits,
    channel_graph,
    choose,
    cut,
    heuristic,
    iterative,
    mask,
    scores,
    sensitivity,
)
from schemas.errors import InputError
from tests.components.prune_networks import conv1d_text, randomized, residual


def mlp():
    """Hidden unit 2 is weak on its way in, 3 on its way out, 4 in its norm, 5 for the labels."""
    inputs = keras.Input((5,))
    x = layers.Dense(8, name="hidden")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits")(layers.ReLU()(x)))
    generator = np.random.default_rng(0)
    kernel = generator.uniform(0.5, 1.5, (5, 8)) * generator.choice([-1, 1], (5, 8))
    kernel[:, 2] *= 0.01
    outer = generator.uniform(0.5, 1.5, (8, 3)) * generator.choice([-1, 1], (8, 3))
    outer[3] *= 0.01
    outer[5] = 0.7  # moves all logits alike: no effect on the loss
    gamma = np.ones(8)
    gamma[4] = 0.05
    model.get_layer("hidden").set_weights([kernel, generator.normal(size=8)])
    model.get_layer("norm").set_weights([gamma, np.full(8, 0.3), np.zeros(8), np.ones(8)])
    model.get_layer("logits").set_weights([outer, np.zeros(3)])
    return model


def rows(count=96, size=16):
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(count, 5)).astype("float32")
    labels = generator.integers(0, 3, count)
    return [
        (tf.constant(inputs[i : i + size]), tf.constant(labels[i : i + size]))
        for i in range(0, count, size)
    ]


@pytest.mark.parametrize(
    ("criterion", "weakest"),
    [("l1", 2), ("l2", 2), ("bn_gamma", 4), ("taylor", 5), ("l1_in_out", 3)],
)
def test_criteria_find_the_weakest(criterion, weakest):
    model = mlp()
    if criterion == "l1_in_out":
        kernel, bias = model.get_layer("hidden").get_weights()
        kernel[:, 3] *= 0.01
        model.get_layer("hidden").set_weights([kernel, bias])
    graph = channel_graph(model)
    found = scores(model, graph, criterion, batches=rows())

    assert set(found) >= set(graph.prunable())
    assert min(graph.prunable(), key=found.get) == graph.produced["hidden"][weakest]


def test_taylor_is_activation_times_gradient():
    model = mlp()
    graph = channel_graph(model)
    batches = rows(size=1)[:20]
    found = scores(model, graph, "taylor", batches=batches)

    front = keras.Model(model.input, model.layers[-2].output)
    expected = np.zeros(8)
    for inputs, labels in batches:
        with tf.GradientTape() as tape:
            hidden = front(inputs)
            tape.watch(hidden)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model.layers[-1](hidden))
        expected += np.abs((hidden * tape.gradient(loss, hidden)).numpy().sum(0))
    expected /= np.linalg.norm(expected)
    taylor = [found[one] for one in graph.prunable()]
    np.testing.assert_allclose(taylor, expected, rtol=1e-4, atol=1e-7)


def test_taylor_takes_soft_labels_and_own_losses():
    model = mlp()
    graph = channel_graph(model)
    soft = [(inputs, tf.one_hot(labels, 3)) for inputs, labels in rows()]
    hard = scores(model, graph, "taylor", batches=rows())

    assert scores(model, graph, "taylor", batches=soft) == pytest.approx(hard, rel=1e-4)
    own = scores(model, graph, "taylor", batches=rows(), loss=lambda labels, out: out[:, 0] ** 2)
    assert own != pytest.approx(hard, rel=1e-2)


def test_random_depends_on_its_seed_alone():
    model = residual()
    graph = channel_graph(model)
    first = scores(model, graph, "random", seed=1)

    assert first == scores(randomized(model), graph, "random", seed=1)
    assert first != scores(model, graph, "random", seed=2)
    assert set(first) == set(graph.prunable())


def test_every_criterion_can_choose():
    model = mlp()
    graph = channel_graph(model)
    for criterion in CRITERIA:
        found = scores(model, graph, criterion, batches=rows())
        removed = choose(graph, found, ratio=0.5)
        assert len(removed) == 4
        cut(model, graph, removed, seed=0)


def test_criteria_refuse_what_they_cannot_do():
    model = conv1d_text()
    graph = channel_graph(model)
    with pytest.raises(InputError, match="has none: choose l1_in_out"):
        scores(model, graph, "bn_gamma")
    with pytest.raises(InputError, match="needs batches of training examples"):
        scores(model, graph, "taylor")
    with pytest.raises(InputError, match="finite loss; 0 were read"):
        scores(model, graph, "taylor", batches=[])
    with pytest.raises(InputError, match="Did you mean 'taylor'"):
        scores(model, graph, "tailor")


def closeness(model):
    """Return a function that gives 1 - the distance to the answers of ``model``."""
    inputs = np.random.default_rng(2).normal(size=(32, 8, 8, 3)).astype("float32")
    expected = model(inputs, training=False).numpy()
    scale = np.abs(expected).mean()
    return lambda one: 1 - float(np.abs(one(inputs, training=False) - expected).mean() / scale)


def test_sensitivity_equals_what_surgery_gives():
    model = randomized(residual())
    graph = channel_graph(model)
    worth = scores(model, graph, "l1_in_out")
    evaluate = closeness(model)
    before = model.get_weights()

    found = sensitivity(model, graph, worth, evaluate=evaluate, ratio=0.5)

    assert [one.drop for one in found] == sorted(one.drop for one in found)
    assert {one.layers[0] for one in found} == {one.name for one in graph.bundles()}
    for entry in found:
        ratios = {entry.layers[0]: 0.5}
        removed = choose(graph, worth, ratios=ratios, limits=Limits(floor=0.1, round_to=1))
        assert len(removed) == entry.removed == entry.groups // 2
        small = cut(model, graph, removed, seed=0).model
        assert evaluate(small) == pytest.approx(entry.value, abs=1e-4)
        assert entry.drop == pytest.approx(1 - entry.value, abs=1e-6)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def by_magnitude(model, graph):
    return scores(model, graph, "l1_in_out")


def test_iterative_reaches_its_share_in_aligned_rounds():
    model = randomized(residual())
    tuned, renewed = [], []
    pruned = iterative(
        model,
        score=by_magnitude,
        ratio=0.5,
        rounds=3,
        tune=lambda one, number: tuned.append((one, number)),
        recalibrate=renewed.append,
        limits=Limits(floor=0.25, round_to=2),
    )

    assert pruned.groups == 36
    assert pruned.removed == 18 == sum(one.removed for one in pruned.trace)
    assert [one.round for one in pruned.trace] == [1, 2, 3] == [number for _, number in tuned]
    assert [one.decision for one in pruned.trace] == ["go_on", "go_on", "stop"]
    assert pruned.tuned == 3
    assert tuned[-1][0] is renewed[-1] is pruned.model
    widths = [before for before, _ in channel_graph(pruned.model).widths().values()]
    assert all(width % 2 == 0 for width in widths)
    assert pruned.difference < 1e-5
    assert pruned.stopped == "the wanted share is gone"
    assert pruned.trace[-1].parameters == pruned.model.count_params()
    assert pruned.trace[-1].as_json()["removed_share"] == 0.5


def test_rounds_end_where_floors_leave_nothing():
    model = randomized(residual())
    options = {"score": by_magnitude, "rounds": 6, "recalibrate": lambda one: None}
    options |= {"tune": lambda one, number: None, "limits": Limits(floor=0.75, round_to=1)}
    pruned = iterative(model, ratio=0.9, **options)

    assert pruned.removed == 9
    assert "leave nothing to cut" in pruned.stopped
    pruned = heuristic(
        model,
        ratio=0.9,
        evaluate=lambda one: 0.9,
        accuracy_floor=0.8,
        largest_drop=-1.0,  # turns to the least sensitive layers at once
        probe=closeness(model),
        **options,
    )
    assert pruned.removed == 9
    assert "leave nothing to cut" in pruned.stopped
    assert pruned.trace[-1].direction == "least_sensitive_layers"


class Script:
    """An ``evaluate`` that says what a test wants; nothing else could force each decision."""

    def __init__(self, *values):
        self.values = list(values)

    def __call__(self, model):
        return self.values.pop(0)


def run_heuristic(model, evaluate, **options):
    settings = {"accuracy_floor": 0.8, "largest_drop": 0.02, "ratio": 0.5, "rounds": 4}
    return heuristic(
        model,
        score=by_magnitude,
        evaluate=evaluate,
        tune=lambda one, number: None,
        recalibrate=lambda one: None,
        limits=Limits(floor=0.1, round_to=1),
        probe=closeness(model),
        **(settings | options),
    )


def test_heuristic_goes_on_changes_direction_rolls_back_and_stops():
    model = randomized(residual())
    #              base   cut, tuned; cut, tuned; ...
    evaluate = Script(0.9, 0.5, 0.89, 0.5, 0.85, 0.5, 0.7, 0.5, 0.84, 0.5, 0.6, 0.5, 0.6)
    lines = []

    pruned = run_heuristic(model, evaluate, progress=lines.append)

    told = [(one.decision, one.direction) for one in pruned.trace]
    assert told == [
        ("go_on", "lowest_of_all"),
        ("change_direction", "lowest_of_all"),  # cost 0.04
        ("roll_back", "least_sensitive_layers"),  # 0.7: then half as much
        ("go_on", "least_sensitive_layers"),
        ("roll_back", "least_sensitive_layers"),
        ("stop", "least_sensitive_layers"),  # no smaller step is left
    ]
    assert [one.removed for one in pruned.trace] == [4, 4, 4, 2, 2, 1]
    assert pruned.removed == 10
    assert pruned.tuned == 6
    assert [one.removed_share for one in pruned.trace][:4] == [
        0.111111,
        0.222222,
        0.333333,
        0.277778,
    ]
    assert pruned.model.count_params() == pruned.trace[3].parameters
    assert pruned.trace[2].after_tuning == 0.7
    assert len(lines) == 6
    assert evaluate.values == []


def test_heuristic_turns_to_insensitive_layers_after_a_roll_back():
    model = randomized(residual())
    pruned = run_heuristic(model, Script(0.9, 0.5, 0.6, 0.5, 0.89, 0.5, 0.89), rounds=2)

    assert [one.decision for one in pruned.trace] == ["roll_back", "go_on", "stop"]
    assert pruned.trace[1].direction == "least_sensitive_layers"
    assert pruned.trace[-1].reason == "the wanted share is gone" == pruned.stopped
    graph = channel_graph(model)
    ranked = sensitivity(
        model, graph, by_magnitude(model, graph), evaluate=closeness(model), ratio=0.5
    )
    calm = {name for one in ranked[:2] for name in one.layers}
    assert set(pruned.trace[1].layers) <= calm


def test_heuristic_with_nothing_below_the_floor_keeps_the_network():
    model = randomized(residual())
    pruned = run_heuristic(model, Script(0.9, *[0.5] * 20))

    assert pruned.model is model
    assert pruned.removed == 0
    assert {one.decision for one in pruned.trace} == {"roll_back", "stop"}
    with pytest.raises(InputError, match="must not exceed what the network reaches uncut, 0.7000"):
        run_heuristic(model, Script(0.7))


def test_masking_alone_answers_like_the_whole_network():
    model = randomized(residual())
    assert closeness(model)(mask(model, channel_graph(model), ())) == 1.0
