"""The pruning stage by its schedules, its settings, and what its report holds."""

import json

import pytest
from pydantic import ValidationError

from components import train
from components.data import open_dataset
from components.evaluate import evaluate
from components.prune import channel_graph, stage
from components.stages import be_deterministic
from components.train import Context
from schemas.errors import InputError
from schemas.stages import config_settings, parse_config

FAST = {"batch_size": 50, "learning_rate": 0.05, "calibration": 200, "examples": 300, "copies": 1}


@pytest.fixture(scope="module")
def data(digits_dir):
    return open_dataset(digits_dir)


def context(data, base, lines):
    return Context(
        data=data, base=base, teacher=None, seed=1, progress=lines.append, notes={}, files={}
    )


@pytest.fixture(scope="module")
def base(data):
    be_deterministic(3)
    model = {"family": "image_resnet", "width": 8}
    config = parse_config("train", {"model": model, "epochs": 6, "batch_size": 50, "copies": 1})
    return train.run(context(data, None, []), config)


@pytest.fixture
def prune(base, data):
    def run(**settings):
        lines = []
        given = context(data, base, lines)
        model = stage.run(given, parse_config("prune", FAST | settings))
        return given.notes, model, lines

    return run


def widths_of(model):
    return {name: before for name, (before, _) in channel_graph(model).widths().items()}


def test_report_says_what_was_cut_where_and_what_it_costs(prune, base, data):
    notes, model, lines = prune(
        ratio=0.4,
        epochs=1,
        sensitivity=True,
        sensitivity_examples=60,
        twin=True,
        protected=["stem_*", "stage2_block0_a_conv"],
    )
    before = widths_of(base)

    assert {name: pair[0] for name, pair in notes["layers"].items()} == before
    assert {name: pair[1] for name, pair in notes["layers"].items()} == widths_of(model)
    assert notes["layers"]["stem_conv"] == [8, 8]
    assert notes["layers"]["stage2_block0_a_conv"] == [32, 32]
    assert notes["frozen"] == {}
    assert (notes["schedule"], notes["criterion"]) == ("one_shot", "l1_in_out")
    assert "trace" not in notes
    bundles = {one.name for one in channel_graph(base).bundles()}
    assert {one["layers"][0] for one in notes["sensitivity"]} == bundles
    assert all(one["removed"] == one["groups"] // 2 for one in notes["sensitivity"])
    assert sum(line.startswith("sensitivity: ") for line in lines) == len(bundles)
    assert notes["twin"]["epochs"] == 1
    assert 0 <= notes["twin"]["accuracy"] < evaluate(model, data).accuracy


def test_iterative_stage_trains_between_rounds(prune):
    notes, model, lines = prune(
        ratio=0.5, epochs=1, schedule="iterative", rounds=2, round_epochs=1, criterion="taylor"
    )

    assert [one["decision"] for one in notes["trace"]] == ["go_on", "stop"]
    assert notes["removed"] == sum(one["removed"] for one in notes["trace"])
    assert notes["removed"] >= 0.5 * notes["channels"]
    assert notes["trace"][-1]["parameters"] == model.count_params()
    assert sum("epoch 1/1" in line for line in lines) == 3
    assert json.loads(json.dumps(notes)) == notes


def test_heuristic_stage_keeps_to_its_floor(prune, base, data):
    whole = evaluate(base, data).accuracy
    floor = round(0.8 * whole, 3)
    notes, model, _ = prune(
        ratio=0.9,
        epochs=1,
        schedule="heuristic",
        rounds=2,
        round_epochs=2,
        accuracy_floor=floor,
        largest_drop=0.05,
        sensitivity_examples=60,
    )

    assert evaluate(model, data).accuracy >= floor
    assert notes["last_training"]["before"] >= floor
    accepted = [one for one in notes["trace"] if one["after_tuning"] >= floor]
    assert notes["removed"] == sum(one["removed"] for one in accepted)
    assert all(
        (one["decision"] == "roll_back" or "rolled back" in one["reason"])
        == (one["after_tuning"] < floor)
        for one in notes["trace"]
    )
    assert model.count_params() == notes["parameters_after"]


def test_threshold_and_ratios_in_the_stage(prune):
    notes, _, _ = prune(ratio=None, threshold=0.9, epochs=0, criterion="l2", round_to=1)
    assert 0 < notes["removed"] < notes["channels"]
    notes, _, _ = prune(ratio=None, ratios={"stage1*": 0.5}, epochs=0, criterion="random")
    changed = {name for name, (one, two) in notes["layers"].items() if one != two}
    assert changed == {name for name in notes["layers"] if name.startswith("stage1")}


def test_names_that_the_network_does_not_have_are_refused(prune):
    for key, value in (
        ("protected", ["stem_konv"]),
        ("floors", {"stem_konv": 0.5}),
    ):
        with pytest.raises(InputError, match="Did you mean 'stem_conv'") as caught:
            prune(**{key: value})
        assert caught.value.path == (key,)
    with pytest.raises(InputError, match="accuracy_floor must not exceed"):
        prune(schedule="heuristic", accuracy_floor=1.0)


@pytest.mark.parametrize(
    ("settings", "field", "match"),
    [
        ({"threshold": 0.5}, "threshold", "exactly one .* not ratio and threshold"),
        ({"ratio": None}, "ratio", "exactly one .* not none of them"),
        (
            {"ratio": None, "threshold": 0.5, "schedule": "iterative"},
            "threshold",
            "iterative takes ratio",
        ),
        ({"schedule": "heuristic"}, "accuracy_floor", "required by schedule heuristic"),
        ({"rounds": 3}, "rounds", "is for schedule iterative or heuristic"),
        ({"schedule": "iterative", "largest_drop": 0.1}, "largest_drop", "for schedule heuristic"),
        ({"sensitivity_ratio": 0.5}, "sensitivity_ratio", "is for sensitivity"),
        ({"ratio": 1.0}, "ratio", "less than 1"),
        ({"criterion": "l3"}, "criterion", "'l1', 'l2'"),
        ({"schedule": "twoshot"}, "schedule", "one_shot"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, field, match):
    with pytest.raises(ValidationError, match=match) as caught:
        parse_config("prune", settings)
    assert field in caught.value.errors()[0]["loc"]


def test_settings_survive_json():
    config = parse_config(
        "prune", {"ratio": None, "ratios": {"b*": 0.5, "a": 0.1}, "floors": {"a": 1}}
    )

    assert parse_config("prune", json.loads(json.dumps(config_settings(config)))) == config
