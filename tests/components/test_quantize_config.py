"""Recipes that ship TFLite: what is accepted, and where each mistake is reported."""

import copy

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.recipe import load_recipe, parse_recipe
from schemas.refresh import RefreshConfig

SECTION = {
    "model": "image_resnet",
    "push": "small",
    "artifact": "tflite",
    "gates": {"floors": {"accuracy": 0.9}, "ceilings": {"bytes": 40_000}},
    "stages": [
        {"name": "teacher", "kind": "train", "config": {"epochs": 5}},
        {"name": "small", "kind": "quantize", "base": "teacher"},
    ],
    "profiles": {"smoke": {"stages": {"small": {"calibration": 50}}}},
}


def load(section):
    return TypeAdapter(RefreshConfig).validate_python(section)


def test_the_plan_says_what_ships():
    config = load(SECTION)
    assert config.for_profile("demo").artifact == "tflite"
    small = config.for_profile("demo").stage("small").config
    assert (small.method, small.calibration, small.sparse) == ("int8", None, False)
    assert config.for_profile("smoke").stage("small").config.calibration == 50
    plain = {**SECTION, "push": "teacher", "stages": SECTION["stages"][:1], "profiles": {}}
    del plain["artifact"]
    assert load(plain).for_profile("full").artifact == "saved_model"


@pytest.mark.parametrize(
    ("path", "value", "loc", "match"),
    [
        (("push",), "teacher", ("artifact",), r"push names 'teacher' \(train\): push small"),
        (("artifact",), "saved_model", ("push",), "set artifact: tflite, or push 'teacher'"),
        (("artifact",), "onnx", None, "'saved_model' or 'tflite'"),
        (("stages", 1, "base"), None, None, "needs a base"),
        (("stages", 1, "teacher"), "teacher", None, "takes no teacher"),
        (("stages", 1, "config"), {"method": "int4"}, ("stages", 1, "config", "method"), "'int8'"),
        (("stages", 1, "config"), {"epochs": 1}, ("stages", 1, "config", "epochs"), "unknown key"),
        (
            ("stages", 1, "config"),
            {"method": "float16", "calibration": 9},
            ("stages", 1, "config", "calibration"),
            "^1 validation .*\n.*\n +is for method int8; remove it",
        ),
        (
            ("stages", 1, "config"),
            {"method": "dynamic", "sparse": True},
            ("stages", 1, "config", "sparse"),
            "needs method float16 or float32",
        ),
        (
            ("profiles", "smoke", "stages", "small"),
            {"method": "float16", "calibration": 9},
            ("profiles", "smoke", "stages", "small", "calibration"),
            "is for method int8",
        ),
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
    assert caught.value.errors()[0]["loc"] == (loc or path)


def test_a_missing_quantize_stage_is_named_with_the_fix():
    stages = [*SECTION["stages"][:1]]
    with pytest.raises(ValidationError, match="kind quantize with base: teacher, and push that"):
        load({**SECTION, "push": "teacher", "stages": stages, "profiles": {}})


@pytest.mark.parametrize("role", ["base", "teacher"])
def test_a_quantised_model_is_no_network_to_go_on_from(role):
    later = {"name": "later", "kind": "finetune", "base": "teacher", role: "small"}
    section = {**SECTION, "stages": [*SECTION["stages"], later]}
    with pytest.raises(ValidationError, match="name the network that it quantises, 'teacher'"):
        load(section)


@pytest.mark.parametrize("kind", ["finetune", "prune"])
def test_no_stage_trains_masked_weights_back(kind):
    masked = {"name": "masked", "kind": "mask", "base": "teacher"}
    later = {"name": "later", "kind": kind, "base": "masked"}
    section = {**SECTION, "stages": [*SECTION["stages"], masked, later]}
    with pytest.raises(ValidationError, match="would let the weights that 'masked' masked grow"):
        load(section)
    for allowed in ("mask", "quantize"):
        load({**section, "stages": [*SECTION["stages"], masked, {**later, "kind": allowed}]})


@pytest.mark.parametrize("name", ["digits", "cifar10", "imdb", "reviews_sample"])
def test_every_shipped_recipe_can_ship_tflite(name):
    """One stage more and two keys turn a recipe into one that ships TFLite."""
    content = load_recipe(name).content
    refresh = content["refresh"]
    small = {"name": "small", "kind": "quantize", "base": refresh["push"]}
    refresh = {**refresh, "push": "small", "artifact": "tflite"}
    refresh["stages"] = [*refresh["stages"], small]
    recipe = parse_recipe({**content, "refresh": refresh}, origin="tests").recipe
    assert recipe.refresh.for_profile("demo").stages[-1].base == content["refresh"]["push"]
