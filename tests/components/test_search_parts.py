"""The arithmetic of a search: fronts, volumes, rungs and shares worked out by hand."""

import keras
import numpy as np
import pytest

from components.prune import channel_graph
from components.search import (
    Candidate,
    Found,
    Point,
    Trial,
    front,
    hypervolume,
    plan,
    plot,
    promoted,
    ranks,
    table,
)
from components.search.halving import rungs_of
from components.search.points import nearest
from components.search.space import (
    Space,
    copies_of,
    prune_config,
    space_of,
    spread_ratio,
    tune_config,
)
from components.search.study import Suggestion, open_study
from components.search.walk import Walk
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

    assert promoted(points, 2, 0.8) == [1, 3]
    assert promoted(points, 3, 0.8) == [0, 1, 3]  # 0.90 and 0.70 are equally far: the first
    assert promoted(points, 5, 0.8) == [0, 1, 2, 3, 5]
    assert promoted(points, 6, 0.8) == [0, 1, 2, 3, 4, 5]
    assert promoted(points, 1, 0.0) == [5]
    assert promoted(points, 2, 0.8, always=[4]) == [1, 4]
    assert nearest(points, 0.7, 3) == [2, 3, 1]


def test_shares_cover_the_range_evenly():
    shares = [spread_ratio(SPACE, number) for number in range(15)]

    assert shares[:5] == pytest.approx([0.5, 0.3, 0.7, 0.2, 0.6])
    assert np.diff(sorted(shares)) == pytest.approx([0.05] * 14)
    near = [spread_ratio(SPACE, number, 0.4) for number in range(10, 13)]
    assert near == pytest.approx([0.4, 0.3, 0.5])
    assert spread_ratio(SPACE, 10, 0.9) == pytest.approx(0.8)  # between 0.7 and 0.9


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
                found.append(study.suggest(SPACE, number, 5, 0.1 + number / 20))
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
    assert [one.ratio for one in whole] == [0.1 + number / 20 for number in range(16)]
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


class Curve:
    """Stands for training: a network without a share x reaches 0.8 - 0.4 x, and later 0.1 more."""

    def cut(self, candidate, number):
        return named(candidate.ratio, 0)

    def train(self, model, candidate, number, rung):
        model.name = named(candidate.ratio, rung).name

    def weigh(self, model):
        _, ratio, rung = model.name.split("_")
        ratio = int(ratio) / 1000
        return point(0.8 - 0.4 * ratio + 0.1 * int(rung), round(1000 * (1 - ratio)))


def named(ratio, rung):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.name = f"share_{round(1000 * ratio)}_{rung}"
    return model


def test_one_goes_ahead_and_shows_where_to_look(tmp_path):
    """The floor is met after training by shares below 0.375, which reach 0.65 before it."""
    lines = []
    halving = plan(32, epochs=4, rungs=2, reduction=4)
    assert (halving.rungs, halving.networks) == ((1, 4), (19, 4))
    with open_study(tmp_path, {"a": 1}) as study:
        walk = Walk(study, Curve(), SPACE, halving, 1, 0.75, lines.append)
        points = walk.rungs()
        shares = [study.candidate(SPACE, number).ratio for number in range(19)]

    # The first ten cover everything; 0.15 comes nearest to the floor and goes ahead.
    assert shares[walk.scout] == pytest.approx(0.15)
    assert [line.split(":")[0] for line in lines[9:12]] == [
        "trial 10/19 rung 1/2",
        f"trial {walk.scout + 1}/19 rung 2/2",
        "trial 11/19 rung 1/2",
    ]
    assert walk.target(0) == pytest.approx(0.65)
    assert walk.target(1) == 0.75
    # Of the first ten 0.35 is nearest to 0.65: all others lie around it.
    assert all(0.15 <= share <= 0.55 for share in shares[10:])
    trained = [number for number, reached in enumerate(points) if len(reached) == 2]
    assert len(trained) == 4
    assert walk.scout in trained
    others = [shares[number] for number in trained if number != walk.scout]
    assert all(abs(share - 0.375) < 0.05 for share in others)
    assert sum(len(reached) for reached in points) == 23
    assert lines[-1].endswith("31 of 31 epochs")


def test_a_search_that_finds_nothing_says_so(tmp_path):
    trials = tuple(
        Trial(
            number=number,
            candidate=candidate(),
            points=(point(0.5 + number / 10, 100 * (1 + number)),),
            epochs=1,
            path=tmp_path,
        )
        for number in range(2)
    )
    halving = plan(2, epochs=1, rungs=1, reduction=2)
    found = Found(
        floor=0.9,
        budget=2,
        plan=halving,
        dense=point(0.8, 1000),
        trials=trials,
        front=trials,
        smallest=None,
    )

    assert table(found).splitlines()[2:] == [
        "| 0 | global 50%, l1, labels | 1 | 50.00% | 100 | 1 | 1.000 |",
        "| 1 | global 50%, l1, labels | 1 | 60.00% | 200 | 1 | 1.000 |",
        "| dense |  |  | 80.00% | 1,000 | 1 | 1.000 |",
        "",
        "No network of 2 reaches an accuracy of 90.00%; the best comes to 60.00% with 200 bytes.",
    ]
    assert plot(found, others={"uniform": [found.dense]}, title="a")[:4] == b"\x89PNG"
