"""The ``gates:`` settings: what is refused, and how it is said."""

import pytest

from components.acceptance.rules import (
    Ceiling,
    Comparison,
    Floor,
    rule_from_json,
    rule_to_json,
    rules_of,
)
from schemas.errors import InputError
from schemas.gates import Gates, check_names
from schemas.validation import validated

WHOLE = {
    "alpha": 0.1,
    "floors": {
        "accuracy": 0.9,
        "recall_per_class": {"dog": 0.7, "cat": 0.8},
        "accuracy_per_slice": 0.6,
        "robust_accuracy": 0.5,
    },
    "ceilings": {"bytes": 1000, "latency_p95_ms": 2.5, "calibration_error": 0.05},
    "against_live": {"tolerated_loss": 0.01, "alpha": 0.05, "on_missing": "floors"},
}


def test_settings_become_rules():
    assert rules_of(validated(Gates, WHOLE)) == (
        Floor(threshold=0.9, alpha=0.1),
        Floor(threshold=0.8, alpha=0.1, group="class", only="cat"),
        Floor(threshold=0.7, alpha=0.1, group="class", only="dog"),
        Floor(threshold=0.6, alpha=0.1, group="slice"),
        Floor(threshold=0.5, alpha=0.1, table="unseen_corruptions"),
        Ceiling(metric="bytes", threshold=1000, alpha=0.1),
        Ceiling(metric="latency_p95_ms", threshold=2.5, alpha=0.1),
        Ceiling(metric="calibration_error", threshold=0.05, alpha=0.1),
        Comparison(margin=-0.01, alpha=0.05, on_missing="floors"),
    )


def test_a_required_gain_is_a_margin_above_0():
    gates = {"floors": {"accuracy": 0.5}, "against_live": {"required_gain": 0.02}}
    assert rules_of(validated(Gates, gates))[-1] == Comparison(margin=0.02, alpha=0.05)


def test_rules_survive_json():
    for rule in rules_of(validated(Gates, WHOLE)):
        assert rule_from_json(rule_to_json(rule)) == rule
    with pytest.raises(InputError, match="Did you mean 'floor'"):
        rule_from_json({"kind": "flor", "threshold": 1})


