"""What is decided on given evidence changes only with the version of the rules' tests."""

from typing import get_args

import pytest

from components.acceptance import rules
from components.acceptance.decisions import Outcome
from tests import golden
from tests.golden import decisions


def test_equal_evidence_is_decided_as_ever():
    stored, made = golden.load("decisions"), decisions.compute()
    assert made == stored, f"raise RULES_VERSION in components/acceptance/rules.py; {golden.RENEW}"
    found = {row.split()[0] for rows in made["cases"].values() for row in rows}
    assert found == set(get_args(Outcome)), "every outcome is among them"


def test_golden_decisions_are_renewed_under_a_new_version_alone(monkeypatch):
    written = []
    monkeypatch.setattr(golden, "write", lambda name, value: written.append(value))
    monkeypatch.setattr(decisions, "EXAMPLES", 300)
    with pytest.raises(SystemExit, match="raise RULES_VERSION"):
        decisions.renew()
    assert not written
    monkeypatch.setattr(decisions, "RULES_VERSION", rules.RULES_VERSION + 1)
    decisions.renew()
    assert written


def test_cases_are_added_under_the_same_version_and_none_is_dropped(monkeypatch):
    written, stored, made = [], golden.load("decisions"), decisions.compute()
    monkeypatch.setattr(golden, "write", lambda name, value: written.append(value))
    more = {**made, "cases": {**made["cases"], "another": ["passed"]}}
    monkeypatch.setattr(decisions, "compute", lambda: more)
    decisions.renew()
    assert written == [more]
    monkeypatch.setattr(golden, "load", lambda name: more)
    monkeypatch.setattr(decisions, "compute", lambda: stored)
    with pytest.raises(SystemExit, match="raise RULES_VERSION"):
        decisions.renew()
