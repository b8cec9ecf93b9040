"""What a refresh makes of gates: rules of each gate, parts of the test split, baselines."""

import json

import numpy as np
import pytest

from components.acceptance import (
    Ceiling,
    Comparison,
    Evidence,
    Floor,
    LiveEvidence,
    Predictions,
    accepted,
    answer_rules,
    cost_rules,
    decide,
)
from components.acceptance.summary import parts
from components.push import live_model
from components.serving.baseline import find_baseline, kept_evidence
from components.serving.decisions import judged
from components.serving.rollback import rollback
from schemas.errors import GateRefusal
from schemas.gates import Gates
from schemas.validation import validated
from tests.components.test_acceptance_decide import answers, share
from tests.serving.support import push_text

GATES = validated(
    Gates,
    {
        "floors": {"accuracy": 0.5, "robust_accuracy": 0.2},
        "ceilings": {"bytes": 100, "loss": 2.0},
        "against_live": {"required_gain": 0.1},
    },
)


def test_each_rule_is_held_by_one_gate():
    assert [type(one) for one in answer_rules(GATES)] == [Floor, Floor, Ceiling, Comparison]
    costs = cost_rules(GATES)
    assert [one.metric for one in costs] == ["bytes", "golden_difference"]
    found = decide(costs, Evidence(tables={}, costs={"bytes": 90, "golden_difference": 2e-4}))
    assert [one.passed for one in found] == [True, False]
    found = decide(costs, Evidence(tables={}, costs={"bytes": 90}))
    assert [one.outcome for one in found] == ["passed", "not_measured"]


def test_the_live_model_itself_needs_no_gain_over_itself():
    rules = [Comparison(margin=0.1)]
    evidence = Evidence(tables={"test": share(9, 10)}, live=LiveEvidence(state="itself"))
    (decision,) = decide(rules, evidence)
    assert (decision.outcome, decision.passed) == ("itself", True)
    assert "this very model" in decision.reason


def test_parts_of_the_test_split_and_of_corruptions():
    table = answers([1, 1, 0, 0], slices=[["size=low"], ["size=low"], ["size=high"], []])
    keys = ["a", "a", "a", "b", "b", "b"]
    variants = ["fog/1", "fog/2", "snow/1"] * 2
    shown = answers([1, 0, 1, 1, 1, 1], keys=keys, variants=variants, labels=[0] * 6)
    slices, corruptions = parts({"test": table, "unseen_corruptions": shown}, 0.05)
    assert {one.name: (one.examples, one.accuracy) for one in slices} == {
        "class=cat": (2, 0.5), "class=dog": (2, 0.5), "size=low": (2, 1.0), "size=high": (1, 0.0)
    }  # fmt: skip
    assert {one.name: (one.examples, one.accuracy) for one in corruptions} == {
        "unseen_corruptions": (2, pytest.approx(5 / 6)),
        "unseen_corruptions/fog": (2, 0.75),
        "unseen_corruptions/snow": (2, 1.0),
    }
    assert all(0 <= one.bound < one.accuracy or one.accuracy == 0 for one in slices)


def test_the_record_of_a_decision_names_the_parts(tmp_path):
    from components.acceptance import write_evidence

    rules = [Floor(threshold=0.5)]
    evidence = Evidence(tables={"test": share(95, 100)})
    write_evidence(tmp_path / "found", rules, evidence, decide(rules, evidence))
    record = judged("accuracy", tmp_path / "found").record
    assert record["blessed"] is True
    assert [one["name"] for one in record["slices"]] == ["class=cat", "class=dog"]


def test_baselines(tmp_path):
    serving = tmp_path / "serving"
    assert find_baseline(serving).state == "first_run"
    serving.mkdir()
    assert find_baseline(serving).state == "first_run"
    for text in ("first", "second"):
        push_text(tmp_path, text)
    found = find_baseline(serving)
    assert (found.state, found.version, found.classes) == ("present", 2, ("zero", "one"))
    assert found.identity == live_model(serving).identity
    assert type(found).from_json(json.loads(json.dumps(found.to_json()))) == found
    assert kept_evidence(serving, 2, "accuracy", "predictions").is_dir()
    assert kept_evidence(serving, 2, "data", "profile") is None

    rollback(serving, reason="slow")
    again = find_baseline(serving)
    assert (again.version, again.digest == found.digest) == (3, False)

    (serving / "3" / "saved_model.pb").write_text("changed")
    damaged = find_baseline(serving)
    assert (damaged.state, damaged.identity) == ("missing", again.identity)
    assert "version 3" in damaged.why
    (serving / "CURRENT").write_text("9")
    assert "names no readable version" in find_baseline(serving).why


def test_a_push_replaces_only_the_version_it_was_compared_with(tmp_path):
    push_text(tmp_path, "first", instead_of=0)
    push_text(tmp_path, "second", instead_of=1)
    with pytest.raises(GateRefusal, match="compared with version 1, and version 2 is live"):
        push_text(tmp_path, "third", instead_of=1)
    with pytest.raises(GateRefusal, match="compared with version none, and version 2"):
        push_text(tmp_path, "third", instead_of=0)
    assert not push_text(tmp_path, "second", instead_of=1).pushed, "it is live already"
    assert live_model(tmp_path / "serving").version == 2


def test_answers_to_no_example_have_no_parts():
    empty = Predictions.of(np.zeros((0, 2)), [], [], classes=("a", "b"))
    assert parts({"test": empty}, 0.05) == ((), ())
    assert not accepted(decide([Floor(threshold=0.5)], Evidence(tables={"test": empty})))
