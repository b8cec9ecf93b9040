"""A search end to end on digits: repeatable, resumable, within its budget, honest about its end."""

from dataclasses import replace

import pytest

from components import train
from components.data import open_dataset
from components.evaluate import evaluate
from components.search import network, plan, plot, smallest, table
from components.search.study import JOURNAL
from components.stages import be_deterministic
from components.train import Context
from schemas.errors import InputError
from schemas.stages import parse_config

# Two rungs of 1 and 2 epochs: 3 networks, of which 2 go on.
SETTINGS = {
    "floor": 0.5,
    "budget": 5,
    "epochs": 2,
    "rungs": 2,
    "batch_size": 50,
    "examples": 300,
    "learning_rate": 0.05,
    "calibration": 300,
    "ratios": (0.1, 0.7),
    "quantization": "dynamic",
}


@pytest.fixture(scope="module")
def data(digits_dir):
    return open_dataset(digits_dir)


@pytest.fixture(scope="module")
def base(data):
    be_deterministic(3)
    model = {"family": "image_resnet", "width": 8}
    config = parse_config("train", {"model": model, "epochs": 6, "batch_size": 50})
    context = Context(data=data, base=None, teacher=None, seed=3, progress=str, notes={})
    return train.run(context, config)


@pytest.fixture(scope="module")
def whole(base, data, tmp_path_factory):
    """Return the folder, the outcome and the lines of a run that nothing disturbed."""
    folder, lines = tmp_path_factory.mktemp("search") / "study", []
    found = smallest(
        base, data, folder=folder, teacher=base, seed=1, progress=lines.append, **SETTINGS
    )
    return folder, found, lines


def decided(found):
    """Return all that must repeat: everything but the latencies and where the networks lie."""
    return [
        (one.number, one.candidate, one.epochs, [point.costs for point in one.points])
        for one in found.trials
    ]


class KilledError(Exception):
    pass


def test_the_smallest_network_above_the_floor_is_the_one_on_disk(whole, data, base):
    _, found, _ = whole
    best = found.smallest.point
    fitting = [one.point.bytes for one in found.trials if one.point.accuracy >= 0.5]

    assert best.accuracy >= 0.5
    assert best.bytes == min(fitting) < found.dense.bytes
    small = network(found.smallest)
    assert small.count_params() < base.count_params()
    # Weights in 8 bits cost a point or two at most.
    assert evaluate(small, data).accuracy == pytest.approx(best.accuracy, abs=0.04)
    assert found.smallest in found.front
    assert f"Trial {found.smallest.number} is the smallest of 3" in table(found)
    assert table(found, every=True).count("\n| ") == 4
    assert plot(found, baseline=[found.dense])[:4] == b"\x89PNG"


def test_the_budget_is_spent_exactly_as_planned(whole):
    folder, found, lines = whole

    assert found.plan == plan(5, epochs=2, rungs=2, reduction=2)
    assert found.plan.networks == (3, 2)
    assert found.spent == sum(one.epochs for one in found.trials) == 5
    assert sorted(one.epochs for one in found.trials) == [1, 2, 2]
    assert [line.rsplit("; ")[1] for line in lines] == [f"{n} of 5 epochs" for n in range(1, 6)]
    networks = {path.name for path in (folder / "networks").glob("*.keras")}
    assert len(networks) == 5


def test_a_killed_search_goes_on_as_if_nothing_had_been(whole, base, data, tmp_path):
    """Killed after each of two trainings, once with half a line in the journal."""
    _, found, lines = whole
    common = {"folder": tmp_path, "teacher": base, "seed": 1, **SETTINGS}
    for at in (2, 4):
        seen = []

        def tell(line, at=at, seen=seen):
            seen.append(line)
            if len(seen) == at:
                raise KilledError

        with pytest.raises(KilledError):
            smallest(base, data, progress=tell, **common)
        with open(tmp_path / JOURNAL, "a", encoding="utf-8") as journal:
            journal.write('{"op_code": 4, "wor')
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "networks").iterdir()}
    resumed_lines = []
    resumed = smallest(base, data, progress=resumed_lines.append, **common)

    assert len(before) == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert resumed_lines == lines
    assert decided(resumed) == decided(found)
    assert [one.number for one in resumed.front] == [one.number for one in found.front]
    assert resumed.smallest.number == found.smallest.number


def test_another_floor_uses_what_is_there_and_may_find_nothing(whole, base, data):
    folder, found, _ = whole
    changed = {**SETTINGS, "floor": 1.0, "budget": 3}
    none = smallest(base, data, folder=folder, teacher=base, seed=1, **changed)

    assert none.smallest is None
    assert none.spent == 3
    assert none.plan.networks == (2, 1)
    assert [one.candidate for one in none.trials] == [one.candidate for one in found.trials[:2]]
    assert "No network of 2 reaches an accuracy of 100.00%" in table(none)
    assert plot(none)


def test_the_study_of_something_else_is_refused(whole, base, data):
    folder = whole[0]
    common = {"folder": folder, "teacher": base, "seed": 1, **SETTINGS}
    other = train.run(
        Context(data=data, base=None, teacher=None, seed=4, progress=str, notes={}),
        parse_config("train", {"model": {"family": "image_resnet", "width": 8}, "epochs": 0}),
    )
    for model, dataset, changes, what in (
        (other, data, {}, "model"),
        (base, replace(data, digest="e" * 64), {}, "dataset"),
        (base, data, {"learning_rate": 0.1}, "settings"),
        (base, data, {"seed": 2}, "seed"),
        (base, data, {"teacher": None}, "teacher"),
    ):
        with pytest.raises(InputError, match=f": {what} differs"):
            smallest(model, dataset, **{**common, **changes})


def test_a_network_that_is_gone_is_an_error(whole, base, data, tmp_path):
    folder, found, _ = whole
    missing = replace(found.trials[0], path=tmp_path / "gone.keras")
    with pytest.raises(InputError, match=r"gone\.keras: cannot be read"):
        network(missing)


def test_settings_out_of_range_are_refused(base, data, tmp_path):
    for changes, match in (
        ({"budget": 1}, "budget must be at least 2 epochs"),
        ({"floor": 1.5}, "less than or equal to 1"),
        ({"ratios": (0.7, 0.1)}, "least share first"),
        ({"methods": ("iteratively",)}, "uniform"),
    ):
        with pytest.raises(InputError, match=match):
            smallest(base, data, folder=tmp_path, **{**SETTINGS, **changes})
