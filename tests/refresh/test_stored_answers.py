"""A refresh whose student learns from answers that a node stored."""

import pytest

from components.serving.verify import verify_serving
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from schemas.teaching import SIGNALS
from tests.refresh.support import FITTING, Watch, recipe, refresh

SMALL = {**FITTING, "model": {"width": 4}}
STAGES = [
    {"name": "teacher", "kind": "train", "config": SMALL},
    {"name": "answers", "kind": "signals", "teacher": "teacher", "config": {"maps": "uint8"}},
    {
        "name": "student",
        "kind": "distill",
        "teacher": "answers",
        "config": {**SMALL, "attention": 10},
    },
]


@pytest.mark.full
def test_answers_are_a_node_and_are_cached(tmp_path):
    outcome = materialize(make_plan(recipe(), str(tmp_path / "data")))
    first = refresh(outcome.path, tmp_path / "root", stages=STAGES)
    verdict = verify_serving(tmp_path / "root" / "digits-smoke" / "serving")
    assert verdict.ok, verdict  # answers are one of the stages that the student comes from
    rows = {row.name: row for row in first.report.stages}
    assert first.status == "pushed"
    assert rows["answers"].accuracy == rows["teacher"].accuracy
    assert rows["answers"].size is None
    assert "answers" in first.summary
    assert len(list((tmp_path / "root").rglob(SIGNALS))) == 1
    watch = Watch()
    again = refresh(outcome.path, tmp_path / "root", watch=watch, stages=STAGES)
    assert again.status == "nothing_new"
    assert watch.states["answers"] == watch.states["student"] == "cached"
