"""A search end to end on digits: repeatable, resumable, within its budget, honest about its end."""

from dataclasses import replace

import keras
import pytest

from components import finetune
from components.data import open_dataset
from components.evaluate import evaluate
from components.search import network, plan, plot, smallest, table
from components.search.study import JOURNAL
from components.stages import be_deterministic, run_stage
from components.train import Context
from schemas.errors import FailedError, InputError
from schemas.stages import parse_config

# Two rungs of 1 and 2 epochs: 3 networks, of which 1 goes on.
SETTINGS = {
    "floor": 0.3,
    "budget": 4,
    "epochs": 2,
    "rungs": 2,
    "reduction": 2,
    "batch_size": 50,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "calibration": 300,
    "ratios": (0.1, 0.7),
    "quantization": "float32",  # 8 bits leave kernels this small as they are
}


@pytest.fixture(scope="module")
def data(digits_dir):
    return open_dataset(digits_dir)


def untrained(width=8):
    """Return a network that is quickly trained and converted; the input is scaled inside."""
    layers = keras.layers
    inputs = keras.Input((16, 16, 3), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 128, -1, name="scaled")(inputs)
    x = layers.Conv2D(width, 4, strides=2, padding="same", name="first")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(2 * width, 3, strides=2, padding="same", name="second")(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="tiny")


@pytest.fixture(scope="module")
def base(data):
    be_deterministic(3)
    model = untrained()
    context = Context(data=data, base=model, teacher=None, seed=3, progress=str, notes={})
    fitting = {"epochs": 8, "batch_size": 50, "optimizer": "adam", "learning_rate": 0.01}
    return finetune.run(context, parse_config("finetune", fitting))


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
    fitting = [one.point.bytes for one in found.trials if one.point.accuracy >= 0.3]

    assert best.accuracy >= 0.3
    assert best.bytes == min(fitting) < found.dense.bytes
    small = network(found.smallest)
    assert small.count_params() < base.count_params()
    assert evaluate(small, data).accuracy == pytest.approx(best.accuracy, abs=0.01)
    assert found.smallest in found.front
    assert f"Trial {found.smallest.number} is the smallest of 3" in table(found)
    assert table(found, every=True).count("\n| ") == 4
    assert plot(found, others={"dense": [found.dense]})[:4] == b"\x89PNG"


def test_the_budget_is_spent_exactly_as_planned(whole):
    folder, found, lines = whole

    assert found.plan == plan(4, epochs=2, rungs=2, reduction=2)
    assert found.plan.networks == (3, 1)
    assert found.spent == sum(one.epochs for one in found.trials) == 4
    assert sorted(one.epochs for one in found.trials) == [1, 1, 2]
    assert [line.rsplit("; ")[1] for line in lines] == [f"{n} of 4 epochs" for n in range(1, 5)]
    networks = {path.name for path in (folder / "networks").glob("*.keras")}
    assert len(networks) == 4


def test_a_killed_search_goes_on_as_if_nothing_had_been(whole, base, data, tmp_path):
    """Killed after the second training, then in the middle of writing down the fourth."""
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
        assert seen == lines[:at]
    journal = tmp_path / JOURNAL
    content = journal.read_bytes()
    journal.write_bytes(content[: content.rfind(b"\n", 0, -1) + 20])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "networks").iterdir()}
    again = []
    resumed = smallest(base, data, progress=again.append, **common)

    assert len(before) == 4
    redone = [path for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert redone == [one.path for one in resumed.trials if one.epochs == 2]
    assert again == lines
    assert decided(resumed) == decided(found)
    assert [one.number for one in resumed.front] == [one.number for one in found.front]
    assert resumed.smallest.number == found.smallest.number


def test_another_budget_uses_what_is_there(whole, base, data):
    folder, found, _ = whole
    less = smallest(base, data, folder=folder, teacher=base, seed=1, **{**SETTINGS, "budget": 3})

    assert (less.spent, less.plan.networks) == (3, (2, 1))
    assert [one.candidate for one in less.trials] == [one.candidate for one in found.trials[:2]]
    assert [one.points[0] for one in less.trials] == [one.points[0] for one in found.trials[:2]]


def test_the_study_of_something_else_is_refused(whole, base, data):
    folder = whole[0]
    common = {"folder": folder, "teacher": base, "seed": 1, **SETTINGS}
    for model, dataset, changes, what in (
        (untrained(), data, {}, "model"),
        (base, replace(data, digest="e" * 64), {}, "dataset"),
        (base, data, {"learning_rate": 0.1}, "settings"),
        (base, data, {"floor": 0.4}, "settings"),
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


def test_the_stage_publishes_the_smallest_network_and_leaves_its_study(base, data, tmp_path):
    (tmp_path / "base" / "keras").mkdir(parents=True)
    base.save(tmp_path / "base" / "keras" / "model.keras")
    (tmp_path / "base" / "stage.json").write_text('{"digest": "b"}')
    lines = []
    settings = {**SETTINGS, "epochs": 1, "budget": 2}
    common = {"dataset": data.root, "base": tmp_path / "base", "seed": 1, "config": settings}
    report = run_stage("search", output=tmp_path / "small", progress=lines.append, **common)

    notes = report["notes"]
    chosen = notes["trials"][notes["smallest"]]
    assert report["base"] == "b"
    assert report["accuracy"] == pytest.approx(chosen["rungs"][-1]["accuracy"], abs=0.01)
    assert report["size"]["tflite_bytes"] == chosen["rungs"][-1]["bytes"]
    assert (notes["spent"], notes["networks"], notes["rungs"]) == (2, [2], [1])
    assert {one["lesson"] for one in notes["trials"]} == {"labels"}
    assert notes["table"][-1].startswith(f"Trial {notes['smallest']} is the smallest of 2")
    assert f"search: {notes['table'][-1]}" in lines
    assert (tmp_path / "small" / "search.png").read_bytes()[:4] == b"\x89PNG"
    (study,) = tmp_path.glob(".search-*")
    assert len(list((study / "networks").iterdir())) == 2

    failing = {**settings, "floor": 1.0, "budget": 1}
    with pytest.raises(FailedError, match="No network of 1 reaches an accuracy of 100.00%"):
        run_stage("search", output=tmp_path / "other", **{**common, "config": failing})
    assert not (tmp_path / "other").exists()
    assert len(list(tmp_path.glob(".search-*"))) == 2
