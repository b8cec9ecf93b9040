"""What is decided on given evidence changes only with the version of the rules' tests."""

import pytest

from components.acceptance import rules
from tests import golden
from tests.golden import decisions


def test_equal_evidence_is_decided_as_ever():
    stored, made = golden.load("decisions"), decisions.compute()
    assert made == stored, f"raise RULES_VERSION in components/acceptance/rules.py; {golden.RENEW}"
    assert {"passed", "failed", "too_few"} <= {outcome for _, outcome, *_ in made["decisions"]}


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
