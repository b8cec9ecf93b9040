"""Checks and decisions of the gates."""

import pytest

from schemas.report import Check, Finding, GateDecision


def check(value, limit=0.7, kind="at_least"):
    return Check(measure="accuracy", kind=kind, limit=limit, value=value, examples=360)


@pytest.mark.parametrize(("value", "passed"), [(0.69, False), (0.7, True), (0.71, True)])
def test_the_limit_itself_passes(value, passed):
    assert check(value).passed is passed
    assert check(-value, limit=-0.7, kind="at_most").passed is passed


def test_not_a_number_never_passes():
    assert not check(float("nan")).passed
    assert not check(float("nan"), kind="at_most").passed


@pytest.mark.parametrize(
    ("value", "shown"), [(0.6123, "0.6123"), (0.699996, "0.699996")], ids=["plain", "close"]
)
def test_a_refusal_names_measure_value_examples_and_limit(value, shown):
    (reason,) = GateDecision(gate="accuracy", checks=(check(value),)).reasons
    limit = f"0.7{'0' * (len(shown) - 3)}"
    assert reason == f"accuracy {shown} (n=360) is below the least allowed {limit}"


def test_a_decision_survives_json_and_its_verdict_is_computed_again():
    found = Finding(name="loss", outcome="failed", passed=False, reason="too high", value=2.0)
    for decision in (
        GateDecision(gate="data", checks=(check(0.6),), problems=("cat is missing",)),
        GateDecision(gate="data", checks=(check(0.6),), notes=("one leaks",), fixes=("add cats",)),
        GateDecision(gate="accuracy", findings=(found,)),
        GateDecision(gate="accuracy", checks=(check(0.8),)),
    ):
        data = decision.to_json()
        assert data["blessed"] is not bool(decision.reasons)
        assert GateDecision.from_json({**data, "blessed": True}) == decision


def test_a_gate_that_looked_at_nothing_blesses_nothing():
    nothing = GateDecision(gate="size")
    assert not nothing.blessed
    assert nothing.reasons == ("the size gate looked at nothing, so nothing speaks for the model",)
    assert GateDecision(gate="size", problems=("odd",)).reasons == ("odd",)
    assert GateDecision(gate="size", checks=(check(0.8),)).blessed


def test_a_decision_of_a_program_without_notes_and_fixes_is_read():
    decision = GateDecision(gate="data", checks=(check(0.8),))
    data = decision.to_json()
    del data["notes"], data["fixes"]
    assert GateDecision.from_json(data) == decision


def test_why_ends_with_what_to_do_where_there_is_something():
    decision = GateDecision(gate="data", problems=("no cat", "no dog"), fixes=("add examples",))
    assert decision.why == "no cat; no dog. What to do: add examples"
    assert GateDecision(gate="size", problems=("too large",)).why == "too large"
    assert GateDecision(gate="data", checks=(check(0.8),)).why == ""
