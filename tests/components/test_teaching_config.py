"""Teachers in a recipe: no label smoothing unless written; answers are good as a teacher only."""

import copy

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.refresh import RefreshConfig

SECTION = {
    "model": "text_embedding",
    "push": "student",
    "gates": {"floors": {"accuracy": 0.9}, "ceilings": {"bytes": 400_000}},
    "stages": [
        {"name": "network", "kind": "train", "config": {"model": {}}},
        {"name": "answers", "kind": "signals", "teacher": "network"},
        {"name": "ngrams", "kind": "ngrams"},
        {"name": "student", "kind": "distill", "teacher": "answers", "config": {"model": {}}},
        {"name": "other", "kind": "distill", "teacher": "ngrams", "config": {"model": {}}},
    ],
}


def load(section):
    return TypeAdapter(RefreshConfig).validate_python(section)


def test_who_teaches_smooths_no_labels_unless_it_says_so():
    plan = load(SECTION).for_profile("demo")
    assert plan.stage("network").config.label_smoothing == 0.0
    assert plan.stage("student").config.label_smoothing == 0.1
    section = copy.deepcopy(SECTION)
    section["stages"][0]["config"]["label_smoothing"] = 0.2
    section["profiles"] = {"smoke": {"stages": {"network": {"label_smoothing": 0.3}}}}
    config = load(section)
    found = [
        config.for_profile(one).stage("network").config.label_smoothing for one in ("full", "smoke")
    ]
    assert found == [0.2, 0.3]


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("push",), "answers", "makes a network; 'answers' stores answers"),
        (("stages", 1, "teacher"), None, "signals stage needs a teacher"),
        (("stages", 2, "teacher"), "network", "ngrams stage takes no teacher"),
        (("model",), "image_resnet", "teaches texts, not image_resnet"),
        (("stages", 1, "config"), {"maps": "int4"}, "'none', 'float16' or 'uint8'"),
        (("stages", 1, "config"), {"map": "uint8"}, "unknown key.*maps"),
        (("stages", 2, "config"), {"folds": 1}, "greater than or equal to 2"),
        (("stages", 3, "config"), {"model": {}, "attention": -1}, "greater than or equal to 0"),
    ],
)
def test_mistakes_are_refused(path, value, match):
    section = copy.deepcopy(SECTION)
    at = section
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(ValidationError, match=match):
        load(section)


@pytest.mark.parametrize(
    "stage",
    [
        {"name": "more", "kind": "finetune", "base": "answers"},
        {"name": "more", "kind": "signals", "teacher": "answers"},
        {"name": "more", "kind": "prune", "base": "student", "teacher": "more"},
    ],
)
def test_stored_answers_are_no_network(stage):
    with pytest.raises(ValidationError, match="makes a network|earlier stage"):
        load({**SECTION, "stages": [*SECTION["stages"], stage]})
