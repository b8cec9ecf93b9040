"""The ``data:`` settings: what is refused, and how it is said."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from components.data_checks.features import EDGES
from components.data_checks.wording import FIXES
from schemas.data_gates import FEATURES, DataGates, Drift, Skew, limit_of
from schemas.errors import InputError
from schemas.recipe import load_recipe
from schemas.validation import validated

DOC = (Path(__file__).parents[2] / "docs" / "data_gates.md").read_text("utf-8")
WHOLE = {
    "min_examples": {"train": 1000, "test": 200},
    "min_per_class": 50,
    "max_leakage": 0.01,
    "drift": {"label": 0.05, "features": {"brightness": 0.2}},
    "skew": {"label": None, "features": 0.2},
    "on_first_run": "refuse",
    "on_missing": "pass",
}


def test_a_recipe_without_the_section_is_gated():
    gates = DataGates()
    assert [gates.least_examples(split) for split in ("train", "eval", "test")] == [1, 1, 1]
    assert (gates.min_per_class, gates.max_leakage) == (1, None)
    assert (gates.on_first_run, gates.on_missing) == ("pass", "refuse")
    assert (gates.drift.label, gates.skew.label) == (0.1, 0.2)
    for name in (name for names in FEATURES.values() for name in names):
        assert limit_of(gates.drift, name) == 0.1
        assert limit_of(gates.skew, name) == (None if name == "unknown_words" else 0.3)


def test_every_key_is_read():
    gates = validated(DataGates, WHOLE)
    assert [gates.least_examples(split) for split in ("train", "eval", "test")] == [1000, 1, 200]
    assert (gates.drift.label, gates.skew.label) == (0.05, None)
    assert limit_of(gates.drift, "brightness") == 0.2
    assert limit_of(gates.drift, "contrast") is None
    assert limit_of(gates.skew, "contrast") == 0.2
    assert set(WHOLE) == {one.name for one in dataclasses.fields(DataGates)}


def test_one_distance_given_leaves_the_other_as_it_is():
    assert validated(DataGates, {"drift": {"label": 0.3}}).drift == Drift(label=0.3, features=0.1)
    assert validated(DataGates, {"skew": {"label": 0.3}}).skew.features == Skew().features


@pytest.mark.parametrize("settings", [{}, WHOLE])
def test_settings_survive_json(settings):
    gates = validated(DataGates, settings)
    assert DataGates(**json.loads(json.dumps(dataclasses.asdict(gates)))) == gates


def test_the_features_are_those_that_are_counted():
    assert {kind: tuple(edges) for kind, edges in EDGES.items()} == FEATURES


@pytest.mark.parametrize(
    ("settings", "path", "text"),
    [
        ({"min_exmples": 1}, ("min_exmples",), "Did you mean 'min_examples'"),
        ({"min_examples": 0}, ("min_examples",), "must be 1 or more, not 0"),
        ({"min_examples": "x"}, ("min_examples",), "a whole number, or one by split, not 'x'"),
        ({"min_examples": 1.5}, ("min_examples",), "a whole number, or one by split, not 1.5"),
        ({"min_examples": True}, ("min_examples",), "not True"),
        ({"min_examples": None}, ("min_examples",), "not None"),
        ({"min_examples": {}}, ("min_examples",), "names no split; give a number"),
        ({"min_examples": {"tain": 3}}, ("min_examples", "tain"), "Did you mean 'train'"),
        ({"min_examples": {"eval": 0}}, ("min_examples", "eval"), "eval must be 1 or more"),
        ({"min_examples": {"eval": "x"}}, ("min_examples", "eval"), "a whole number, not 'x'"),
        ({"min_per_class": -1}, ("min_per_class",), "0 allows a class to be missing"),
        ({"max_leakage": 5}, ("max_leakage",), "write 0.01 for 1 %"),
        ({"max_leakage": -0.1}, ("max_leakage",), "a share, 0 to 1"),
        ({"max_leakage": float("nan")}, ("max_leakage",), "a share, 0 to 1, not nan"),
        ({"drift": 0.1}, ("drift",), "must be a mapping of keys to values"),
        ({"drift": {"labels": 0.1}}, ("drift", "labels"), "Did you mean 'label'"),
        ({"drift": {"label": 0}}, ("drift", "label"), "above 0 .equal. and at most 1, not 0"),
        ({"drift": {"features": 10}}, ("drift", "features"), "null sets no limit"),
        ({"drift": {"features": "no"}}, ("drift", "features"), "one by feature, not 'no'"),
        ({"drift": {"features": {}}}, ("drift", "features"), "features names nothing"),
        (
            {"drift": {"features": {"brigtness": 0.1}}},
            ("drift", "features", "brigtness"),
            "Did you mean 'brightness'",
        ),
        (
            {"skew": {"features": {"contrast": -1}}},
            ("skew", "features", "contrast"),
            "contrast is a distance",
        ),
        (
            {"skew": {"features": {"contrast": None}}},
            ("skew", "features", "contrast"),
            "contrast must be a number, not null; leave it out",
        ),
        ({"on_first_run": "maybe"}, ("on_first_run",), "'pass' or 'refuse'"),
        ({"on_missing": "floors"}, ("on_missing",), "'pass' or 'refuse'"),
    ],
)
def test_wrong_settings_name_key_value_and_fix(settings, path, text):
    with pytest.raises(InputError, match=text) as caught:
        validated(DataGates, settings)
    assert caught.value.path == path


def test_the_document_shows_every_key_with_its_default():
    block = re.search(r"^```yaml\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)[1]
    shown = yaml.safe_load(block)["refresh"]["data"]
    assert validated(DataGates, shown) == DataGates()
    for kind, part in ((DataGates, shown), (Drift, shown["drift"]), (Skew, shown["skew"])):
        assert set(part) == {one.name for one in dataclasses.fields(kind)}


def test_the_document_explains_every_feature_and_every_reason():
    for name in (name for names in FEATURES.values() for name in names):
        assert f"| `{name}` |" in DOC
    for start, _ in FIXES:
        assert f"`{' '.join(start.split()[:2])}" in DOC


def test_every_fix_names_keys_as_a_recipe_has_them():
    text = " ".join(fix for _, fix in FIXES)
    keys = set(re.findall(r"[a-z_]+(?:\.[a-z_]+)+", text))
    assert len(keys) == 10
    for key in keys:
        refresh, data, *inside = key.split(".")
        assert (refresh, data) == ("refresh", "data")
        at = DataGates()
        for part in inside:
            at = getattr(at, part)


DIGITS = {
    "name": "mine",
    "modality": "image",
    "source": {"kind": "digits"},
    "policy": {"preset": "none"},
    "refresh": {
        "model": "image_resnet",
        "push": "teacher",
        "stages": [{"name": "teacher", "kind": "train"}],
        "gates": {"floors": {"accuracy": 0.5}, "ceilings": {"bytes": 1000}},
    },
}


@pytest.mark.parametrize("key", ["data", "profiles.demo.data"])
def test_a_limit_of_leakage_that_is_not_looked_for_is_refused_with_its_line(key, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(DIGITS))
    limit = f"refresh.{key}.max_leakage=0.05"
    with pytest.raises(
        InputError, match=f"--set refresh.{key}.max_leakage: limits leakage to 0.05"
    ):
        load_recipe(str(path), [limit, "leakage=off"])
    load_recipe(str(path), [limit, "leakage=drop"])
    load_recipe(str(path), ["leakage=off"])
    file = DIGITS | {"leakage": "off"}
    file["refresh"] = file["refresh"] | {"data": {"max_leakage": 0.05}}
    path.write_text(yaml.safe_dump(file, sort_keys=False))
    line = 1 + path.read_text().splitlines().index("    max_leakage: 0.05")
    with pytest.raises(InputError, match=f"mine.yaml:{line}: refresh.data.max_leakage: limits"):
        load_recipe(str(path))
