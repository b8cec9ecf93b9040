"""The refresh section: profiles, defaults, and where each mistake is reported."""

import copy

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.profiles import PROFILES
from schemas.refresh import RefreshConfig
from schemas.stages import config_settings, parse_config

SECTION = {
    "model": "image_resnet",
    "push": "small",
    "gates": {"floors": {"accuracy": 0.9}, "ceilings": {"bytes": 400_000}},
    "stages": [
        {"name": "teacher", "kind": "train", "config": {"model": {"width": 32}, "epochs": 5}},
        {"name": "small", "kind": "prune", "base": "teacher", "teacher": "teacher"},
    ],
    "profiles": {
        "smoke": {
            "stages": {"teacher": {"epochs": 1, "model": {"blocks": 2}}},
            "gates": {"floors": {"accuracy": 0.5}},
        }
    },
}


def load(section):
    return TypeAdapter(RefreshConfig).validate_python(section)


def test_profile_is_laid_over_the_stages():
    config = load(SECTION)
    smoke, demo = config.for_profile("smoke"), config.for_profile("demo")

    assert (smoke.stage("teacher").config.epochs, demo.stage("teacher").config.epochs) == (1, 5)
    assert smoke.stage("teacher").config.model.width == 32
    assert smoke.stage("teacher").config.model.blocks == 2
    assert (smoke.gates.floors.accuracy, smoke.gates.ceilings.bytes) == (0.5, 400_000)
    assert demo.gates.floors.accuracy == 0.9
    assert [stage.name for stage in demo.stages] == ["teacher", "small"]
    assert {config.for_profile(name).push for name in PROFILES} == {"small"}
    with pytest.raises(ValueError, match="smoke, demo, full, not 'big'"):
        config.for_profile("big")


def test_config_survives_json():
    stage = load(SECTION).for_profile("smoke").stage("teacher")

    assert parse_config("train", config_settings(stage.config)) == stage.config


@pytest.mark.parametrize(
    ("path", "value", "loc", "match"),
    [
        (("gates", "floors", "accuracy"), 1.5, None, "below 1"),
        (("gates", "floors", "acuracy"), 0.5, None, "Did you mean 'accuracy'"),
        (("gates", "alpha"), 0.5, None, "0.0001 to 0.2"),
        (("gates", "ceilings"), {}, None, "need a ceiling of the bytes"),
        (("gates", "floors", "robust_accuracy"), 0.5, None, "add robustness"),
        (("gates",), {"ceilings": {"bytes": 9}}, ("gates", "floors"), "a floor or against_live"),
        (("data",), {"min_per_class": "x"}, ("data", "min_per_class"), "valid integer"),
        (("robustness",), {"examples": 0}, ("robustness", "examples"), "1 or more"),
        (("stages",), [], None, "at least 1"),
        (("stages", 1, "kind"), "prun", None, "one of train, distill, prune, finetune"),
        (("stages", 1, "base"), "tea", None, "earlier stage .teacher., not 'tea'"),
        (("stages", 1, "base"), None, None, "needs a base"),
        (("stages", 0, "teacher"), "small", None, "takes no teacher"),
        (("stages", 1, "name"), "teacher", None, "used twice"),
        (("stages", 1, "name"), "Big one", None, "lower-case"),
        (("push",), "other", None, "must name a stage"),
        (("stages", 0, "config", "epochs"), "x", None, "valid integer"),
        (("stages", 0, "config", "epoch"), 3, None, "unknown key.*epochs"),
        (("stages", 0, "config", "model"), {"widt": 3}, None, "unknown key.*width"),
        (("stages", 0, "config", "model"), 3, None, "dictionary"),
        (
            ("stages", 0, "config", "model"),
            {"preprocessing": "standardise"},
            ("stages", 0, "config", "model", "preprocessing"),
            "'standardize' or 'normalize', not 'standardise'",
        ),
        (("profiles", "smoke", "stages", "teacher"), {"epochs": -1}, None, "greater than or equal"),
        (("profiles", "smoke", "stages", "teachr"), {}, None, "must name a stage"),
        (
            ("profiles", "smoke", "gates"),
            {"ceilings": {"bytes": -1}},
            ("profiles", "smoke", "gates", "ceilings", "bytes"),
            "above 0",
        ),
        (("profiles", "quick"), {}, None, "smoke"),
        (("model",), "image_vit", None, "image_resnet"),
    ],
)
def test_mistakes_are_located(path, value, loc, match):
    section = copy.deepcopy(SECTION)
    at = section
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value

    with pytest.raises(ValidationError, match=match) as caught:
        load(section)

    error = caught.value.errors()[0]
    found = (*error["loc"], *getattr(error.get("ctx", {}).get("error"), "path", ()))
    assert found[: len(loc or path)] == (loc or path)


def test_options_of_a_text_model_are_those_of_a_recipe():
    model = {"family": "text_embedding", "truncate": "tail", "pad": "left"}
    options = parse_config("train", {"model": model}).model

    assert (options.truncate, options.pad) == ("tail", "left")
    for key in ("truncate", "pad"):
        with pytest.raises(ValidationError, match="Input should be"):
            parse_config("train", {"model": {**model, key: "middle"}})