@pytest.mark.parametrize(
    ("gates", "path", "text"),
    [
        ({}, ("floors",), "gates need a floor or against_live"),
        ({"ceilings": {"bytes": 9}}, ("floors",), "with neither, any model would go live"),
        ({"floors": {"acuracy": 0.9}}, ("floors", "acuracy"), "Did you mean 'accuracy'?"),
        ({"floors": {"accuracy": 90}}, ("floors", "accuracy"), "not 90.0; write 0.9 for 90 %"),
        (
            {"floors": {"accuracy": 1}},
            ("floors", "accuracy"),
            "no number of examples makes 1 certain",
        ),
        ({"floors": {"accuracy": True}}, ("floors", "accuracy"), "must be a number, not true"),
        (
            {"floors": {"accuracy": 0.5}, "ceilings": {"parameters": True}},
            ("ceilings", "parameters"),
            "must be a number, not true",
        ),
        (
            {"floors": {"accuracy_per_slice": "high"}},
            ("floors", "accuracy_per_slice"),
            "must be a number, or one by slice, not 'high'",
        ),
        (
            {"floors": {"recall_per_class": {"cat": None}}},
            ("floors", "recall_per_class", "cat"),
            "not null; leave it out",
        ),
        ({"floors": 0.9}, ("floors",), "must be a mapping of keys to values; got 0.9"),
        (
            {"floors": {"recall_per_class": {"cat": 0}}},
            ("floors", "recall_per_class", "cat"),
            "cat is a share, above 0 and below 1",
        ),
        (
            {"floors": {"recall_per_class": {}}},
            ("floors", "recall_per_class"),
            "names nothing; give a floor, or remove it",
        ),
        (
            {"floors": {"accuracy": 0.5}, "alpha": 5},
            ("alpha",),
            "0.0001 to 0.2, not 5.0; 0.05 is usual",
        ),
        (
            {"floors": {"accuracy": 0.5}, "ceilings": {"bytes": 0}},
            ("ceilings", "bytes"),
            "bytes must be above 0, not 0",
        ),
        (
            {"floors": {"accuracy": 0.5}, "ceilings": {"calibration_error": 5}},
            ("ceilings", "calibration_error"),
            "write 0.05 for 5 %",
        ),
        (
            {"floors": {"accuracy": 0.5}, "ceilings": {"loss": 16.2}},
            ("ceilings", "loss"),
            "below 16.1181 nats, the largest that a model can have",
        ),
        (
            {"floors": {"accuracy": 0.5}, "ceilings": {"calibration_error": 1}},
            ("ceilings", "calibration_error"),
            "a share below 1, not 1.0",
        ),
        (
            {"against_live": {"metric": "loss", "tolerated_loss": 17, "on_first_run": "refuse"}},
            ("against_live", "tolerated_loss"),
            "not 17.0; 0.05 is a limit",
        ),
        (
            {"floors": {"accuracy": 0.5}, "against_live": {"metric": "loss", "required_gain": 17}},
            ("against_live", "required_gain"),
            "must be below 16.1181 nats",
        ),
        (
            {
                "floors": {"accuracy": 0.5},
                "against_live": {"metric": "calibration_error", "tolerated_loss": 1},
            },
            ("against_live", "tolerated_loss"),
            "is a share of 1, not 1.0",
        ),
        (
            {"floors": {"accuracy": 0.5}, "against_live": {}},
            ("against_live", "tolerated_loss"),
            "set exactly one of tolerated_loss and required_gain, not none",
        ),
        (
            {"against_live": {"tolerated_loss": 0.1, "required_gain": 0.1}},
            ("against_live", "required_gain"),
            "not both",
        ),
        (
            {"against_live": {"tolerated_loss": -0.01}},
            ("against_live", "tolerated_loss"),
            "use required_gain: 0.01",
        ),
        (
            {"against_live": {"required_gain": 2}},
            ("against_live", "required_gain"),
            "write 0.01 for one point",
        ),
        (
            {"against_live": {"required_gain": 0.1, "on_missing": "pass"}},
            ("against_live", "on_missing"),
            "'refuse' or 'floors'",
        ),
        (
            {"against_live": {"required_gain": 0.1}},
            ("against_live", "on_first_run"),
            "there is none; add floors: {accuracy: 0.9}, or set on_first_run: refuse",
        ),
    ],
)
def test_errors_name_key_value_and_fix(gates, path, text):
    with pytest.raises(InputError) as error:
        validated(Gates, gates)
    assert text in error.value.message
    assert error.value.path == path


@pytest.mark.parametrize(
    ("floors", "text"),
    [
        ({"recall_per_class": {"dgo": 0.5}}, "recall_per_class: unknown class 'dgo'. Did you mean"),
        ({"accuracy_per_slice": {"contrast=lo": 0.5}}, "Did you mean 'contrast=low'"),
        (
            {"accuracy_per_slice": {"class=dog": 0.5}},
            "the floor of a class is recall_per_class: {dog: 0.5}",
        ),
    ],
)
def test_classes_and_slices_with_a_floor_must_exist(floors, text):
    with pytest.raises(InputError, match="refresh.gates.floors") as caught:
        check_names(
            validated(Gates, {"floors": floors}),
            classes=("cat", "dog"),
            slices={"contrast=low", "contrast=high"},
        )
    assert text in str(caught.value)


def test_floors_for_all_and_names_that_exist_are_taken():
    for floors in (
        WHOLE["floors"],
        {"recall_per_class": 0.5, "accuracy_per_slice": {"length=low": 0.5}},
    ):
        check_names(
            validated(Gates, {"floors": floors}), classes=("cat", "dog"), slices={"length=low"}
        )
