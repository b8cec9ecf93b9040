"""The arithmetic of a search: fronts, volumes, rungs and shares worked out by hand."""

import keras
import numpy as np
import pytest

from components.prune import channel_graph
from components.search import Candidate, Point, front, hypervolume, plan, promoted, ranks
from components.search.halving import rungs_of
from components.search.space import (
    Space,
    copies_of,
    prune_config,
    space_of,
    spread_ratio,
    tune_config,
)
from components.search.study import Suggestion, open_study
from schemas.errors import InputError
from schemas.stages import SearchConfig

SPACE = Space(
    methods=("uniform", "groups"),
    criteria=("l1", "taylor"),
    lessons=("labels", "answers"),
    ratios=(0.1, 0.9),
    shift=0.25,
    groups=("first", "second"),
)


def point(accuracy, size, macs=1, latency=1.0):
    return Point(accuracy=accuracy, bytes=size, macs=macs, latency_ms=latency)


def candidate(**changes):
    values = {"method": "global", "criterion": "l1", "ratio": 0.5, "lesson": "labels", "shifts": {}}
    return Candidate(**values | changes)


def test_fronts_of_points_made_by_hand():
    costs = [(1, 5), (2, 3), (3, 4), (4, 1), (2, 3), (5, 5)]

    assert front(costs) == [0, 1, 3, 4]  # equal rows share a front
    assert ranks(costs) == [0, 0, 1, 0, 0, 2]
    assert ranks([]) == []


def test_a_third_cost_keeps_what_two_would_drop():
    assert front([(1, 1, 2), (2, 2, 1)]) == [0, 1]
    assert front([(1, 1, 1), (2, 2, 1)]) == [0]


def test_latency_decides_nothing():
    slow, fast = point(0.8, 100, latency=9.0), point(0.8, 100, latency=0.1)

    assert slow.costs == fast.costs == (-0.8, 100.0, 1.0)


def test_hypervolume_by_hand():
    # Steps of a staircase: 3 x 1 + 2 x 2 + 1 x 1, under the corner (4, 5).
    costs = [(1, 4), (2, 2), (3, 1), (3, 3)]

    assert hypervolume(costs, (4, 5)) == 3 * 1 + 2 * 2 + 1 * 1
    assert hypervolume(reversed(costs), (4, 5)) == 8
    assert hypervolume([(4, 1), (1, 5)], (4, 5)) == 0
    assert hypervolume([(1, 1)], (4, 5)) == 12


@pytest.mark.parametrize(
    ("epochs", "rungs", "reduction", "expected"),
    [
        (9, 3, 3, (1, 3, 9)),
        (8, 3, 2, (2, 4, 8)),
        (5, 3, 2, (1, 2, 5)),
        (2, 3, 2, (1, 2)),
        (1, 3, 2, (1,)),
        (8, 1, 2, (8,)),
    ],
)
def test_rungs_are_shares_of_the_last(epochs, rungs, reduction, expected):
    assert rungs_of(epochs, rungs, reduction) == expected


@pytest.mark.parametrize(
    ("budget", "networks", "spent"),
    [
        (63, (27, 9, 3), 63),  # 27 x 1 + 9 x 2 + 3 x 6
        (64, (28, 9, 3), 64),
        (9, (1, 1, 1), 9),
        (10, (2, 1, 1), 10),
        (12, (4, 1, 1), 12),
        (19, (8, 2, 1), 18),  # one network more for the second rung costs 2
        (20, (8, 3, 1), 20),
    ],
)
def test_halving_by_hand(budget, networks, spent):
    found = plan(budget, epochs=9, rungs=3, reduction=3)

    assert (found.networks, found.spent) == (networks, spent)
    assert found.rungs == (1, 3, 9)
    assert [found.epochs(rung) for rung in range(3)] == [1, 2, 6]


def test_no_budget_is_exceeded_and_little_is_left():
    for budget in range(8, 400):
        found = plan(budget, epochs=8, rungs=3, reduction=2)
        assert 0 <= budget - found.spent < 4  # the dearest step
        assert list(found.networks) == sorted(found.networks, reverse=True)
    with pytest.raises(InputError, match="at least 8 epochs, .* not 7"):
        plan(7, epochs=8, rungs=3, reduction=2)


def test_what_goes_on_is_of_the_first_fronts_and_near_the_floor():
    points = [
        point(0.90, 900),
        point(0.81, 500),
        point(0.70, 100),
        point(0.79, 400),
        point(0.60, 450),  # surpassed
        point(0.30, 50),
    ]

    assert promoted(points, 2, floor=0.8) == [1, 3]
    assert promoted(points, 3, floor=0.8) == [0, 1, 3]  # 0.90 and 0.70 are equally far: the first
    assert promoted(points, 5, floor=0.8) == [0, 1, 2, 3, 5]
    assert promoted(points, 6, floor=0.8) == [0, 1, 2, 3, 4, 5]
    assert promoted(points, 1, floor=0.0) == [5]


