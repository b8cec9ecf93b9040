"""Hand-made bad input: the right exit status, one clear line, in time, and nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import (
    cases_datasets,
    cases_images,
    cases_prepared,
    cases_recipes,
    cases_serving,
    cases_tables,
)
from tests.hostile.harness import SECONDS, Seen, problems, run, snapshot

TABLES = (
    cases_recipes,
    cases_images,
    cases_tables,
    cases_prepared,
    cases_datasets,
    cases_serving,
)
ROOT = Path(__file__).parents[2]
CASES = {name: case for table in TABLES for name, case in table.CASES.items()}


def test_there_are_enough():
    assert len(CASES) == sum(len(table.CASES) for table in TABLES), "two cases of one name"
    assert len([case for case in CASES.values() if 0 not in case.status]) >= 200


@pytest.mark.parametrize("name", CASES)
def test_refused(tmp_path, monkeypatch, capfd, built, name):
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    case.make()
    found = problems(run(case.argv, capfd), case)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "name",
    [
        "yaml: billion laughs", "yaml: 100 megabytes", "recipe: escape sequence", "set: surrogate",
        "output: newline and a file", "folder: fifo", "manifest: nested deeply",
        "dataset: foreign name that is no text", "history: fifo",
    ],
)  # fmt: skip
def test_refused_by_the_program_itself(tmp_path, monkeypatch, built, name):
    """In a process of its own, whose output goes to pipes."""
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    case.make()
    before = snapshot(".")
    done = subprocess.run(
        [sys.executable, ROOT / "beam_runner.py", *case.argv],
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    after = snapshot(".")
    changed = frozenset(path for path in before if after.get(path) != before[path])
    seen = Seen(done.returncode, done.stdout, done.stderr, after.keys() - before.keys(), changed)
    found = problems(seen, case)
    assert not found, "\n".join(found)
