"""The pure decisions of the gates."""

import pytest

from components.gate import decide, decide_data
from schemas.refresh import Thresholds
from schemas.report import EvalReport, GateDecision, SizeReport

THRESHOLDS = Thresholds(accuracy=0.7, bytes=1_000)


def scores(accuracy, examples=360):
    return EvalReport(split="test", examples=examples, accuracy=accuracy, loss=1.0)


@pytest.mark.parametrize(("accuracy", "blessed"), [(0.69, False), (0.7, True), (0.71, True)])
def test_accuracy_floor_passes_on_the_limit_itself(accuracy, blessed):
    assert decide(scores(accuracy), THRESHOLDS).blessed is blessed


@pytest.mark.parametrize(("size", "blessed"), [(999, True), (1_000, True), (1_001, False)])
def test_size_ceiling_passes_on_the_limit_itself(size, blessed):
    report = SizeReport(format="saved_model", bytes=size)
    assert decide(report, THRESHOLDS).blessed is blessed


def test_refusal_names_measure_value_examples_and_limit():
    (reason,) = decide(scores(0.6123), THRESHOLDS).reasons
    assert reason == "accuracy on test 0.6123 (n=360) is below the least allowed 0.7000"


def test_refusal_of_a_figure_just_below_the_limit_shows_that_it_is_below():
    (reason,) = decide(scores(0.699996), THRESHOLDS).reasons
    assert reason == "accuracy on test 0.699996 (n=360) is below the least allowed 0.700000"


def test_not_a_number_is_refused():
    assert not decide(scores(float("nan")), THRESHOLDS).blessed


def test_no_example_is_refused_whatever_the_figure():
    decision = decide(scores(1.0, examples=0), THRESHOLDS)
    assert not decision.blessed
    assert "no example" in decision.reasons[0]


def test_live_figure_is_shown_and_not_gated():
    decision = decide(scores(0.71), THRESHOLDS, live=scores(0.9))
    assert decision.blessed
    assert "live model 0.9000" in decision.checks[0].describe()


def test_data_gate_names_split_and_anomaly():
    decision = decide_data({"train": (900, ["label: Out-of-range"]), "eval": (100, [])})
    assert decision.reasons == (
        "anomalies in train 1 (n=900) is above the most allowed 0",
        "train: label: Out-of-range",
    )


def test_data_gate_refuses_an_empty_split():
    assert decide_data({"train": (0, [])}).reasons == ("train: no example",)


def test_clean_data_passes():
    assert decide_data({"train": (900, []), "eval": (100, [])}).blessed


def test_decision_survives_json_and_its_verdict_is_computed_again():
    decision = decide(scores(0.6), THRESHOLDS)
    data = decision.to_json()
    assert data["blessed"] is False
    assert GateDecision.from_json({**data, "blessed": True}) == decision
