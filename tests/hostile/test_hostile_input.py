"""Hand-made bad input: the right exit status, one clear line, in time, and nothing written."""

import pytest

from tests.hostile import cases_data, cases_recipes
from tests.hostile.harness import problems, run

CASES = {**cases_recipes.CASES, **cases_data.CASES}


@pytest.mark.parametrize("name", CASES)
def test_refused(tmp_path, monkeypatch, capfd, name):
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    case.make()
    found = problems(run(case.argv, capfd), case)
    assert not found, "\n".join(found)
