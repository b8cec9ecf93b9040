"""Which groups leave: by ratio, threshold, ratios per layer, in blocks; floors, rounding, names."""

import keras
import pytest
from keras import layers

from components.prune import Limits, channel_graph, choose, choose_blocks, cut
from schemas.errors import InputError
from tests.components.prune_networks import added_to_concatenated, generator, residual, transformer


def named():
    """Three convolutions in a row, of 16 channels each."""
    inputs = keras.Input((6, 6, 3))
    x = inputs
    for name in ("first", "second", "third"):
        x = layers.Conv2D(16, 1, name=name)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4, name="dense")(x))


@pytest.fixture
def graph():
    return channel_graph(named())


def by_rank(graph):
    """Score the groups in ascending order: the first layer's are the lowest."""
    return {group: float(rank) for rank, group in enumerate(graph.prunable())}


def left(graph, removed):
    return {name: after for name, (_, after) in graph.widths(removed).items()}


def test_floor_rounding_and_ratio():
    graph = channel_graph(residual())

    removed = choose(graph, by_rank(graph), ratio=0.9, limits=Limits(floor=0.5, round_to=4))

    assert sorted(left(graph, removed).values()) == [4, 4, 4, 8, 8]


def test_lowest_scores_leave_first():
    graph = channel_graph(residual())
    scores = {group: float(group % 7) for group in graph.prunable()}

    removed = choose(graph, scores, ratio=0.25, limits=Limits(floor=0.1, round_to=1))

    assert len(removed) == 9
    assert max(scores[one] for one in removed) <= min(
        scores[one] for one in graph.prunable() if one not in removed
    )


def test_threshold_removes_what_scores_less(graph):
    removed = choose(graph, by_rank(graph), threshold=20, limits=Limits(round_to=1, floor=0.1))

    assert left(graph, removed) == {"first": 2, "second": 12, "third": 16, "dense": 4}
    assert choose(graph, by_rank(graph), threshold=0, limits=Limits()) == set()


def test_ratios_by_name_pattern_or_function(graph):
    limits = Limits(round_to=1)
    scores = by_rank(graph)
    removed = choose(graph, scores, ratios={"*": 0.25, "*ird": 0.5, "first": 0}, limits=limits)
    again = choose(graph, scores, ratios={"first": 0, "*ird": 0.5, "*": 0.25}, limits=limits)
    function = choose(
        graph, scores, ratios=lambda one: 0.5 if one.name == "second" else 0.0, limits=limits
    )

    assert left(graph, removed) == {"first": 16, "second": 12, "third": 8, "dense": 4}
    assert removed == again
    assert left(graph, function) == {"first": 16, "second": 8, "third": 16, "dense": 4}


def test_floors_and_protected_layers(graph):
    limits = Limits(round_to=1, floor=0.25, floors={"second": 0.75}, protected=["th*"])

    removed = choose(graph, by_rank(graph), ratio=0.99, limits=limits)

    assert left(graph, removed) == {"first": 4, "second": 12, "third": 16, "dense": 4}


def test_a_norm_protects_the_stream_it_stands_in():
    model = residual()
    norm = next(one.name for one in model.layers if "batch" in one.name)
    graph = channel_graph(model)

    removed = choose(graph, by_rank(graph), ratio=0.9, limits=Limits(protected=[norm]))

    assert [before - after for before, after in graph.widths(removed).values()] == [0, 8, 0, 12, 0]


def test_wrong_names_and_ways_are_refused(graph):
    scores = by_rank(graph)
    for limits in (Limits(protected=["frist"]), Limits(floors={"frist": 0.5})):
        with pytest.raises(InputError, match="Did you mean 'first'"):
            choose(graph, scores, ratio=0.5, limits=limits)
    with pytest.raises(InputError, match="Did you mean 'first'"):
        choose(graph, scores, ratios={"frist": 0.5})
    with pytest.raises(InputError, match="exactly one of ratio, threshold and ratios"):
        choose(graph, scores, ratio=0.5, threshold=1)


def test_groups_without_a_score_stay(graph):
    scores = {group: 0.0 for group in graph.makers()["second"]}

    removed = choose(graph, scores, ratio=0.9, limits=Limits(floor=0.25))

    assert left(graph, removed) == {"first": 16, "second": 4, "third": 16, "dense": 4}


def test_no_layer_loses_its_last_channel():
    """The sum makes one bundle of all three, and the lowest groups are all of one layer."""
    model = added_to_concatenated()
    graph = channel_graph(model)
    [bundle] = graph.bundles()

    removed = choose(graph, by_rank(graph), ratio=0.9, limits=Limits(floor=1e-6, round_to=1))

    assert len(bundle.layers) == 3
    assert list(left(graph, removed).values()) == [1, 1, 2, 4]
    cut(model, graph, removed, seed=0)


def test_heads_are_not_rounded_and_units_of_a_position_count_once():
    graph = channel_graph(transformer())
    removed = choose(graph, by_rank(graph), ratios=lambda one: 0.5, limits=Limits(round_to=4))
    widths = left(graph, removed)
    assert [after for name, after in widths.items() if name.endswith("heads")] == [2]

    graph = channel_graph(generator())
    removed = choose(graph, by_rank(graph), ratios=lambda one: 0.5, limits=Limits(round_to=4))
    assert list(left(graph, removed).values()) == [3 * 3 * 4, 8, 4, 4]


def test_blocks_keep_widths_aligned(graph):
    scores = {group: float(rank % 16) for rank, group in enumerate(graph.prunable())}
    limits = Limits(floor=0.5, round_to=4)

    removed = choose_blocks(graph, scores, count=5, limits=limits)
    assert left(graph, removed) == {"first": 12, "second": 12, "third": 16, "dense": 4}
    removed = choose_blocks(graph, scores, count=999, limits=limits)
    assert left(graph, removed) == {"first": 8, "second": 8, "third": 8, "dense": 4}
    removed = choose_blocks(graph, scores, count=5, limits=limits, only={"third"})
    assert left(graph, removed) == {"first": 16, "second": 16, "third": 8, "dense": 4}


def test_blocks_mend_a_width_that_is_no_multiple():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, layers.Dense(4)(layers.Dense(14, name="odd")(inputs)))
    graph = channel_graph(model)

    removed = choose_blocks(graph, by_rank(graph), count=1, limits=Limits(round_to=4))

    assert left(graph, removed)["odd"] == 12


def test_floors_are_shares_of_the_original_width(graph):
    limits = Limits(floor=0.5, round_to=1, original={"first": 32, "second": 16, "third": 16})

    removed = choose(graph, by_rank(graph), ratio=0.9, limits=limits)

    assert left(graph, removed) == {"first": 16, "second": 8, "third": 8, "dense": 4}
