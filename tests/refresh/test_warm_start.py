"""Refreshes whose first stage starts outside the recipe: a file, or the last pushed model."""

import re
import shutil

import pytest
import yaml

from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from schemas.errors import InputError
from schemas.recipe import load_recipe
from tests.refresh.support import FITTING, STAGES, Watch, recipe, refresh

TRAIN = [{**STAGES[0], "name": "tuned"}]


def finetune(**settings):
    return [{"name": "tuned", "kind": "finetune", "config": {**FITTING, **settings}}]


@pytest.mark.parametrize(
    ("changes", "key", "match"),
    [
        ({}, "kind: finetune", "needs a base .* or from"),
        ({"base": "teacher", "config": {"from": "a.keras"}}, "from: a.keras", "remove one"),
        ({"config": {"from": "applications/ResNet5"}}, "from:", "Did you mean 'ResNet50'"),
        ({"base": "teacher", "config": {"weights": "imagenet"}}, "weights:", "from: applications"),
        ({"base": "teacher", "config": {"form": "a.keras"}}, "form:", "Did you mean 'from'"),
    ],
)
def test_recipe_errors_name_the_line(tmp_path, changes, key, match):
    content = recipe().content
    content["refresh"]["stages"] = [STAGES[0], {"name": "tuned", "kind": "finetune", **changes}]
    content["refresh"]["push"] = "tuned"
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(InputError, match=match) as caught:
        load_recipe(str(path))
    line = int(re.search(r"recipe\.yaml:(\d+)", str(caught.value)).group(1))
    written = path.read_text().splitlines()
    near = "\n".join(written[line - 3 : line + 2])
    assert key in near


def test_a_missing_file_is_an_error_before_anything_runs(dataset, tmp_path):
    watch = Watch()
    with pytest.raises(InputError, match="stage 'tuned': from must be a model directory"):
        refresh(dataset, tmp_path, watch=watch, stages=finetune(**{"from": "missing.keras"}))
    with pytest.raises(InputError, match="stage 'tuned': from: pushed needs a model"):
        refresh(dataset, tmp_path, watch=watch, stages=finetune(**{"from": "pushed"}))
    assert watch.states == {}


@pytest.mark.full
def test_a_month_later(dataset, tmp_path):
    """Push; warm-start from it on new data, once; refuse what forgets; notice a changed file."""
    root = tmp_path / "root"
    assert refresh(dataset, root, stages=TRAIN).report.push.version == 1
    later = materialize(make_plan(recipe(seed=2), str(tmp_path / "later"))).path
    guarded = {"from": "pushed", "previous": str(dataset), "tolerance": 0.5}
    second = refresh(later, root, seed=2, stages=finetune(**guarded))
    assert (second.status, second.report.push.version) == ("pushed", 2)
    assert second.report.stages[0].accuracy_before is not None
    watch = Watch()
    again = refresh(later, root, watch=watch, seed=2, stages=finetune(**guarded))
    assert (again.status, watch.states["tuned"]) == ("nothing_new", "cached")

    wild = {**guarded, "tolerance": 0.0, "learning_rate": 5, "epochs": 2}
    refused = refresh(later, root, seed=2, stages=finetune(**wild))
    assert (refused.status, refused.exit_code) == ("refused", 3)
    assert refused.report.decisions[-1].gate == "forgetting"
    assert "may lose 0.0000" in refused.summary
    assert refused.report.stages == ()

    shutil.copy(_network(root), tmp_path / "own.keras")
    from_file = finetune(**{"from": str(tmp_path / "own.keras")})
    for state in ("done", "cached"):
        watch = Watch()
        refresh(later, root, watch=watch, seed=2, stages=from_file)
        assert watch.states["tuned"] == state
    shutil.copy(_network(root, newest=True), tmp_path / "own.keras")
    watch = Watch()
    refresh(later, root, watch=watch, seed=2, stages=from_file)
    assert watch.states["tuned"] == "done"


def _network(root, *, newest=False):
    found = sorted(root.rglob("model.keras"), key=lambda path: path.stat().st_mtime)
    return found[-1 if newest else 0]
