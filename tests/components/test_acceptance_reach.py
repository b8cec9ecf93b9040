"""Rules that no model can pass: what is refused early, what not, and that nothing passable is."""

import numpy as np
import pytest

from components.acceptance import Evidence, LiveEvidence, Predictions, answer_rules, decide
from components.acceptance.reach import check_reachable
from schemas.errors import InputError
from schemas.gates import Gates
from schemas.validation import validated

ANY = {"accuracy": 0.01}
CLASSES = ("cat", "dog")


def check(gates, cats=50, dogs=50, *, slices=None, corrupted=0, compared=True):
    check_reachable(
        answer_rules(validated(Gates, gates)),
        classes=dict(zip(CLASSES, (cats, dogs), strict=True)),
        slices=slices or [("length=low",)] * (cats + dogs),
        corrupted=corrupted,
        compared=compared,
    )


@pytest.mark.parametrize(
    ("gates", "size", "text"),
    [
        (
            {"floors": {"accuracy": 0.99}},
            {},
            "refresh.gates.floors.accuracy: no model can show 0.9900 with 100 test examples: "
            "without a mistake, accuracy is shown to be at least 0.9705 with 95 % confidence; it "
            "takes about 300 of them, or a floor of 0.9704 at most",
        ),
        (
            {"floors": {"recall_per_class": {"dog": 0.9}}},
            {"dogs": 3},
            "floors.recall_per_class: no model can show 0.9000 with 3 test examples: without a "
            "mistake, recall[dog] is shown to be at least 0.3684",
        ),
        (
            {"floors": {"recall_per_class": 0.95}},
            {"dogs": 0},
            "with 50 test examples: without a mistake, recall[cat] is shown to be at least 0.9418 "
            "with 95 % confidence; it takes about 59 of them, or a floor of 0.9418 at most; out of "
            "reach as well: recall[dog]",
        ),
        (
            {"floors": {"recall_per_class": {"dog": 0.9}}},
            {"dogs": 0},
            "with 0 test examples: without a mistake, recall[dog] is shown to be at least 0.0000 "
            "with 95 % confidence; it takes about 29 of them",
        ),
        (
            {"floors": {"accuracy_per_slice": 0.9}},
            {"slices": [("length=low",)] * 80 + [("length=high",)] * 20},
            "floors.accuracy_per_slice: no model can show 0.9000 with 20 test examples: without a "
            "mistake, accuracy[length=high] is",
        ),
        (
            {"floors": {"robust_accuracy": 0.9}},
            {"corrupted": 10},
            "floors.robust_accuracy: no model can show 0.9000 with 10 test examples",
        ),
        (
            {"floors": ANY, "ceilings": {"loss": 0.2}},
            {},
            "ceilings.loss: no model can show 0.2000 with 100 test examples: without a mistake, "
            "loss is shown to be at most 0.5936",
        ),
        (
            {"floors": ANY, "ceilings": {"calibration_error": 0.02}},
            {},
            "calibration_error is shown to be at most 0.0368 with 95 % confidence; it takes about "
            "190 of them, or a ceiling of 0.0369 at least",
        ),
        (
            {"floors": ANY, "against_live": {"required_gain": 0}},
            {"cats": 2, "dogs": 2},
            "against_live.required_gain: no model can show 0.0000 with 4 test examples: without a "
            "mistake, and the live model always wrong, accuracy against live is shown to gain "
            "-0.0543 with 95 % confidence; it takes about 5 of them",
        ),
        (
            {"floors": ANY, "against_live": {"metric": "loss", "required_gain": 15}},
            {},
            "loss against live is shown to gain +14.9",
        ),
        (
            {"floors": ANY, "against_live": {"metric": "calibration_error", "tolerated_loss": 0.1}},
            {"cats": 1, "dogs": 1},
            "against_live.tolerated_loss: no model can show 0.1000 with 2 test examples",
        ),
    ],
)
def test_what_no_model_can_pass_is_named_with_what_would_do(gates, size, text):
    with pytest.raises(InputError, match="^refresh.gates") as caught:
        check(gates, **size)
    assert text in caught.value.message
    assert caught.value.path[:2] == ("refresh", "gates")


@pytest.mark.parametrize(
    ("gates", "key", "size"),
    [
        ({"floors": {"accuracy": 0.99}}, ("floors", "accuracy"), 299),
        ({"floors": ANY, "ceilings": {"loss": 0.2}}, ("ceilings", "loss"), 302),
        (
            {"floors": ANY, "ceilings": {"calibration_error": 0.02}},
            ("ceilings", "calibration_error"),
            187,
        ),
    ],
)
def test_as_many_examples_as_it_takes_are_enough_and_one_less_is_not(gates, key, size):
    check(gates, cats=size, dogs=0)
    with pytest.raises(InputError, match=r"\.".join(key)):
        check(gates, cats=size - 1, dogs=0)


def test_limits_that_are_proposed_can_be_kept():
    check({"floors": {"accuracy": 0.9704}})
    check({"floors": ANY, "ceilings": {"calibration_error": 0.0369}})


def test_costs_and_what_is_not_compared_are_left_out():
    live = {"required_gain": 0.999, "on_first_run": "floors"}
    gates = {"floors": ANY, "ceilings": {"bytes": 1}, "against_live": live}
    check(gates, compared=False)
    with pytest.raises(InputError, match="required_gain"):
        check(gates)


@pytest.mark.parametrize("metric", ["loss", "calibration_error", "accuracy"])
@pytest.mark.parametrize("count", [4, 9, 30])
def test_what_any_answers_pass_is_never_refused(metric, count):
    """Over random pairs of models and limits about as tight as they can be."""
    random = np.random.default_rng(count)
    labels, keys = np.arange(count) % 2, [f"{place:03d}" for place in range(count)]
    passed = 0
    for _ in range(60):
        tables = []
        for accuracy in (random.choice([0.9, 1.0]), 0.2):  # the candidate, the live model
            sure = np.maximum(random.random(count) ** random.choice([0.0, 0.1, 1.0]), 0.5)
            given = np.where(random.random(count) < accuracy, labels, 1 - labels)
            shares = np.where(np.eye(2, dtype=bool)[given], sure[:, None], 1 - sure[:, None])
            tables.append(Predictions.of(shares, labels, keys, classes=CLASSES))
        most = {"loss": 15.0, "calibration_error": 0.95, "accuracy": 0.95}[metric]
        live = {"metric": metric, "required_gain": most * random.random() ** 2}
        gates = {"floors": {"accuracy": random.random() ** 0.2}, "against_live": live}
        if metric != "accuracy":
            gates["ceilings"] = {metric: most * random.random()}
        evidence = Evidence(
            tables={"test": tables[0]},
            live=LiveEvidence(state="present", tables={"test": tables[1]}),
        )
        rules = answer_rules(validated(Gates, gates))
        kept = [
            rule for rule, one in zip(rules, decide(rules, evidence), strict=True) if one.passed
        ]
        passed += len(kept)
        check_reachable(
            kept,
            classes={"cat": (count + 1) // 2, "dog": count // 2},
            slices=[()] * count,
            corrupted=0,
            compared=True,
        )
    assert passed
