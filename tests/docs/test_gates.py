"""docs/gates.md: its settings are valid and complete, its program runs."""

import dataclasses
import re
from pathlib import Path
from typing import get_args

import yaml

from components.acceptance import rules_of
from components.acceptance.decisions import Outcome
from schemas.gates import AgainstLive, Ceilings, Floors, Gates
from schemas.validation import validated

TEXT = (Path(__file__).parents[2] / "docs" / "gates.md").read_text("utf-8")


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[1]


def test_the_settings_are_valid_and_name_every_key():
    settings = yaml.safe_load(block("yaml"))["gates"]
    assert len(rules_of(validated(Gates, settings))) == 11
    for kind, part in (
        (Gates, settings),
        (Floors, settings["floors"]),
        (Ceilings, settings["ceilings"]),
        (AgainstLive, {**settings["against_live"], "required_gain": 0, "alpha": 0}),
    ):
        assert {one.name for one in dataclasses.fields(kind)} == set(part)
    assert "required_gain" in block("yaml")


def test_every_outcome_is_explained():
    for outcome in get_args(Outcome):
        assert f"`{outcome}`" in TEXT


def test_the_program_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "docs/gates.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["passed", "passed"]