def test_shares_cover_the_range_evenly():
    shares = [spread_ratio(SPACE, number) for number in range(15)]

    assert shares[:5] == pytest.approx([0.5, 0.3, 0.7, 0.2, 0.6])
    assert np.diff(sorted(shares)) == pytest.approx([0.05] * 14)


def test_a_rung_reads_the_copies_after_those_of_the_last_one():
    assert [copies_of([0, 1, 2], *epochs) for epochs in ((0, 1), (1, 2), (2, 4))] == [
        [0],
        [1],
        [0, 2],
    ]
    assert copies_of([0], 3, 9) == [0]


def test_a_candidate_is_a_pruning_stage():
    config = SearchConfig(floor=0.5, budget=10, attention=7, round_to=2, layer_floor=0.3)
    shifts = {"first": 0.25, "second": -0.6}
    groups = prune_config(candidate(method="groups", shifts=shifts), config, 3)
    uniform = prune_config(candidate(method="uniform", lesson="answers"), config, 3)
    iterative = prune_config(candidate(method="iterative"), config, 3)
    attentive = tune_config(candidate(lesson="answers and attention"), config, 2)

    assert (groups.ratio, groups.ratios) == (None, {"first": 0.75, "second": 0.0})
    assert (groups.epochs, groups.round_to, groups.floor) == (3, 2, 0.3)
    assert (uniform.ratios, uniform.attention) == ({"*": 0.5}, 0.0)
    assert (iterative.schedule, iterative.rounds, iterative.epochs) == ("iterative", 3, 0)
    assert iterative.rounds * iterative.round_epochs == 3
    assert (attentive.epochs, attentive.attention, attentive.alpha) == (2, 7, 0.9)


def dense(*, norm=False):
    layers = [keras.layers.Dense(8, name="first"), keras.layers.Dense(3, name="logits")]
    if norm:
        layers.insert(1, keras.layers.BatchNormalization())
    return keras.Sequential([keras.Input((4,)), *layers])


def test_the_space_has_what_the_network_allows():
    config = SearchConfig(floor=0.5, budget=10)
    plain, normed = (dense(norm=norm) for norm in (False, True))
    free = space_of(plain, channel_graph(plain), config, teacher=False)
    taught = space_of(normed, channel_graph(normed), config, teacher=True)

    assert (free.criteria, free.lessons) == (("l1_in_out", "taylor"), ("labels",))
    assert free.groups == ("first",)
    assert taught.criteria == ("l1_in_out", "taylor", "bn_gamma")
    assert taught.lessons == ("labels", "answers", "answers and attention")
    bare = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(InputError, match="no channels that may leave"):
        space_of(bare, channel_graph(bare), config, teacher=False)


def suggestions(folder, count, *, values, again=()):
    """Return what a study suggests; it is closed and opened before each number in ``again``."""
    found: list[Suggestion] = []
    while len(found) < count:
        with open_study(folder, {"a": 1}) as study:
            while len(found) < count:
                number = len(found)
                found.append(study.suggest(SPACE, number, 5))
                study.tell(number, 0, point(values[number], 1000 - 10 * number), found[-1])
                assert study.candidate(SPACE, number) == found[-1].candidate
                if number + 1 in again:
                    again = [one for one in again if one != number + 1]
                    break
    return [one.candidate for one in found]


def test_suggestions_depend_on_seed_and_results_alone(tmp_path):
    values = np.random.default_rng(1).random(16).tolist()
    whole = suggestions(tmp_path / "a", 16, values=values)

    assert whole == suggestions(tmp_path / "b", 16, values=values, again=[3, 11, 14])
    others = suggestions(tmp_path / "c", 16, values=values[::-1])
    assert whole[:10] == others[:10]  # drawn at random
    assert whole != others  # learnt
    assert {one.method for one in whole} == {"uniform", "groups"}
    assert all(set(one.shifts) == {"first", "second"} for one in whole if one.method == "groups")
    assert all(abs(shift) <= 0.25 for one in whole for shift in one.shifts.values())


def test_one_process_at_a_time_works_on_a_study(tmp_path):
    with open_study(tmp_path, {"a": 1}):
        with pytest.raises(InputError, match="another search"), open_study(tmp_path, {"a": 1}):
            pass
    with pytest.raises(InputError, match=": a, b differs"), open_study(tmp_path, {"b": 2}):
        pass
    with open_study(tmp_path, {"a": 1}) as study:
        assert study.dense is None
